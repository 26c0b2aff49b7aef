"""A directory on an FTP host that files are dropped into, under their names only when whole.

Pages: inbound-file-compression.md (binary mode), inbound-ftp-filenames.md (a name that ends in
``.part`` is none that Adobe takes).
"""

from __future__ import annotations

import ftplib  # Adobe's older accounts have nothing else
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
from airflow_am_provider.storage.paths import checked_path, is_safe_path
from airflow_am_provider.storage.verified_read import VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

UNFINISHED: Final = ".part"
_BLOCK_BYTES: Final = 1 << 16
_DISK_FULL: Final = ("452", "552")


class Published(StrEnum):
    """What became of giving a file its name."""

    NOW = "now"  # it has it since this moment
    BEFORE = (
        "before"  # it is uploaded no more, and something has the name, or was picked up under it
    )
    TAKEN = "taken"  # it is uploaded still, and something else has the name, or had it
    GONE = "gone"  # there is no trace of it, so that it must be uploaded again


class FtpDrop:
    """A directory on an FTP host.

    :param connect: opens a connection: logged in, binary, with timeouts.
    :param directory: where files go, as the host names it.
    :param attempts: how often a step is tried before it is a :class:`TransientError`.
    :param pause_s: seconds before the second attempt; it doubles with each further one.
    """

    def __init__(
        self,
        connect: Callable[[], ftplib.FTP],
        directory: str = "/",
        *,
        attempts: int = 5,
        pause_s: float = 1.0,
    ) -> None:
        self._connect = connect
        self._directory = directory
        self._attempts = attempts
        self._pause_s = pause_s
        self._ftp: ftplib.FTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the host; that it is gone already is no error."""
        if self._ftp is not None:
            with suppress(*ftplib.all_errors):
                self._ftp.quit()
        self._disconnect()

    def check(self) -> None:
        """Log in and enter the directory, and do nothing there.

        :raises ConfigurationError: when the host refuses; :raises TransientError: when it fails.
        """
        self._try("enter", self._directory, lambda ftp: ftp.pwd())

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

        def send(ftp: ftplib.FTP) -> None:
            nonlocal may_resume
            offset = (_size(ftp, path) or 0) if may_resume else 0
            may_resume = True
            self._send(ftp, path, source, offset if offset <= size else 0, size, sha256)

        self._try("upload", path, send)

    def publish(self, temporary: str, name: str, *, only_new: bool = True) -> Published:
        """Give an uploaded file its own name.

        :param temporary: the name it was uploaded under.
        :param name: its own.
        :param only_new: not when something has, or had, that name.
        :raises ConfigurationError: when the host refuses.
        :raises TransientError: when the line or the host fails every time.
        """
        old, new = checked_path(temporary), checked_path(name)

        def rename(ftp: ftplib.FTP) -> Published:
            found = _published(old, new, _names(ftp)) if only_new else None
            if found is not None:
                return found
            try:
                ftp.rename(old, new)
            except ftplib.error_perm as error:
                # Perhaps done before, by an attempt that did not live to hear of it, or by one that
                # is at it in this moment.
                found = _published(old, new, _names(ftp))
                if found is None:
                    raise EOFError(f"not renamed: {_reply(error)}") from None
                return found
            return Published.NOW

        return self._try("rename", old, rename)

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None when there is none, or the host does not tell.

        :raises TransientError: when the line or the host fails every time.
        """
        path = checked_path(name)
        return self._try("look for", path, lambda ftp: _size(ftp, path))

    def discard(self, temporary: str) -> None:
        """Delete what was uploaded under a temporary name.

        :raises TransientError: when the line or the host fails every time.
        """
        path = checked_path(temporary)

        def delete(ftp: ftplib.FTP) -> None:
            # There is none, or this account may not; who gives a file up can do no more.
            with suppress(ftplib.error_perm):
                ftp.delete(path)

        self._try("delete", path, delete)

    def names(self) -> frozenset[str]:
        """The names in the directory; those that are not safe are left out."""
        return self._try("list", self._directory, _names)

    def _send(
        self, ftp: ftplib.FTP, path: str, source: BinaryIO, offset: int, size: int, sha256: str
    ) -> None:
        source.seek(0)
        reader = VerifiedReader(source)
        if offset:
            _logger.info("Going on with %s at byte %s of %s", path, f"{offset:,}", f"{size:,}")
            reader.skip(offset)
        try:
            ftp.storbinary(f"STOR {path}", reader, _BLOCK_BYTES, rest=offset or None)
        except ftplib.error_perm:
            if not offset:
                raise
            # It knows no such command, or another attempt has just given the file its name.
            _logger.info("The host cannot go on with a file, so %s starts over", path)
            return self._send(ftp, path, source, 0, size, sha256)
        try:
            reader.check(path, size=size, sha256=sha256)
        except DataError:
            with suppress(*ftplib.all_errors):
                ftp.delete(path)
            raise
        arrived = _size(ftp, path)
        if arrived is not None and arrived != size:
            raise EOFError(f"{arrived:,} of {size:,} bytes arrived")
        return None

    def _try(self, action: str, what: str, step: Callable[[ftplib.FTP], _T]) -> _T:
        """Do a step, each time on a new connection when the last one broke."""
        failure: Exception = EOFError()
        for attempt in range(1, self._attempts + 1):
            try:
                return step(self._connected())
            except (AudienceManagerError, KeyboardInterrupt):
                self._disconnect()
                raise
            except ftplib.error_perm as error:
                self._disconnect()
                if not str(error).startswith(_DISK_FULL):
                    raise ConfigurationError(
                        f"FTP: cannot {action} {printable(what)!r}: the host refuses with "
                        f"{_reply(error)}; check the account's rights and ftp_directory"
                    ) from None
                failure = error
            except ftplib.all_errors as error:
                self._disconnect()
                failure = error
            if attempt < self._attempts:
                pause_s = self._pause_s * 2 ** (attempt - 1)
                _logger.warning(
                    "FTP: could not %s %s (%s), attempt %d of %d; next in %g s",
                    action,
                    printable(what),
                    _reply(failure),
                    attempt,
                    self._attempts,
                    pause_s,
                )
                time.sleep(pause_s)
        raise TransientError(
            f"FTP: cannot {action} {printable(what)!r}: {_reply(failure)}, {self._attempts} times"
        )

    def _connected(self) -> ftplib.FTP:
        if self._ftp is None:
            self._ftp = self._connect()
            self._ftp.cwd(self._directory)
        return self._ftp

    def _disconnect(self) -> None:
        # After a failed transfer the host's replies are out of step, so no farewell.
        if self._ftp is not None:
            self._ftp.close()
            self._ftp = None


