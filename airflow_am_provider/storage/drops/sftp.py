"""Files over SFTP, by paramiko."""

from __future__ import annotations

import io
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EACCES, ENOENT
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, Final

from paramiko import Message, SFTPAttributes, SFTPClient, SSHException
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_EXTENDED,
    CMD_INIT,
    CMD_OPENDIR,
    CMD_READDIR,
    CMD_STATUS,
    CMD_VERSION,
    CMD_WRITE,
    SFTPError,
    int64,
)

from airflow_am_provider.storage.drops.session import Broken, Refused, Unexplained, reason
from airflow_am_provider.storage.folder import ListedFile
from airflow_am_provider.storage.paths import is_safe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paramiko import SFTPFile
    from typing_extensions import Buffer

    from airflow_am_provider.storage.drops.session import Source

# One request's answer has at most 32 kB with every server; so many are on their way at once.
_PIECE_BYTES: Final = 32 << 10
_WINDOW_BYTES: Final = 4 << 20
_ANY_FAILURE: Final = (OSError, EOFError, SSHException, SFTPError)
_VERSION: Final = 3
_LIMITS: Final = b"limits@openssh.com"
# With what stands before the bytes, one packet of SSH; paramiko leaves 64 of its 32,768 free.
_PACKET_BYTES: Final = 32_704
_SAFE_WRITE_BYTES: Final = 32_000
# OpenSSH's own limit.
_MOST_WRITE_BYTES: Final = 261_120
# As OpenSSH's own client.
_REQUESTS_AT_ONCE: Final = 64
_UNEXPLAINED: Final = "a failure that it does not explain, such as a full disk"


class LenientSftpClient(SFTPClient):  # type: ignore[misc]  # paramiko ships no types
    """An SFTP client that a stranger's file name cannot put out of step, and that never idles."""

    _extensions: frozenset[bytes] = frozenset()

    def list_entries(self, path: str) -> list[tuple[str, SFTPAttributes]]:
        """What is in a directory; paramiko's own listing ends at the first name not in UTF-8."""
        _, answer = self._request(CMD_OPENDIR, path)
        handle, entries = answer.get_binary(), []
        with suppress(EOFError):
            while True:
                _, answer = self._request(CMD_READDIR, handle)
                for _ in range(answer.get_int()):
                    name = answer.get_binary().decode("utf-8", "replace")
                    answer.get_binary()  # the same as a line of `ls -l`
                    entries.append((name, SFTPAttributes._from_msg(answer)))  # noqa: SLF001  # it has no other way
        self._request(CMD_CLOSE, handle)
        return entries

    @cached_property
    def write_bytes(self) -> int:
        """How many bytes the host takes in one request.

        All take some 32 KB (draft-ietf-secsh-filexfer-02, 3); OpenSSH 8.5 and others tell how many
        more. paramiko's own 32,768 need a second packet of SSH for the last bytes of each request.
        """
        if _LIMITS not in self._extensions:
            return _SAFE_WRITE_BYTES
        _, answer = self._request(CMD_EXTENDED, _LIMITS)
        # The longest message, the longest read, then the longest write; 0 is for none known.
        _, _, longest = (answer.get_int64() for _ in range(3))
        return min(longest, _MOST_WRITE_BYTES) if longest else _SAFE_WRITE_BYTES

    def write_from(self, handle: bytes, source: Source, offset: int) -> None:
        """Write a file from an offset on.

        Many requests are on their way at once, and the oldest answer makes room for the next one.
        paramiko's own file waits for all of them each time it looks.
        """
        answers, size = _Answers(self), self.write_bytes
        while block := source.read(size):
            while answers.missing >= _REQUESTS_AT_ONCE:
                self._read_response()
            answers.missing += 1
            self._async_request(answers, CMD_WRITE, handle, int64(offset), block)
            offset += len(block)
        while answers.missing:
            self._read_response()

    def _send_version(self) -> int:
        """Say hello, and note which extensions the host offers, which paramiko passes over."""
        hello = Message()
        hello.add_int(_VERSION)
        self._send_packet(CMD_INIT, hello)
        kind, data = self._read_packet()
        if kind != CMD_VERSION:
            raise SFTPError("Incompatible sftp protocol")
        answer, names = Message(data), []
        version: int = answer.get_int()
        while answer.get_remainder():
            names.append(answer.get_binary())
            answer.get_binary()  # its version
        self._extensions = frozenset(names)
        return version

    def _write_all(self, out: bytes) -> None:
        # paramiko copies all that is left for each packet.
        left = memoryview(out)
        while left:
            sent = self.sock.send(bytes(left[:_PACKET_BYTES]))
            if sent <= 0:
                raise EOFError
            left = left[sent:]


class _Answers:
    """The answers to what was written: how many are missing; one that is an error is raised."""

    def __init__(self, client: LenientSftpClient) -> None:
        self._client = client
        self.missing = 0

    def _async_response(self, kind: int, answer: Message, _: int) -> None:
        """What paramiko calls with an answer, in whichever order they come."""
        self.missing -= 1
        if kind != CMD_STATUS:
            raise SFTPError("Expected status")
        self._client._convert_status(answer)  # noqa: SLF001  # it has no other way


