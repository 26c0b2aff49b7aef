"""Files over SFTP, by paramiko."""

from __future__ import annotations

import stat
from contextlib import contextmanager, suppress
from errno import EACCES, ENOENT
from typing import TYPE_CHECKING, Final

from paramiko import SFTPAttributes, SFTPClient, SSHException
from paramiko.sftp import CMD_CLOSE, CMD_OPENDIR, CMD_READDIR, SFTPError

from airflow_am_provider.storage.drops.session import Broken, Refused
from airflow_am_provider.storage.paths import is_safe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_am_provider.storage.drops.session import Source

_BLOCK_BYTES: Final = 1 << 20
_UNEXPLAINED: Final = "a failure that it does not explain"


class LenientSftpClient(SFTPClient):  # type: ignore[misc]  # paramiko ships no types
    """An SFTP client that a stranger's file name cannot put out of step."""

    def list_names(self, path: str) -> list[str]:
        """The names in a directory; paramiko's own listing ends at the first that is not UTF-8."""
        _, answer = self._request(CMD_OPENDIR, path)
        handle, names = answer.get_binary(), []
        with suppress(EOFError):
            while True:
                _, answer = self._request(CMD_READDIR, handle)
                for _ in range(answer.get_int()):
                    names.append(answer.get_binary().decode("utf-8", "replace"))
                    answer.get_binary()  # the same as a line of `ls -l`
                    SFTPAttributes._from_msg(answer)  # noqa: SLF001  # the one way past them
        self._request(CMD_CLOSE, handle)
        return names


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
            return frozenset(filter(is_safe_path, self._sftp.list_names(self._directory)))

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
            file.seek(offset)
            # Answers are not waited for block by block, but all of them are read: the last block
            # goes when those before it are answered.
            file.set_pipelined(True)
            block = source.read(_BLOCK_BYTES)
            while following := source.read(_BLOCK_BYTES):
                file.write(block)
                block = following
            file.set_pipelined(False)
            file.write(block)

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


@contextmanager
def failures(*refusals: type[OSError]) -> Iterator[None]:
    """Tell refusals from what may go well the next time.

    The host's own words are left out: they may repeat ours.

    :param refusals: OSError where a failure without a reason is a refusal too.
    """
    try:
        yield
    except TimeoutError:
        raise Broken("no answer in time") from None
    except OSError as error:
        if error.errno == ENOENT:
            raise Refused("no such file or directory") from None
        if error.errno == EACCES:
            raise Refused("permission denied") from None
        if error.errno is None:
            raise (Refused if refusals else Broken)(_UNEXPLAINED) from None
        raise Broken(type(error).__name__) from None
    except EOFError:
        raise Broken("a connection that ended early") from None
    except (SSHException, SFTPError) as error:
        raise Broken(type(error).__name__) from None
