"""The files that a source's URLs stand for."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.file_kinds import (
    beginning_of,
    is_pattern,
    is_readable,
    matches,
    nothing_readable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.storage.folder import Folder, ListedFile


_logger = logging.getLogger(__name__)


class SourceFile(NamedTuple):
    """A file to read rows from.

    :param folder: where it lies.
    :param path: its path there.
    :param listed: what a listing says of it, where it was found in one.
    """

    folder: Folder
    path: str
    listed: ListedFile | None = None

    def open(self) -> BinaryIO:
        """Open it for reading.

        :raises ConfigurationError: when there is none.
        """
        return self.folder.open_read(self.path)

    @property
    def size(self) -> int:
        """How many bytes it has; 0 when there is none."""
        return self.listed.size if self.listed else self.folder.size(self.path) or 0

    def version(self) -> str:
        """Changes when the file does."""
        of_that_name = (one for one in self.folder.list(self.path) if one.path == self.path)
        entry = self.listed or next(of_that_name, None)
        return entry.version if entry else f"{self.path}:{self.size}"


class FolderOpener(Protocol):
    """What opens folders by their URL: the hook of a connection."""

    def open_folder(
        self, url: str, *, aws_conn_id: str | None = None, asked_by: str = "aws_conn_id"
    ) -> Folder:
        """Open a folder.

        :param url: ``s3://bucket/prefix``, ``file:///path`` or an absolute path.
        :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
        :param asked_by: the parameter that names it, for messages.
        :raises ConfigurationError: when the URL is none of them.
        """
        ...


class Sources:
    """What URLs stand for, as often as it is asked.

    :param hook: opens the folders.
    :param urls: files, folders, or patterns with ``*`` and ``?`` in the last name.
    :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
    :param asked_by: the parameter that names it, for messages.
    :raises ConfigurationError: when a URL is wrong.
    """

    def __init__(
        self,
        hook: FolderOpener,
        urls: Sequence[str],
        *,
        aws_conn_id: str | None = None,
        asked_by: str = "source_conn_id",
    ) -> None:
        self._places: list[tuple[str, Folder, str]] = []
        for url in urls:
            is_bucket = url.startswith("s3://") and url.count("/") == 2
            parent, slash, name = (f"{url}/" if is_bucket else url).rpartition("/")
            if not slash:
                raise ConfigurationError(
                    f"source {url!r}: neither s3://bucket/key nor an absolute path"
                )
            if is_pattern(parent):
                raise ConfigurationError(
                    f"source {url!r}: '*' and '?' may stand in the last name alone; name the "
                    f"folder, whose files are read with those of the folders in it"
                )
            folder = hook.open_folder(parent or "/", aws_conn_id=aws_conn_id, asked_by=asked_by)
            self._places.append((url, folder, name))

    def files(self) -> list[SourceFile]:
        """The files, those of a folder in the order of their names.

        :raises ConfigurationError: when a folder has none.
        """
        return [file for place in self._places for file in _found(*place)]


def _found(url: str, folder: Folder, name: str) -> list[SourceFile]:
    if is_pattern(name):
        found = [entry for entry in folder.list(beginning_of(name)) if matches(entry.path, name)]
        within = ""
    elif name and folder.exists(name):
        return [SourceFile(folder, name)]
    else:
        within = f"{name}/" if name else ""
        found = list(folder.list(within))
        if name and not found:
            return [SourceFile(folder, name)]  # whoever opens it says that it is missing
    tables = [entry for entry in found if is_readable(entry.path.removeprefix(within))]
    if not tables:
        raise ConfigurationError(nothing_readable(url))
    _logger.info(
        "Source %s: %s files, %s left out that are hidden or of another kind",
        url,
        f"{len(tables):,}",
        f"{len(found) - len(tables):,}",
    )
    return [SourceFile(folder, entry.path, entry) for entry in tables]


def version_of(files: Sequence[SourceFile]) -> str:
    """A short text that changes when a file is written anew, or another comes or goes."""
    said = hashlib.sha256()
    for file in files:
        said.update(f"{file.folder.url}\n{file.version()}\n".encode())
    return said.hexdigest()[:12]