class SftpSession:
    """A connection by SFTP; see :class:`~airflow_am_provider.storage.drops.session.Session`.

    :param sftp: logged in, with timeouts.
    :param directory: where files go, as the host names it.
    :param close: ends the connection that it runs over.
    """

    def __init__(self, sftp: LenientSftpClient, directory: str, close: Callable[[], None]) -> None:
        self._sftp = sftp
        self._directory = directory
        self.close = close

    def check(self) -> None:
        """Ask for the directory."""
        with failures():
            mode = self._sftp.stat(self._directory).st_mode
        if mode is not None and not stat.S_ISDIR(mode):
            raise Refused("no such directory")

    def names(self) -> frozenset[str]:
        """The names in the directory."""
        with failures():
            entries = self._sftp.list_entries(self._directory)
        return frozenset(name for name, _ in entries if is_safe_path(name))

    def files(self) -> list[ListedFile]:
        """The files in the directory, with their sizes."""
        with failures():
            entries = self._sftp.list_entries(self._directory)
        return [
            ListedFile(name, entry.st_size, datetime.fromtimestamp(entry.st_mtime or 0, UTC))
            for name, entry in entries
            if is_safe_path(name) and entry.st_size is not None and _is_file(entry)
        ]

    def read(self, name: str) -> BinaryIO:
        """Open a file for reading, from its begin to its end."""
        with failures():
            file = self._sftp.open(self._path(name), "rb")
            return io.BufferedReader(_SftpReader(file, file.stat().st_size or 0))

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None when there is none, or the host does not tell."""
        try:
            with failures():
                size: int | None = self._sftp.stat(self._path(name)).st_size
                return size
        except Refused:
            return None

    def store(self, name: str, source: Source, offset: int) -> None:
        """Write a file from an offset on."""
        with failures(), self._sftp.open(self._path(name), "r+" if offset else "w") as file:
            try:
                self._sftp.write_from(file.handle, source, offset)
            except TimeoutError:
                raise
            except OSError:
                # Later requests may have gone well, so that the file has a hole where this one
                # failed, and its length says nothing. What is gone is begun anew.
                with suppress(Exception):
                    self._sftp.remove(self._path(name))
                raise

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Give a file another name.

        SFTP's own rename must fail where the name is taken (draft-ietf-secsh-filexfer-02, 6.5);
        OpenSSH does so in one step, by a hard link, where the file system has them.
        ``posix-rename@openssh.com`` replaces, in one step too.
        """
        old, new = self._path(old), self._path(new)
        with failures(OSError):
            if not replace:
                self._sftp.rename(old, new)
                return
        try:
            with failures(OSError):
                self._sftp.posix_rename(old, new)
        except Refused:
            # A host without it: make room first. The bytes are still there under their old name.
            with suppress(Refused), failures(OSError):
                self._sftp.remove(new)
            with failures(OSError):
                self._sftp.rename(old, new)

    def delete(self, name: str) -> None:
        """Delete a file."""
        with failures():
            self._sftp.remove(self._path(name))

    def leave(self) -> None:
        """Say goodbye."""
        self.close()

    def _path(self, name: str) -> str:
        return f"{self._directory.rstrip('/')}/{name}"


def _is_file(entry: SFTPAttributes) -> bool:
    return entry.st_mode is None or stat.S_ISREG(entry.st_mode)


class _SftpReader(io.RawIOBase):
    """A file on the host: many requests are on their way at once, and no more than a window.

    What is written to it after it was opened is not read.
    """

    def __init__(self, file: SFTPFile, size: int) -> None:
        super().__init__()
        self._file = file
        self._size = size
        self._offset = 0
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        if not self._held:
            self._held = memoryview(self._window())
        view = memoryview(buffer).cast("B")
        taken = min(len(view), len(self._held))
        view[:taken] = self._held[:taken]
        self._held = self._held[taken:]
        return taken

    def _window(self) -> bytes:
        with failures():
            wanted = min(self._size - self._offset, _WINDOW_BYTES)
            starts = range(self._offset, self._offset + wanted, _PIECE_BYTES)
            end = self._offset + wanted
            pieces = [(start, min(_PIECE_BYTES, end - start)) for start in starts]
            data = b"".join(self._file.readv(pieces)) if pieces else b""
        self._offset += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            with suppress(*_ANY_FAILURE):
                self._file.close()
        super().close()


@contextmanager
def failures(*refusals: type[OSError]) -> Iterator[None]:
    """Tell refusals from what may go well the next time.

    The host's own words are left out: they may repeat ours.

    :param refusals: OSError where a failure without a reason is a refusal too.
    """
    try:
        yield
    except OSError as error:
        if error.errno == ENOENT:
            raise Refused("no such file or directory") from None
        if error.errno == EACCES:
            raise Refused("permission denied") from None
        if error.errno is None and type(error) is OSError:
            raise (Unexplained if refusals else Broken)(_UNEXPLAINED) from None
        raise Broken(reason(error)) from None
    except EOFError as error:
        raise Broken(reason(error)) from None
    except (SSHException, SFTPError) as error:
        raise Broken(type(error).__name__) from None
