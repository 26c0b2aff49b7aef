"""Where deliveries lie: the staging locations of the connections that this Airflow can see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_am_provider.airflow_compat import conf
from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.process_context import connections_of_the_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.deliveries.targets import Targets

SECTION: Final = "audience_manager"


@dataclass(frozen=True, kw_only=True)
class Place:
    """The staging location of a connection.

    :param conn_id: the connection.
    :param targets: what was decided there.
    :param destination: where the connection's own deliveries go, such as ``production/acme``;
        other connections may stage in the same place.
    """

    conn_id: str
    targets: Targets
    destination: str

    @property
    def space(self) -> str:
        """What tells staging locations, and homes of their decisions, apart."""
        where = f"{self.targets.staging.url}\n{self.targets.home.url}"
        return hashlib.sha256(where.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that keeps deliveries from being shown.

    :param conn_id: the connection; empty for what concerns all.
    :param sentence: what, for those who may know of the connection.
    """

    conn_id: str
    sentence: str


def places() -> Iterator[Place | Problem]:
    """Each connection's, or why it cannot be told."""
    with connections_of_the_database():
        try:
            names = connection_ids()
        except Exception as error:  # noqa: BLE001  # the database's own errors may say too much
            yield Problem(
                conn_id="",
                sentence=f"Airflow's connections could not be listed: {type(error).__name__}",
            )
            return
        for conn_id in names:
            yield place_of(conn_id)


def place_of(conn_id: str) -> Place | Problem:
    """One connection's, or why it cannot be told."""
    try:
        hook = AudienceManagerHook(conn_id)
        return Place(conn_id=conn_id, targets=hook.targets(), destination=hook.destination_name)
    except Exception as error:  # noqa: BLE001  # of hooks and drivers; see sentence_of
        return Problem(conn_id=conn_id, sentence=sentence_of(conn_id, error))


def connection_ids() -> list[str]:
    """The connections of this type in Airflow's database, and those that the setting names.

    What comes from the environment or a secrets backend cannot be listed.
    """
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(Connection.conn_id).where(Connection.conn_type == AudienceManagerHook.conn_type)
    with create_session() as session:
        found = {str(conn_id) for conn_id in session.scalars(query)}
    named = conf.get(SECTION, "page_connections", fallback="") or ""
    found.update(name.strip() for name in named.split(",") if name.strip())
    return sorted(found)


def sentence_of(conn_id: str, error: Exception) -> str:
    """An error for people: this project's own hold no secret, of others the kind alone is told."""
    if isinstance(error, AudienceManagerError):
        return f"Connection {conn_id}: {error}"
    return (
        f"Connection {conn_id}: its deliveries cannot be read ({type(error).__name__}); the API "
        f"server's log says more"
    )
