"""Opens the inbox that a setting names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_am_provider.sandbox.inbox import Inbox


def open_inbox(url: str, *, bucket: str) -> Inbox:
    """The inbox for a setting.

    :param url: ``s3://BUCKET[/[PREFIX/]PARTNER]``, ``ftp-folder:/PATH`` for the folder that an FTP
        server serves, or the path of a plain folder.
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
