"""Where receipts come from: a mailbox that is only looked into, or a folder of raw mails.

Airflow's own ImapHook knows attachments only, marks mail as read, has no timeout and breaks on
8-bit bodies, hence this one over :mod:`imaplib`.
"""

from __future__ import annotations

import contextlib
import imaplib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.mail import MAX_MAIL_BYTES
from airflow_am_provider.hooks.connections import get_connection
from airflow_am_provider.hooks.imap_session import ImapSession, connect, imap_errors
from airflow_am_provider.hooks.mailbox_login import (
    log_in_by_password,
    log_in_by_token,
    token_source,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from datetime import datetime

    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)

_TIMEOUT_S: Final = 60.0
# Each object of a bucket takes a request; boto3 keeps ten connections.
_READ_AT_ONCE: Final = 8


class Mail(NamedTuple):
    """A message that may be a receipt.

    :param identity: where it lies, the same each time, so that it is fetched once.
    :param raw: its bytes, headers and all.
    """

    identity: str
    raw: bytes


class _Limit:
    """Leaves out what is too long for a receipt, and says so once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._told: set[str] = set()

    def knows(self, identity: str) -> bool:
        """Whether it is known to be too long, and need not be looked at again."""
        return identity in self._told

    def allows(self, identity: str, size: int) -> bool:
        if size > self._max_bytes and identity not in self._told:
            self._told.add(identity)
            _logger.warning(
                "Left out: %s has %s bytes; receipts are read up to %s",
                identity,
                f"{size:,}",
                f"{self._max_bytes:,}",
            )
        return size <= self._max_bytes


@dataclass(kw_only=True)
class Mailbox:
    """A mailbox on an IMAP server, opened without the right to change anything.

    :param conn_id: an Airflow connection of the type ``imap``; of its extra, ``use_ssl`` (true by
        default), ``ssl_context`` and ``mail_folder`` (``INBOX`` by default) count, and for a login
        by OAuth ``oauth`` with the fields that it needs.
    :param sender: only mail from this address is fetched.
    :param max_bytes: longer messages are left where they are.
    :param timeout_s: seconds that the server may be silent.
    """

    conn_id: str
    sender: str
    max_bytes: int = MAX_MAIL_BYTES
    timeout_s: float = _TIMEOUT_S
    _limit: _Limit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._limit = _Limit(self.max_bytes)

    @property
    def place(self) -> str:
        """Which mailbox it is, and whose mails count."""
        return f"mailbox {self.conn_id!r} for mails from {self.sender}"

    def check(self) -> None:
        """Log in and open the mailbox, and fetch nothing.

        A login by OAuth asks for a new token: one from memory outlives the secret it was had by.

        :raises ConfigurationError: when the server refuses.
        :raises TransientError: when it fails.
        """
        with self._opened(anew=True):
            pass

    def mails(self, since: datetime, *, seen: Container[str] = ()) -> Iterator[Mail]:
        """Fetch mail from the sender, the oldest first, without marking it as read.

        :param since: only what arrived at that time or later; a day earlier at most, as IMAP
            searches by days of an unknown time zone.
        :param seen: identities that are not fetched again.
        """
        with self._opened() as session:
            new = [
                uid
                for uid in session.search(self.sender, since)
                if session.identity(uid) not in seen
                and not self._limit.knows(session.identity(uid))
            ]
            short = (
                (uid, size)
                for uid, size in session.sizes(new)
                if self._limit.allows(session.identity(uid), size)
            )
            for uid, raw in session.fetch(short, self.max_bytes + 1):
                identity = session.identity(uid)
                # A server that names one size and gives another is not to be trusted with memory.
                if self._limit.allows(identity, len(raw)):
                    yield Mail(identity, raw)

    @contextlib.contextmanager
    def _opened(self, *, anew: bool = False) -> Iterator[ImapSession]:
        connection = get_connection(self.conn_id, asked_by="receipts_imap_conn_id")
        extra = connection.extra_dejson
        where = f"mailbox {self.conn_id!r}"
        if not connection.host:
            raise ConfigurationError(f"{where}: host: missing")
        login = connection.login or ""
        source = token_source(where, login, extra)
        with imap_errors(where):
            client = connect(connection, extra, self.timeout_s)
        try:
            session = ImapSession(client, where, f"imap:{connection.host}")
            if source is not None:
                log_in_by_token(client, where, login, source, anew=anew)
            else:
                log_in_by_password(client, where, login, connection.password or "")
            session.examine(str(extra.get("mail_folder") or "INBOX"))
            yield session
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                client.logout()
            # A line that was cut leaves the socket open.
            with contextlib.suppress(OSError):
                client.shutdown()


@dataclass(kw_only=True)
class ReceiptFolder:
    """A folder in which each file is a raw mail, as mail services store them in a bucket.

    :param folder: the folder.
    :param max_bytes: longer files are left out.
    """

    folder: Folder
    max_bytes: int = MAX_MAIL_BYTES
    _limit: _Limit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._limit = _Limit(self.max_bytes)

    @property
    def place(self) -> str:
        """Which folder it is."""
        return f"folder {self.folder.url} for mails"

    def check(self) -> None:
        """List the folder, and read nothing.

        :raises ConfigurationError: when it may not be listed.
        """
        next(self.folder.list(), None)

    def mails(self, since: datetime, *, seen: Container[str] = ()) -> Iterator[Mail]:
        """Read the files written at ``since`` or later that are not in ``seen``, some at once."""
        new = self._new(since, seen)
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            # Eight of the longest at most are in memory.
            while some := list(islice(new, _READ_AT_ONCE)):
                paths = [path for _, path in some]
                for (identity, _), raw in zip(
                    some, pool.map(self.folder.read_bytes, paths), strict=True
                ):
                    if raw is not None and self._limit.allows(identity, len(raw)):
                        yield Mail(identity, raw)

    def _new(self, since: datetime, seen: Container[str]) -> Iterator[tuple[str, str]]:
        for entry in self.folder.list():
            identity = f"{self.folder.url}/{entry.version}"
            is_new = entry.modified >= since and identity not in seen
            if is_new and self._limit.allows(identity, entry.size):
                yield identity, entry.path
