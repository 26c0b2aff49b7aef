"""A prefix of an S3 bucket as a folder. Objects appear whole or not at all."""

from __future__ import annotations

import io
import logging
from datetime import UTC
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.storage.folder import ListedFile, Unfinished
from airflow_am_provider.storage.paths import checked_path, is_safe_path
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import NO_SUCH_REQUEST, error_code, s3_errors
from airflow_am_provider.storage.s3.multipart import MultipartWriter
from airflow_am_provider.storage.s3.range_reader import BLOCK_BYTES, RangeReader
from airflow_am_provider.storage.s3.stream import stream_into
from airflow_am_provider.storage.s3.unfinished import begun_uploads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

_logger = logging.getLogger(__name__)

_MISSING: Final = frozenset({"NoSuchKey", "404"})
_FORBIDDEN: Final = frozenset({"AccessDenied", "403"})


# Where an object's own checksum stands: its metadata, which comes with a HEAD.
_CHECKSUM: Final = "sha256"
_SENDING: Final = "sending"


def checksum_args(sha256: str, sending: str | None = None) -> dict[str, dict[str, str]]:
    """What an object is written with so that its checksum is kept with it; hexadecimal.

    :param sending: what tells it from the same content that was written before, or None.
    """
    return {"Metadata": {_CHECKSUM: sha256, **({_SENDING: sending} if sending else {})}}


class Stored(NamedTuple):
    """What a server says of an object's content without handing it out.

    :param size: bytes.
    :param sha256: the checksum it was written with, hexadecimal; None when it has none.
    :param sending: what it was written with to tell it from the same content that was written
        before; None when it has none.
    """

    size: int
    sha256: str | None
    sending: str | None = None


