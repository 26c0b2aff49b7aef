"""What every folder does that files are written to and read from, wherever it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime


class ListedFile(NamedTuple):
    """One file of a folder, as listed.

    :param path: relative to the folder; checked, so that it is safe to open.
    :param size: bytes.
    :param modified: when it was written, in UTC.
    :param etag: what S3 gives for its content, without quotes; None elsewhere.
    """

    path: str
    size: int
    modified: datetime
    etag: str | None = None

    @property
    def version(self) -> str:
        """Changes when the file does: what tells a file seen before from a new one."""
        return f"{self.path}:{self.size}:{self.modified.isoformat()}"


class Unfinished(NamedTuple):
    """A write that broke off, as when its process was killed.

    :param where: where its bytes lie, in the words of the folder.
    :param key: what more the folder needs to find it.
    :param size: bytes, as far as the folder knows.
    """

    where: str
    key: str
    size: int


class Folder(Protocol):
    """A folder that files are written to and read from by relative path.

    The local one is a directory; the others are object storage. A file appears whole or
    not at all.
    """

    @property
    def url(self) -> str:
        """Where the folder lies, for people: ``s3://bucket/prefix`` or a path."""
        ...

    def open_write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for writing; leaving the block without an error makes it appear."""
        ...

    def open_read(self, path: str) -> BinaryIO:
        """Open a file for reading; the result can seek."""
        ...

    def read_bytes(self, path: str) -> bytes | None:
        """The whole of a small file, or None when there is none."""
        ...

    def size(self, path: str) -> int | None:
        """How many bytes a file has, or None when there is none."""
        ...

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a small file, replacing the one that is there."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file; that there is none is no error."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        ...

    def list(self, prefix: str = "") -> Iterator[ListedFile]:
        """The files whose path begins with ``prefix``; names that are not safe are left out."""
        ...

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:
        """Writes that were begun before a time, and neither ended nor taken back."""
        ...

    def discard_unfinished(self, write: Unfinished) -> None:
        """Delete what such a write has left; that there is none is no error."""
        ...
