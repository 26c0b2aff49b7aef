"""A directory on another host that files are dropped into, under their names only when whole.

Page: inbound-ftp-filenames.md (a name that ends in ``.part`` is none that Adobe takes).
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Final, Self, TypeVar

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.processed_markers import marked
from airflow_am_provider.storage.drops.session import Broken, Refused, Unexplained, Unreached
from airflow_am_provider.storage.paths import checked_path
from airflow_am_provider.storage.verified_read import VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.storage.drops.session import Session

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

UNFINISHED: Final = ".part"


class Published(StrEnum):
    """What became of giving a file its name."""

    NOW = "now"  # it has it since this moment
    BEFORE = (
        "before"  # it is uploaded no more, and something has the name, or was picked up under it
    )
    TAKEN = "taken"  # it is uploaded still, and something else has the name, or had it
    GONE = "gone"  # there is no trace of it, so that it must be uploaded again


class _StillRefused(Broken):
    """The host says no, although nothing is in the way; the text is its reply."""


class Drop:
    """A directory on another host.

    :param open_session: connects, logs in and enters the directory; with timeouts.
    :param name: what messages call it, such as ``SFTP connection 'adobe_sftp'``.
    :param directory: where files go, as the host names it, for messages.
    :param attempts: how often a step is tried before it is a :class:`TransientError`.
    :param pause_s: seconds before the second attempt; it doubles with each further one.
    :param configured_in: where ``ftp_directory`` stands, for messages.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        name: str,
        directory: str = "/",
        *,
        attempts: int = 5,
        pause_s: float = 1.0,
        configured_in: str = "",
    ) -> None:
        self._open_session = open_session
        self._name = name
        self._directory = directory
        self._attempts = attempts
        self._pause_s = pause_s
        self._configured_in = f" of the {configured_in}" if configured_in else ""
        self._session: Session | None = None
        self._taken: set[str] = set()  # what the host has just taken, by temporary name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the host; that it is gone already is no error."""
        if self._session is not None:
            with suppress(Refused, Broken):
                self._session.leave()
        self._disconnect()

    def check(self) -> None:
        """Log in and enter the directory, and do nothing there.

        :raises ConfigurationError: when the host refuses; :raises TransientError: when it fails.
        """
        self._try("enter", self._directory, lambda session: session.check())

    def put(
        self, temporary: str, source: BinaryIO, *, size: int, sha256: str, resume: bool
    ) -> None:
        """Upload a file under a temporary name; :meth:`publish` gives it its own.

        When the line breaks, sending goes on where the host's copy ends.

        :param temporary: a name that ends in :data:`UNFINISHED` and that nobody else uses.
        :param source: what to send; it can seek.
        :param size: its length in bytes.
        :param sha256: its checksum, hexadecimal.
        :param resume: go on with what is there already under the temporary name. Only for who
            knows that it is the begin of this very file.
        :raises DataError: when the source is not what size and checksum say; nothing stays.
        :raises ConfigurationError: when the host refuses.
        :raises TransientError: when the line or the host fails every time.
        """
        path = checked_path(temporary)
        may_resume = resume

        def send(session: Session) -> None:
            nonlocal may_resume
            offset = (session.size(path) or 0) if may_resume else 0
            may_resume = True
            _send(session, path, source, offset if offset <= size else 0, size, sha256)

        self._try("upload", path, send)
        self._taken.add(path)

    def publish(self, temporary: str, name: str, *, only_new: bool = True) -> Published:
        """Give an uploaded file its own name.

        :param temporary: the name it was uploaded under.
        :param name: its own.
        :param only_new: not when something has, or had, that name.
        :raises ConfigurationError: when the host refuses.
        :raises TransientError: when the line or the host fails every time.
        """
        old, new = checked_path(temporary), checked_path(name)

        def rename(session: Session) -> Published:
            found = _published(old, new, session.names()) if only_new else None
            if found is Published.GONE and old in self._taken:
                with suppress(Refused):
                    session.delete(old)
                raise ConfigurationError(
                    f"{self._name}: the host took {printable(old)!r} and does not list it in "
                    f"{printable(self._directory)!r}, so nothing tells whether a name is taken; "
                    f"nothing was sent. Ask for the right to list the directory"
                )
            if found is not None:
                return found
            try:
                session.rename(old, new, replace=not only_new)
            except Refused as reply:
                # Perhaps done before, by an attempt that did not live to hear of it, or by one that
                # is at it in this moment.
                found = _published(old, new, session.names())
                if found is None and isinstance(reply, Unexplained):
                    raise Broken(f"not renamed: {reply}") from None
                if found is None:
                    # It may be that the host has not seen yet what it took.
                    raise _StillRefused(str(reply)) from None
                return found
            self._taken.discard(old)
            return Published.NOW

        return self._try("rename", old, rename)

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None when there is none, or the host does not tell.

        :raises TransientError: when the line or the host fails every time.
        """
        path = checked_path(name)
        return self._try("look for", path, lambda session: session.size(path))

    def discard(self, temporary: str) -> None:
        """Delete what was uploaded under a temporary name.

        :raises TransientError: when the line or the host fails every time.
        """
        path = checked_path(temporary)

        def delete(session: Session) -> None:
            # There is none, or this account may not; who gives a file up can do no more.
            with suppress(Refused):
                session.delete(path)

        self._try("delete", path, delete)

    def names(self) -> frozenset[str]:
        """The names in the directory; those that are not safe are left out."""
        return self._try("list", self._directory, lambda session: session.names())

    def _try(self, action: str, what: str, step: Callable[[Session], _T]) -> _T:
        """Do a step, each time on a new connection when the last one broke."""
        last = Broken("")
        for attempt in range(1, self._attempts + 1):
            try:
                return step(self._connected())
            except (AudienceManagerError, KeyboardInterrupt):
                self._disconnect()
                raise
            except Refused as reply:
                self._disconnect()
                raise self._refusal(action, what, reply) from None
            except Broken as how:
                self._disconnect()
                last = how
            if attempt < self._attempts:
                pause_s = self._pause_s * 2 ** (attempt - 1)
                _logger.warning(
                    "%s: could not %s %s (%s), attempt %d of %d; tried again by itself in %g s",
                    self._name,
                    action,
                    printable(what),
                    last,
                    attempt,
                    self._attempts,
                    pause_s,
                )
                time.sleep(pause_s)
        if isinstance(last, _StillRefused):
            raise self._refusal(action, what, last)
        advice = "; check host and port, and that this machine may go there"
        raise TransientError(
            f"{self._name}: cannot {action} {printable(what)!r}: {last}, {self._attempts} times"
            f"{advice if isinstance(last, Unreached) else ''}"
        )

    def _refusal(self, action: str, what: str, reply: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"{self._name}: cannot {action} {printable(what)!r}: the host refuses with {reply}; "
            f"check ftp_directory{self._configured_in}, and the account's rights"
        )

    def _connected(self) -> Session:
        if self._session is None:
            self._session = self._open_session()
        return self._session

    def _disconnect(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _send(
    session: Session, path: str, source: BinaryIO, offset: int, size: int, sha256: str
) -> None:
    source.seek(0)
    reader = VerifiedReader(source)
    if offset:
        _logger.info("Going on with %s at byte %s of %s", path, f"{offset:,}", f"{size:,}")
        reader.skip(offset)
    try:
        session.store(path, reader, offset)
    except Refused:
        if not offset:
            raise
        # The host cannot go on with files, or another attempt has just given this one its name.
        _logger.info("The host cannot go on with a file, so %s starts over", path)
        return _send(session, path, source, 0, size, sha256)
    try:
        reader.check(path, size=size, sha256=sha256)
    except DataError:
        with suppress(Refused, Broken):
            session.delete(path)
        raise
    arrived = session.size(path)
    if arrived is not None and arrived != size:
        raise Broken(f"{arrived:,} of {size:,} bytes arrived")
    return None


def _published(temporary: str, name: str, names: frozenset[str]) -> Published | None:
    """What a listing says of a file that is to get its name; None when nothing is in the way."""
    is_uploaded = temporary in names
    if name in names or marked([name], names):
        return Published.TAKEN if is_uploaded else Published.BEFORE
    return None if is_uploaded else Published.GONE
