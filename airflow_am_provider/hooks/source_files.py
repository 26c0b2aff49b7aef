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
    """

    folder: Folder
    path: str

    def open(self) -> BinaryIO:
        """Open it for reading.

        :raises ConfigurationError: when there is none.
        """
        return self.folder.open_read(self.path)

    def entry(self) -> Entry | None:
        """What a listing says of it; None when it is not in one."""
        return next((one for one in self.folder.list(self.path) if one.path == self.path), None)


def source_files(
    hook: AudienceManagerHook, urls: Sequence[str], *, aws_conn_id: str | None = None
) -> list[SourceFile]:
    """The files behind URLs, those of a folder in the order of their names.

    :param hook: opens the folders.
    :param urls: files, or folders ending in ``/``.
    :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
    :raises ConfigurationError: when a folder has none, or a URL is wrong.
    """
    files = []
    for url in urls:
        parent, slash, name = url.rpartition("/")
        if not slash:
            raise ConfigurationError(
                f"source {url!r}: neither s3://bucket/key nor an absolute path"
            )
        folder = hook.open_folder(parent or "/", aws_conn_id=aws_conn_id)
        found = [name]
        if not name:
            found = [entry.path for entry in folder.list() if _is_table(entry.path)]
            if not found:
                raise ConfigurationError(
                    f"source {url!r}: no file in it that ends in {', '.join(READABLE)}"
                )
        files += [SourceFile(folder, path) for path in found]
    return files


def versions(files: Sequence[SourceFile]) -> str:
    """A short text that changes when a file is written anew, or another comes or goes."""
    said = hashlib.sha256()
    for file in files:
        entry = file.entry()
        version = f"{file.path}:{file.folder.size(file.path)}" if entry is None else entry.version
        said.update(f"{file.folder.url}\n{version}\n".encode())
    return said.hexdigest()[:12]


def _is_table(path: str) -> bool:
    hidden = path.rpartition("/")[2].startswith((".", "_"))
    return not hidden and path.lower().endswith(READABLE)
