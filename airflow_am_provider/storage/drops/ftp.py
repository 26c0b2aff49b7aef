"""Files over FTP, and over FTPS, which differs in how the connection is made.

Page: inbound-file-compression.md (binary mode).
"""

from __future__ import annotations

import ftplib  # some accounts have nothing else
import io
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Final

from airflow_am_provider.storage.drops.session import Broken, Refused, reason
from airflow_am_provider.storage.folder import ListedFile
from airflow_am_provider.storage.paths import is_safe_path

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

    from airflow_am_provider.storage.drops.session import Source

_BLOCK_BYTES: Final = 1 << 20
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DISK_FULL: Final = ("452", "552")


class FtpSession:
    """A connection to an FTP host; see :class:`~airflow_am_provider.storage.drops.session.Session`.

    :param ftp: logged in, binary, with timeouts, in its directory.
    """

    def __init__(self, ftp: ftplib.FTP) -> None:
        self._ftp = ftp

    @classmethod
    def open(cls, connect: Callable[[], ftplib.FTP], directory: str) -> FtpSession:
        """Connect and enter the directory.

        :param connect: opens a connection: logged in, binary, with timeouts.
        """
        with _failures():
            ftp = connect()
            try:
                ftp.cwd(directory)
            except BaseException:
                ftp.close()
                raise
            return cls(ftp)

    def check(self) -> None:
        """Ask for the directory."""
        with _failures():
            self._ftp.pwd()

    def names(self) -> frozenset[str]:
        """The names in the directory."""
        with _failures():
            try:
                listed = self._listed()
            except UnicodeDecodeError:
                # Adobe's names are ASCII; whatever else lies there must not be in the way.
                self._ftp.encoding = "latin-1"
                listed = self._listed()
            return frozenset(filter(is_safe_path, (name.rpartition("/")[2] for name in listed)))

    def files(self) -> list[ListedFile]:
        """The files in the directory, with their sizes; when they were written, some hosts say."""
        with _failures():
            try:
                entries = list(self._ftp.mlsd(facts=["type", "size", "modify"]))
            except ftplib.error_perm:
                return [
                    ListedFile(name, size, _NEVER)
                    for name in sorted(self.names())
                    if (size := self.size(name)) is not None
                ]
        return [
            ListedFile(name, int(facts["size"]), _modified(facts.get("modify", "")))
            for name, facts in entries
            if is_safe_path(name)
            and facts.get("type") == "file"
            and facts.get("size", "").isdigit()
        ]

    def read(self, name: str) -> BinaryIO:
        """Open a file for reading, from its begin to its end; nothing else may go on meanwhile."""
        with _failures():
            self._ftp.voidcmd("TYPE I")
            line = self._ftp.transfercmd(f"RETR {name}")
        return io.BufferedReader(_FtpReader(self._ftp, line))

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None when there is none, or the host does not tell."""
        with _failures():
            try:
                # A listing leaves the connection in text mode, where many hosts tell no sizes.
                self._ftp.voidcmd("TYPE I")
                return self._ftp.size(name)
            except ftplib.error_perm:
                return None

    def store(self, name: str, source: Source, offset: int) -> None:
        """Write a file from an offset on."""
        with _failures():
            self._ftp.storbinary(f"STOR {name}", source, _BLOCK_BYTES, rest=offset or None)

    def rename(self, old: str, new: str, *, replace: bool) -> None:  # none can ask
        """Give a file another name; whether that replaces another is the host's habit."""
        with _failures():
            self._ftp.rename(old, new)

    def delete(self, name: str) -> None:
        """Delete a file."""
        with _failures():
            self._ftp.delete(name)

    def leave(self) -> None:
        """Say goodbye."""
        with suppress(*ftplib.all_errors):
            self._ftp.quit()

    def close(self) -> None:
        """Close the connection without a word."""
        self._ftp.close()

    def _listed(self) -> list[str]:
        try:
            return self._ftp.nlst()
        except ftplib.error_perm as error:
            if str(error).startswith("550"):  # how some hosts say that a directory is empty
                return []
            raise


def _modified(text: str) -> datetime:
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return _NEVER


class _FtpReader(io.RawIOBase):
    """A file on its way from the host."""

    def __init__(self, ftp: ftplib.FTP, line: socket.socket) -> None:
        super().__init__()
        self._ftp = ftp
        self._line = line
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        if self._is_over:
            return 0
        with _failures():
            taken = self._line.recv_into(memoryview(buffer).cast("B"))
            if not taken:
                # A file that was cut ends as one that is whole: the host's last word tells.
                self._is_over = True
                self._line.close()
                self._ftp.voidresp()
        return taken

    def close(self) -> None:
        if not self.closed:
            self._line.close()
        super().close()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        # A full disk is none that a person has to correct in a connection.
        is_full = str(error).startswith(_DISK_FULL)
        raise (Broken if is_full else Refused)(_reply(error)) from None
    except ftplib.all_errors as error:
        raise Broken(_reply(error)) from None


def _reply(error: Exception) -> str:
    """The number of a reply, or the kind of failure: the host's own words may repeat ours."""
    code = str(error)[:3]
    if isinstance(error, ftplib.Error) and code.isdecimal():
        return f"reply {code}"
    return reason(error)
