"""What formatting needs of a place to write to. The stores room fills it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Storage(Protocol):
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

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless there is one; whether it was written.

        Of two callers at the same time, one is told True.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete a file; that there is none is no error."""
        ...