class S3Folder:
    """A prefix of a bucket.

    Writing overlaps with uploading, in flat memory: three pieces of 8 MiB at once.

    :param client: boto3's S3 client.
    :param bucket: the bucket's name.
    :param prefix: the folder in it, without slashes at its ends; empty for the whole bucket.
    :param extra_args: what every object is written with, in the words of boto3's ``ExtraArgs``:
        ``{"ACL": "bucket-owner-full-control"}``, ``{"ServerSideEncryption": "aws:kms", …}``.

    >>> S3Folder(None, "crm-staging", "audience-manager").url
    's3://crm-staging/audience-manager'
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str = "",
        *,
        extra_args: Mapping[str, str] | None = None,
    ) -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = checked_path(prefix.strip("/")) if prefix.strip("/") else ""
        self.extra_args = dict(extra_args or {})

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    def open_write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open an object for writing; it appears when the block is left without an error.

        :param path: relative to the folder.
        :raises ConfigurationError: when it may not be written; from a later write or the end of
            the block, as uploading goes on in the background.
        :raises TransientError: when the server fails or the line breaks.
        """
        writer = MultipartWriter(
            client=self.client, bucket=self.bucket, key=self.key(path), args=self.extra_args
        )
        return stream_into(writer)

    def open_read(self, path: str) -> BinaryIO:
        """Open an object for reading, by ranges; all of them are of one version of it.

        :raises ConfigurationError: when there is none, or it may not be read.
        """
        reader = RangeReader(self.client, self.bucket, self.key(path))
        return cast("BinaryIO", io.BufferedReader(reader, max(1, min(BLOCK_BYTES, reader.size))))

    def read_bytes(self, path: str) -> bytes | None:
        """The whole of a small object, or None when there is none."""
        from botocore.exceptions import ClientError

        key = self.key(path)
        with s3_errors("read", self._url(key), access_of(self.client)):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key)
                return cast("bytes", answer["Body"].read())
            except ClientError as error:
                if error_code(error.response) in _MISSING:
                    return None
                raise

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a small object, replacing the one that is there."""
        key = self.key(path)
        with s3_errors("write", self._url(key), access_of(self.client)):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=content, **self.extra_args)

    def delete(self, path: str) -> None:
        """Delete an object; that there is none is no error."""
        key = self.key(path)
        with s3_errors("delete", self._url(key), access_of(self.client)):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return self.stored(path) is not None

    def size(self, path: str) -> int | None:
        """How many bytes an object has, or None when there is none."""
        stored = self.stored(path)
        return None if stored is None else stored.size

    def stored(self, path: str) -> Stored | None:
        """Size and checksum of an object, or None when there is none.

        :raises ConfigurationError: when the account may not look.
        """
        answer = self._head(path)
        if answer is None:
            return None
        kept = answer["Metadata"]
        return Stored(answer["ContentLength"], kept.get(_CHECKSUM), kept.get(_SENDING))

    def modified(self, path: str) -> datetime | None:
        """When an object was written, by the server's clock, or None when there is none.

        :raises ConfigurationError: when the account may not look.
        """
        answer = self._head(path)
        return None if answer is None else answer["LastModified"].astimezone(UTC)

    def encryption(self, path: str) -> str | None:
        """How S3 encrypts an object: ``AES256``, ``aws:kms``, or None when it does not say.

        :raises ConfigurationError: when there is no such object, or the account may not look.
        """
        key = self.key(path)
        with s3_errors("look for", self._url(key), access_of(self.client)):
            answer = self.client.head_object(Bucket=self.bucket, Key=key)
        return cast("str | None", answer.get("ServerSideEncryption"))

    def list(self, prefix: str = "") -> Iterator[ListedFile]:
        """The objects whose path begins with ``prefix``, in order of their keys.

        Empty ones that stand for folders, and names that are not safe, are left out.
        """
        folder = f"{self.prefix}/" if self.prefix else ""
        url = self._url(folder + prefix)
        with s3_errors("list", url, access_of(self.client)):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=folder + prefix
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    path = item["Key"].removeprefix(folder)
                    if path.endswith("/") or not path:
                        continue
                    if not is_safe_path(path):
                        _logger.warning("Left out of %s: %r", url, printable(path))
                        continue
                    modified = item["LastModified"].astimezone(UTC)
                    etag = item.get("ETag", "").strip('"') or None
                    yield ListedFile(path, item["Size"], modified, etag)

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:
        """Multipart uploads that were begun before a time; none where they may not be listed."""
        from botocore.exceptions import ClientError

        prefix = f"{self.prefix}/" if self.prefix else ""
        with s3_errors("list", self.url, access_of(self.client)):
            try:
                for upload in begun_uploads(self.client, self.bucket, prefix):
                    if upload["Initiated"] < before:
                        yield Unfinished(upload["Key"], upload["UploadId"], 0)
            except ClientError as error:
                if error_code(error.response) not in _FORBIDDEN | NO_SUCH_REQUEST:
                    raise
                _logger.warning(
                    "%s: uploads that broke off cannot be listed (s3:ListBucketMultipartUploads); "
                    "a lifecycle rule of the bucket can end them",
                    self.url,
                )

    def discard_unfinished(self, write: Unfinished) -> None:
        """Abort such an upload, so that its pieces are deleted."""
        from botocore.exceptions import ClientError

        with s3_errors("delete", self._url(write.where), access_of(self.client)):
            try:
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=write.where, UploadId=write.key
                )
            except ClientError as error:
                if error_code(error.response) != "NoSuchUpload":
                    raise

    def _head(self, path: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        key = self.key(path)
        with s3_errors("look for", self._url(key), access_of(self.client)):
            try:
                return cast("dict[str, Any]", self.client.head_object(Bucket=self.bucket, Key=key))
            except ClientError as error:
                if error_code(error.response) in _MISSING:
                    return None
                raise

    def key(self, path: str) -> str:
        """The key of an object in the bucket."""
        return checked_path(f"{self.prefix}/{checked_path(path)}" if self.prefix else path)

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"
