"""What an S3 bucket, an FTP server's folder and a folder share as inboxes of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFile:
    """A file in an inbox, not looked into yet.

    :param path: the whole path, with the inbox's kind; unique among all inboxes.
    :param name: its own name.
    :param version: changes when the file is written anew.
    :param byte_count: its size as sent.
    :param printed: how a receipt prints the path.
    :param partner: the company's folder on S3, else empty.
    :param place_problem: why it does not lie where files are looked for, or empty.
    """

    path: str
    name: str
    version: str
    byte_count: int
    printed: str
    partner: str = ""
    place_problem: str = ""


class Inbox(Protocol):
    """A place that is looked through again and again. Every method may raise TransientError."""

    @property
    def url(self) -> str:
        """The place, as given in the settings."""
        ...

    def files(self) -> Iterator[FoundFile]:
        """What is there now, but for markers and names that begin with a dot."""
        ...

    def refusal(self, file: FoundFile) -> str | None:
        """Why Audience Manager may not read a file, or None."""
        ...

    def open(self, file: FoundFile) -> AbstractContextManager[BinaryIO]:
        """Open a file.

        :raises FileNotFoundError: when it has gone since.
        """
        ...

    def mark(self, path: str, version: str) -> bool:
        """Set the ``.processed`` marker of a file that was read; once more does no harm.

        :return: whether there is a marker now.
        """
        ...
