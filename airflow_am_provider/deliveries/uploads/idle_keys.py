"""Warns before Adobe switches keys off that nobody uses.

Page: faq/faq-data-collection.md: S3 access keys that are unused for 100 days are disabled. A small
note for each destination says when a delivery was last sent there, from this staging location.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.errors import AudienceManagerError

if TYPE_CHECKING:
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)

_KEYS_LAST: Final = timedelta(days=100)
_WARN_AFTER: Final = timedelta(days=80)


class Settings(Protocol):
    """What a connection says."""

    @property
    def environment(self) -> str:
        """``production``, ``beta`` or ``custom``."""
        ...

    @property
    def transport(self) -> str:
        """``s3``, ``sftp`` or ``ftp``."""
        ...


class Connection(Protocol):
    """Whose keys are meant."""

    @property
    def settings(self) -> Settings:
        """What it says."""
        ...

    @property
    def destination_name(self) -> str:
        """What tells destinations apart, such as ``production/acme``."""
        ...

    def staging(self) -> Folder:
        """The folder in which deliveries are prepared."""
        ...


def note_use(hook: Connection, at: datetime) -> None:
    """Note that the keys of a connection were used; one write, and no error when it fails.

    :param hook: leads to staging.
    :param at: when.
    """
    if not _may_be_switched_off(hook):
        return
    name, day = hook.destination_name, at.astimezone(UTC).date().isoformat()
    note = {"destination": name, "keys_last_used_on": day}
    try:
        hook.staging().write_bytes(_path(name), json.dumps(note).encode())
    except AudienceManagerError as error:
        _logger.warning(
            "When the keys of %s were used was not noted, and is with the next sending: %s",
            name,
            error,
        )


def idle_warning(hook: Connection, at: datetime) -> str | None:
    """What is to be said about keys that are unused for 80 days and more; one read.

    :param hook: leads to staging.
    :param at: now.
    :return: a sentence; None when there is no note, or the keys were used since.
    :raises TransientError: when staging does not answer.
    """
    if not _may_be_switched_off(hook):
        return None
    content = hook.staging().read_bytes(_path(hook.destination_name))
    try:
        used = date.fromisoformat(json.loads(content or b"{}")["keys_last_used_on"])
    except (KeyError, TypeError, ValueError):
        return None
    today = at.astimezone(UTC).date()
    idle, until = today - used, used + _KEYS_LAST
    if idle < _WARN_AFTER:
        return None
    ends = (
        f"on {until} Adobe disables them (faq/faq-data-collection.md); send a delivery before"
        if today < until
        else f"Adobe disables keys after {_KEYS_LAST.days} (faq/faq-data-collection.md), "
        f"which was on {until}; ask Adobe for new ones if they are refused"
    )
    return (
        f"nothing was sent to {hook.destination_name} from here for {idle.days} days, since "
        f"{used}: unless these keys were used elsewhere, {ends}"
    )


def _may_be_switched_off(hook: Connection) -> bool:
    """Whether the keys are Adobe's."""
    return hook.settings.transport == "s3" and hook.settings.environment != "custom"


def _path(destination_name: str) -> str:
    return f"destinations/{hashlib.sha256(destination_name.encode()).hexdigest()[:16]}.json"
