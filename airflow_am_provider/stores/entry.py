"""One file of a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_am_provider.formatting.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


class Entry(NamedTuple):
    """One file of a folder, as listed.

    :param path: relative to the folder; checked, so that it is safe to open.
    :param size: bytes.
    :param modified: when it was written, in UTC.
    """

    path: str
    size: int
    modified: datetime

    @property
    def version(self) -> str:
        """Changes when the file does: what tells a file seen before from a new one."""
        return f"{self.path}:{self.size}:{self.modified.isoformat()}"


class Unfinished(NamedTuple):
    """A write that broke off, as when its process was killed.

    :param place: where its bytes lie, in the words of the folder.
    :param key: what more the folder needs to find it.
    :param size: bytes, as far as the folder knows.
    """

    place: str
    key: str
    size: int


class Folder(Storage, Protocol):
    """A folder that can be looked into as well."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """The files whose path begins with ``prefix``; names that are not safe are left out."""
        ...

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:
        """Writes that were begun before a time, and neither ended nor taken back."""
        ...

    def discard_unfinished(self, write: Unfinished) -> None:
        """Delete what such a write has left; that there is none is no error."""
        ...
