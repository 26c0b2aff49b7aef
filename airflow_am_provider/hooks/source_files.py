"""The files that a source's URLs stand for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.formatting.file_kinds import READABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.stores.entry import Entry, Folder


class SourceFile(NamedTuple):
    """A file to read rows from.

    :param folder: where it lies.
    :param path: its path there.
    :param listed: what a listing says of it, where it was found in one.
    """

    folder: Folder
    path: str
    listed: Entry | None = None

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


class Sources:
    """What URLs stand for, as often as it is asked.

    :param hook: opens the folders.
    :param urls: files, or folders ending in ``/``.
    :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
    :param asked_by: the parameter that names it, for messages.
    :raises ConfigurationError: when a URL is wrong.
    """

    def __init__(
        self,
        hook: AudienceManagerHook,
        urls: Sequence[str],
        *,
        aws_conn_id: str | None = None,
        asked_by: str = "source_conn_id",
    ) -> None:
        self._places: list[tuple[str, Folder, str]] = []
        for url in urls:
            parent, slash, name = url.rpartition("/")
            if not slash:
                raise ConfigurationError(
                    f"source {url!r}: neither s3://bucket/key nor an absolute path"
                )
            folder = hook.open_folder(parent or "/", aws_conn_id=aws_conn_id, asked_by=asked_by)
            self._places.append((url, folder, name))

    def files(self) -> list[SourceFile]:
        """The files, those of a folder in the order of their names.

        :raises ConfigurationError: when a folder has none.
        """
        files = []
        for url, folder, name in self._places:
            found = [SourceFile(folder, name)]
            if not name:
                found = [
                    SourceFile(folder, entry.path, entry)
                    for entry in folder.list()
                    if _is_table(entry.path)
                ]
                if not found:
                    raise ConfigurationError(
                        f"source {url!r}: no file in it that ends in {', '.join(READABLE)}"
                    )
            files += found
        return files


def version_of(files: Sequence[SourceFile]) -> str:
    """A short text that changes when a file is written anew, or another comes or goes."""
    said = hashlib.sha256()
    for file in files:
        said.update(f"{file.folder.url}\n{file.version()}\n".encode())
    return said.hexdigest()[:12]


def _is_table(path: str) -> bool:
    hidden = path.rpartition("/")[2].startswith((".", "_"))
    return not hidden and path.lower().endswith(READABLE)
