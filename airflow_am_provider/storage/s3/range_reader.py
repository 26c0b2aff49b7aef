"""Reading an S3 object by ranges: it can seek, and it is one version from begin to end."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import error_code, s3_errors

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK_BYTES: Final = 8 << 20
_ATTEMPTS: Final = 4


class RangeReader(io.RawIOBase):
    """An object of a bucket as a raw file.

    :param client: boto3's S3 client.
    :param bucket: the bucket.
    :param key: the object's key.
    :raises ConfigurationError: when there is no such object, or it may not be read.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        super().__init__()
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._url = f"s3://{bucket}/{key}"
        self._position = 0
        with s3_errors("read", self._url, access_of(self._client)):
            head = client.head_object(**self._where)
        self.size: int = head["ContentLength"]
        self._etag: str = head["ETag"]

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can seek: always."""
        return True

    def tell(self) -> int:
        """The position, in bytes from the begin."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is fetched before the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}: before the start")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes with one request; by default all that are left.

        :raises TransientError: when the object was replaced meanwhile, or does not come.
        """
        left = max(0, self.size - self._position)
        length = left if size < 0 else min(size, left)
        if length == 0:
            return b""
        content = self._fetch(self._position, length)
        self._position += length
        return content

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer with the next bytes; give how many there were."""
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def _fetch(self, start: int, length: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(1, _ATTEMPTS + 1):
            with s3_errors("read", self._url, access_of(self._client)):
                try:
                    answer = self._client.get_object(
                        **self._where,
                        Range=f"bytes={start}-{start + length - 1}",
                        IfMatch=self._etag,
                    )
                    content: bytes = answer["Body"].read()
                    if len(content) == length:
                        return content
                except ClientError as error:
                    if error_code(error.response) in {"PreconditionFailed", "412"}:
                        raise TransientError(
                            f"{printable(self._url)!r} was replaced while it was being read"
                        ) from None
                    raise
                except (BotoCoreError, OSError):
                    # boto repeats requests by itself, but not the reading of an answer.
                    if attempt == _ATTEMPTS:
                        raise
            time.sleep(0.2 * 2**attempt)
        raise TransientError(
            f"cannot read {printable(self._url)!r}: {length:,} bytes were asked for, and fewer came"
        )
