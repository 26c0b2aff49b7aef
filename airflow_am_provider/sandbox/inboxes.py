"""Where a sandbox finds files: what an S3 bucket, an FTP server's folder and a folder share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError

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


def open_inbox(url: str, *, bucket: str) -> Inbox:
    """The inbox for a setting.

    :param url: ``s3://BUCKET[/PARTNER]``, ``ftp-folder:/PATH`` for the folder that an FTP server
        serves, or the path of a plain folder.
    :param bucket: how receipts call the bucket of files that did not come by S3.
    :raises ConfigurationError: when it is neither.
    """
    # S3 needs boto3, which a sandbox on folders does without.
    if url.startswith("s3://"):
        from airflow_am_provider.sandbox.s3_inbox import S3Inbox

        return S3Inbox(url)
    from airflow_am_provider.sandbox.folder_inbox import FolderInbox, FtpFolderInbox

    if url.startswith("ftp-folder:"):
        return FtpFolderInbox(url.removeprefix("ftp-folder:"), bucket=bucket)
    if "://" in url:
        raise ConfigurationError(
            f"inbox {url!r}: s3://BUCKET, ftp-folder:/PATH or the path of a folder is needed"
        )
    return FolderInbox(url, bucket=bucket)