def _published(temporary: str, name: str, names: frozenset[str]) -> Published | None:
    """What a listing says of a file that is to get its name; None when nothing is in the way."""
    is_uploaded = temporary in names
    if name in names or marked([name], names):
        return Published.TAKEN if is_uploaded else Published.BEFORE
    return None if is_uploaded else Published.GONE


def _size(ftp: ftplib.FTP, path: str) -> int | None:
    """Size of a file in bytes; None when there is none, or the host does not tell."""
    try:
        # A listing leaves the connection in text mode, where many hosts tell no sizes.
        ftp.voidcmd("TYPE I")
        return ftp.size(path)
    except ftplib.error_perm:
        return None


def _names(ftp: ftplib.FTP) -> frozenset[str]:
    try:
        listed = _listed(ftp)
    except UnicodeDecodeError:
        # Adobe's names are ASCII; whatever else lies there must not be in the way.
        ftp.encoding = "latin-1"
        listed = _listed(ftp)
    return frozenset(filter(is_safe_path, (name.rpartition("/")[2] for name in listed)))


def _listed(ftp: ftplib.FTP) -> list[str]:
    try:
        return ftp.nlst()
    except ftplib.error_perm as error:
        if str(error).startswith("550"):  # how some hosts say that a directory is empty
            return []
        raise


def _reply(error: Exception) -> str:
    """The number of a reply, or the kind of failure: the host's own words may repeat ours."""
    code = str(error)[:3]
    if isinstance(error, ftplib.Error) and code.isdecimal():
        return f"reply {code}"
    return "a transfer that ended early" if isinstance(error, EOFError) else type(error).__name__
