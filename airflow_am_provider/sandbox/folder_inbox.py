"""Files in a folder: a plain one, or the one that an FTP server serves.

Pages: inbound-ftp-filenames.md, faq/faq-data-collection.md.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.processed_markers import MARK, Marker
from airflow_am_provider.deliveries.layout import is_never_sent
from airflow_am_provider.sandbox.inbox import FoundFile

if TYPE_CHECKING:
    from collections.abc import Iterator


class FolderInbox:
    """A plain folder, looked through with all folders in it. Nothing is ever written to it.

    Hidden files, links and what is no regular file are passed over, and what lies beside a
    delivery's files, as in a folder of ``airflow-am format``. Uploads under a temporary name are
    left alone because such a name is not one of the contract.

    :param path: the folder.
    :param bucket: how receipts call the place.
    :raises ConfigurationError: when there is no such folder.
    """

    scheme = ""

    def __init__(self, path: str, *, bucket: str) -> None:
        self.url = f"{self.scheme}{path}"
        self._root = Path(path).absolute()
        self._bucket = bucket
        if not self._root.is_dir():
            raise ConfigurationError(f"inbox {self.url!r}: there is no such folder")

    def files(self) -> Iterator[FoundFile]:
        """What is there now, but for markers, what else is not meant to be sent, hidden files."""
        errors: list[OSError] = []
        for folder, folders, names in os.walk(self._root, onerror=errors.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.startswith(".") or self._is_beside(name):
                    continue
                found = self._found(Path(folder, name))
                if found is not None:
                    yield found
        for error in errors:
            if Path(error.filename) == self._root:
                raise TransientError(f"{self.url}: {error.strerror}") from error
            yield self._unreadable(Path(error.filename), f"folder: {error.strerror}")

    def refusal(self, file: FoundFile) -> str | None:
        """None: whoever runs a sandbox may read the folder, or is told otherwise by `open`."""
        return None

    @contextmanager
    def open(self, file: FoundFile) -> Iterator[BinaryIO]:
        """Open a file."""
        try:
            with self._path(file.path).open("rb") as stream:
                if _version(os.fstat(stream.fileno())) != file.version:
                    raise FileNotFoundError(file.path)
                yield stream
        except FileNotFoundError:
            raise
        except OSError as error:
            raise TransientError(f"{file.path}: {error.strerror}") from error

    def mark(self, path: str, version: str) -> bool:
        """Leave a plain folder as it is."""
        return False

    def _is_beside(self, name: str) -> bool:
        return is_never_sent(name)

    def _path(self, path: str) -> Path:
        return Path(path.removeprefix(self.scheme))

    def _found(self, path: Path) -> FoundFile | None:
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        if not os.path.isfile(path) or path.is_symlink():  # noqa: PTH113  # Path's raises where it may not look
            return None
        changed_on = datetime.fromtimestamp(status.st_mtime, UTC).date()
        text = _text(path)
        if text != str(path):
            return self._unreadable(path, "its path is not UTF-8")
        return FoundFile(
            path=f"{self.scheme}{text}",
            name=path.name,
            version=_version(status),
            byte_count=status.st_size,
            printed=f"s3n://{self._bucket}/{changed_on}/{path.name}",
        )

    def _unreadable(self, path: Path, problem: str) -> FoundFile:
        text = _text(path)
        return FoundFile(
            path=f"{self.scheme}{text}",
            name=text.rpartition("/")[2],
            version="",
            byte_count=0,
            printed="",
            place_problem=problem,
        )


class FtpFolderInbox(FolderInbox):
    """The folder that an FTP server serves: a file that was read is renamed.

    ``NAME.sync.gz`` becomes ``NAME.processed.gz``: "their extension changes from .sync to
    .processed" (faq/faq-data-collection.md).
    """

    scheme = "ftp-folder:"

    def _is_beside(self, name: str) -> bool:
        # What lies on the server was sent there, a manifest by mistake.
        return Marker.parse(name) is not None

    def mark(self, path: str, version: str) -> bool:
        """Rename a file, unless it was written anew since; that one is a file to be read."""
        place = self._path(path)
        try:
            if _version(place.lstat()) != version:
                return False
            place.rename(place.with_name(processed_name(place.name)))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TransientError(f"{path}: {error.strerror}") from error
        return True


def processed_name(name: str) -> str:
    """The name that a file has on the FTP server when it was picked up.

    >>> processed_name("ftp_dpm_478_1366545717.sync.1.gz")
    'ftp_dpm_478_1366545717.processed.1.gz'
    """
    stem, _, rest = name.partition(".")
    _, dot, tail = rest.partition(".")
    return f"{stem}{MARK}{dot}{tail}"


def _version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _text(path: Path) -> str:
    """A path as text that a database can hold."""
    return os.fsencode(path).decode(errors="backslashreplace")
