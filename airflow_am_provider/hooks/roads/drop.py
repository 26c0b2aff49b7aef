"""What the roads to a directory on another host share.

Page: faq/faq-data-collection.md (hosts).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

from airflow_am_provider.audience_manager.environments import PRODUCTION
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.connections import get_connection
from airflow_am_provider.storage.drops import Broken, Drop, Unreached

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.environments import Environment
    from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination
    from airflow_am_provider.hooks.roads.road import Hook
    from airflow_am_provider.storage.drops import Session

# ftp-in.demdex.com and the like: Adobe's, whatever the environment is called.
_ADOBES_DOMAIN: Final = "." + PRODUCTION.ftp_host.partition(".")[2]


class DropRoad(ABC):
    """A road to a directory; see :class:`~airflow_am_provider.hooks.roads.road.Road`."""

    protocol: ClassVar[str]

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    @property
    def url(self) -> str:
        """``sftp://host/directory`` and the like."""
        return f"{self.protocol.lower()}://{self.host()}{self._hook.settings.ftp_directory}"

    def destination(self) -> DropDestination:
        """Where deliveries are sent."""
        from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination

        return DropDestination(open_drop=self.drop, url=self.url)

    def drop(self) -> Drop:
        """The directory."""
        host = self.host()
        port = get_connection(self.conn_id, asked_by="ftp_conn_id").port
        directory = self._hook.settings.ftp_directory

        def connected() -> Session:
            try:
                return self.open_session(directory)
            except Broken as how:
                where = f"{printable(host)}, port {port}" if port else printable(host)
                raise Unreached(f"{where}: {how}") from None

        return Drop(
            connected,
            f"{self.protocol} connection {self.conn_id!r}",
            directory,
            configured_in=f"connection {self._hook.audience_manager_conn_id!r}",
        )

    def prove(self) -> str:
        """Log in and enter the directory."""
        with self.drop() as drop:
            drop.check()
        return f"{self.url} takes the login and has the directory"

    def host(self) -> str:
        """The host that the connection leads to, in lower case.

        :raises ConfigurationError: when it is none of the environment's.
        """
        settings, conn_id = self._hook.settings, self.conn_id
        host = str(get_connection(conn_id, asked_by="ftp_conn_id").host or "").lower().rstrip(".")
        if settings.adobe is not None:
            known = self.adobes_hosts(settings.adobe)
            if host not in known:
                raise ConfigurationError(
                    f"connection {self._hook.audience_manager_conn_id!r}: ftp_conn_id: "
                    f"{conn_id!r} leads to {host!r}, but {self.protocol} in the environment "
                    f"{settings.environment} goes to {' or '.join(map(repr, known))} "
                    f"(faq/faq-data-collection.md); nothing is sent there. Correct its host, or "
                    f"choose the environment custom"
                )
        return host

    @property
    def conn_id(self) -> str:
        """The Airflow connection of the account."""
        return self._hook.settings.ftp_conn_id or ""

    @abstractmethod
    def adobes_hosts(self, environment: Environment) -> tuple[str, ...]:
        """The hosts of an environment that files may be sent to by this road."""

    @abstractmethod
    def open_session(self, directory: str) -> Session:
        """Connect, log in and enter the directory."""


def is_adobes(host: str) -> bool:
    """Whether a host is one of Adobe's.

    >>> is_adobes("ftp-in-gtw.demdex.com"), is_adobes("demdex.com.example")
    (True, False)
    """
    return host.endswith(_ADOBES_DOMAIN)
