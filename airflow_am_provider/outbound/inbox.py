"""The folder that Adobe puts its files into: the customer's bucket, host or directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.control_files import (
    MOST_BYTES,
    ControlFile,
    parse_control_file,
)
from airflow_am_provider.audience_manager.outbound.names import is_control_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.storage.folder import ListedFile


class Inbox(Protocol):
    """A folder that is read and never written to. Every ``Folder`` of ours is one.

    Another store is one more class with these methods.
    """

    @property
    def url(self) -> str:
        """Where it lies, for people."""
        ...

    def list(self, prefix: str = "") -> Iterator[ListedFile]:
        """Its files; names that are not safe are left out."""
        ...

    def open_read(self, path: str) -> BinaryIO:
        """Open a file for reading from its begin to its end."""
        ...

    def read_bytes(self, path: str) -> bytes | None:
        """The whole of a small file, or None when there is none."""
        ...


class ControlFiles:
    """An inbox's control files, each read once as long as it does not change.

    :param inbox: where they lie.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._known: dict[str, tuple[str, ControlFile | DataError]] = {}

    def read(self, listing: Iterable[ListedFile]) -> dict[str, ControlFile | DataError]:
        """Each control file of a listing by its path, or why it cannot be read yet.

        :raises TransientError: when the inbox fails.
        """
        found: dict[str, ControlFile | DataError] = {}
        for file in listing:
            name = file.path.rpartition("/")[2]
            if not is_control_file(name):
                continue
            version, content = self._known.get(file.path, (None, None))
            if content is None or version != file.version:
                content = self._parse(file, name)
                self._known[file.path] = (file.version, content)
            found[file.path] = content
        return found

    def _parse(self, file: ListedFile, name: str) -> ControlFile | DataError:
        if file.size > MOST_BYTES:
            return DataError(
                f"control file {printable(file.path)!r}: {file.size:,} bytes; at most "
                f"{MOST_BYTES:,} are read"
            )
        content = self._inbox.read_bytes(file.path)
        if content is None:
            raise TransientError(
                f"{self._inbox.url}: {printable(file.path)} was listed and is gone"
            )
        try:
            return parse_control_file(content, name)
        except DataError as error:
            return error
