"""A directory as a folder. Files appear whole or not at all, and only their owner may read them."""

from __future__ import annotations

import errno
import io
import logging
import os
import secrets
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.storage.folder import ListedFile, Unfinished
from airflow_am_provider.storage.paths import checked_path, is_safe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from typing_extensions import Buffer

_logger = logging.getLogger(__name__)
_BUFFER_BYTES: Final = 1 << 20
_UNFINISHED: Final = ".unfinished"
# Parts and lists of what was set aside are data of customers, whatever the umask allows.
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
# What a person has to mend; anything else may be better in a minute (a full disk, a lost mount).
_WRONG: Final = (
    FileExistsError,
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
)
_MAKE_ROOM: Final = (
    "; make room there, by the task that cleans staging (CleanStagingOperator) or a larger disk"
)


class LocalFolder:
    """A directory on this machine, or one that all workers share.

    Directories that are made are their owner's alone (0700), and so are files (0600). A directory
    that was there keeps its mode.

    :param root: its absolute path; made when the first file is written.
    :param setting: what names it, for messages: ``staging_location of connection 'adobe'``.
    :param must_exist: whether it is an error to list it where it is not there.
    :raises ConfigurationError: when the path is not absolute.

    >>> LocalFolder("/data/staging").url
    '/data/staging'
    """

    def __init__(self, root: str | Path, *, setting: str = "", must_exist: bool = False) -> None:
        self.root = Path(root)
        self._setting = setting
        self._must_exist = must_exist
        if not self.root.is_absolute():
            raise ConfigurationError(
                f"folder {printable(str(root))!r}: an absolute path is expected, since every "
                f"worker has a working directory of its own"
            )

    @property
    def url(self) -> str:
        """The directory's path."""
        return str(self.root)

    @contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for writing; it appears when the block is left without an error.

        :param path: relative to the folder.
        :raises ConfigurationError: when the path leaves the folder or may not be written.
        :raises TransientError: when writing fails otherwise, as on a full disk.
        """
        target = self._target(path)
        temporary = target.with_name(f".{secrets.token_hex(8)}{_UNFINISHED}")
        with self._errors("write", target):
            make_private_folder(target.parent)
            raw = _File(temporary, "xb", opener=_open_private)
            raw.errors_of = partial(self._errors, "write", target)
        try:
            with io.BufferedWriter(raw, _BUFFER_BYTES) as file:
                yield file
                file.flush()
                with self._errors("write", target):
                    os.fsync(raw.fileno())
            with self._errors("write", target):
                temporary.replace(target)
                _sync_directory(target.parent)
        except BaseException:
            with suppress(OSError):
                raw.close()
            temporary.unlink(missing_ok=True)
            raise

    def open_read(self, path: str) -> BinaryIO:
        """Open a file for reading.

        :raises ConfigurationError: when there is none, or it may not be read.
        """
        target = self._target(path)
        with self._errors("read", target):
            return target.open("rb", buffering=_BUFFER_BYTES)

    def read_bytes(self, path: str) -> bytes | None:
        """The whole of a small file, or None when there is none."""
        target = self._target(path)
        with self._errors("read", target):
            try:
                return target.read_bytes()
            except FileNotFoundError:
                return None

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a small file, replacing the one that is there."""
        with self.open_write(path) as file:
            file.write(content)

    def delete(self, path: str) -> None:
        """Delete a file; that there is none is no error."""
        target = self._target(path)
        with self._errors("delete", target):
            target.unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        target = self._target(path)
        with self._errors("read", target):
            return target.is_file()

    def size(self, path: str) -> int | None:
        """How many bytes a file has, or None when there is none."""
        target = self._target(path)
        with self._errors("read", target):
            try:
                return target.stat().st_size
            except FileNotFoundError:
                return None

    def list(self, prefix: str = "") -> Iterator[ListedFile]:
        """The files whose path begins with ``prefix``, in order of their paths.

        Unfinished files, links and names that are not safe are left out.

        :raises ConfigurationError: when the directory must exist and does not.
        """
        start = self.root / prefix.rpartition("/")[0]
        if "/" in prefix:
            self._target(prefix.rpartition("/")[0])
        with self._errors("list", start):
            if self._must_exist and not self.root.is_dir():
                where = f" ({self._setting})" if self._setting else ""
                raise ConfigurationError(
                    f"{_whole(self.root)!r}{where}: there is no such folder; check the path, and "
                    f"that each worker and the triggerer reach it"
                )
            for directory, names, files in os.walk(start, onerror=_raise_unless_missing):
                names.sort()
                for name in sorted(files):
                    file = Path(directory, name)
                    path = file.relative_to(self.root).as_posix()
                    if not path.startswith(prefix) or name.endswith(_UNFINISHED):
                        continue
                    if not is_safe_path(path):
                        _logger.warning("Left out of %s: %r", start, printable(path))
                        continue
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        status = file.lstat()
                        if file.is_symlink():
                            continue
                        modified = datetime.fromtimestamp(status.st_mtime, UTC)
                        yield ListedFile(path, status.st_size, modified)

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Hold a lock of this machine; others wait. It is gone when its process is.

        :param path: of the lock file, which stays.
        :raises ConfigurationError: when the user may not write there.
        :raises TransientError: when the file cannot be made otherwise, as on a full disk.
        """
        import fcntl

        target = self._target(path)
        with self._errors("lock", target):
            make_private_folder(target.parent)
            # Opened, never replaced: two that make it at once must lock the same file.
            handle = os.open(target, os.O_CREAT | os.O_RDWR, _FILE_MODE)
        try:
            with self._errors("lock", target):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:
        """Writes that were begun before a time and broke off, as when a worker was killed."""
        with self._errors("list", self.root):
            for directory, _, files in os.walk(self.root, onerror=_raise_unless_missing):
                for name in files:
                    if not name.endswith(_UNFINISHED):
                        continue
                    with suppress(FileNotFoundError):  # finished meanwhile
                        status = Path(directory, name).lstat()
                        if datetime.fromtimestamp(status.st_mtime, UTC) < before:
                            yield Unfinished(str(Path(directory, name)), "", status.st_size)

    def discard_unfinished(self, write: Unfinished) -> None:
        """Delete what such a write has left."""
        with self._errors("delete", Path(write.where)):
            Path(write.where).unlink(missing_ok=True)

    def _errors(self, action: str, target: Path) -> AbstractContextManager[None]:
        return _os_errors(action, target, self._setting)

    def _target(self, path: str) -> Path:
        target = self.root / checked_path(path)
        if not target.resolve().is_relative_to(self.root.resolve()):
            raise ConfigurationError(
                f"path {printable(path)!r}: a link on its way leads out of {self.root}"
            )
        return target


def make_private_folder(path: Path) -> None:
    """Make a directory, and those above it, for their owner alone; those that are there stay."""
    if path.is_dir():
        return
    if path != path.parent:
        make_private_folder(path.parent)
    try:
        path.mkdir(_FOLDER_MODE)
    except FileExistsError:
        # Another writer was quicker, or it is a file.
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE_MODE)


class _File(io.FileIO):
    """Tells what a failed write means, however deep in someone's writer it happens."""

    errors_of: Callable[[], AbstractContextManager[None]]

    def write(self, data: Buffer, /) -> int:
        with self.errors_of():
            return super().write(data) or 0


@contextmanager
def _os_errors(action: str, target: Path, setting: str = "") -> Iterator[None]:
    try:
        yield
    except AudienceManagerError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        where = f"{action} {_whole(target)!r}{f' ({setting})' if setting else ''}"
        if isinstance(error, _WRONG) or error.errno == errno.EROFS:
            raise ConfigurationError(
                f"cannot {where}: {reason}; check the path and the rights of the user that Airflow "
                f"runs as"
            ) from None
        advice = _MAKE_ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise TransientError(f"cannot {where}: {reason}{advice}") from None


def _whole(path: Path) -> str:
    """A path as it may stand in a message: to find a place on a disk takes all of it."""
    return "".join(one if one.isprintable() else "?" for one in str(path))


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_directory(directory: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
