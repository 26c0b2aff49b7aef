"""Copying an object within S3: the bytes go from bucket to bucket and are not sent from here.

They are read here all the same, while S3 copies them, to hold their checksum against the
manifest's: S3 itself knows no SHA-256 of an object that was written in pieces. All of it is of
one version, and the copy does not appear before the checksum is right.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import NO_SUCH_REQUEST, error_code, s3_errors, write_new
from airflow_am_provider.storage.s3.folder import checksum_args
from airflow_am_provider.storage.s3.unfinished import abort_upload, begin_upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_am_provider.storage.s3.folder import S3Folder

_logger = logging.getLogger(__name__)

# S3 takes pieces from 5 MiB to 5 GiB, 10,000 of them at most.
_PIECE_BYTES: Final = 64 << 20
_PIECES_AT_ONCE: Final = 4
_AWS: Final = ".amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One object that is to be copied.

    :param source: the folder that it lies in.
    :param path: where in it.
    :param target: the folder for the copy.
    :param key: where in that one.
    :param size: bytes.
    :param sha256: its checksum, hexadecimal, to be kept with the copy.
    :param only_new: whether nothing may be there.
    """

    source: S3Folder
    path: str
    target: S3Folder
    key: str
    size: int
    sha256: str
    only_new: bool = False

    def run(self, check: Callable[[], None]) -> bool:
        """Copy; False, and nothing was changed, where S3 does not do it for these accounts.

        :param check: reads the source while S3 copies; the copy appears when it raises nothing.
        :raises TransientError: when the server fails or the line breaks.
        :raises AlreadyThere: when ``only_new``, and there is an object.
        """
        if not self.size or not _is_one_service(self.source.client, self.target.client):
            return False
        try:
            upload, etag = self._begin()
        except ConfigurationError as refusal:
            return self._refused(refusal)
        try:
            with ThreadPoolExecutor(_PIECES_AT_ONCE, "copy") as pool:
                starts = range(0, self.size, _PIECE_BYTES)
                pieces = pool.map(partial(self._piece, upload, etag), starts)
                # Refused, if at all, before anything is read.
                done = [next(pieces)]
                check()
                done += pieces
            with s3_errors("write", self._url, access_of(self.target.client)):
                write_new(
                    self.target.client.complete_multipart_upload,
                    only_new=self.only_new,
                    **self._place,
                    UploadId=upload,
                    MultipartUpload={"Parts": done},
                )
        except ConfigurationError as refusal:
            abort_upload(self.target.client, self.target.bucket, self.target.key(self.key), upload)
            return self._refused(refusal)
        except BaseException:
            abort_upload(self.target.client, self.target.bucket, self.target.key(self.key), upload)
            raise
        return True

    @property
    def _place(self) -> dict[str, str]:
        return {"Bucket": self.target.bucket, "Key": self.target.key(self.key)}

    @property
    def _origin(self) -> dict[str, str]:
        return {"Bucket": self.source.bucket, "Key": self.source.key(self.path)}

    @property
    def _url(self) -> str:
        return f"{self.target.url}/{self.key}"

    def _begin(self) -> tuple[str, str]:
        """Look at the source with the account that is to read it, and begin the copy."""
        client = self.target.client
        with s3_errors("read", f"{self.source.url}/{self.path}", access_of(client)):
            head = client.head_object(**self._origin)
        with s3_errors("write", self._url, access_of(self.target.client)):
            args = {**self.target.extra_args, **checksum_args(self.sha256)}
            upload = begin_upload(client, self.target.bucket, self.target.key(self.key), args)
        return upload, head["ETag"]

    def _piece(self, upload: str, etag: str, start: int) -> dict[str, Any]:
        number = start // _PIECE_BYTES + 1
        end = min(start + _PIECE_BYTES, self.size)
        with s3_errors("write", self._url, access_of(self.target.client)), _unknown_is_refused():
            answer = self.target.client.upload_part_copy(
                **self._place,
                UploadId=upload,
                PartNumber=number,
                CopySource=self._origin,
                CopySourceIfMatch=etag,
                CopySourceRange=f"bytes={start}-{end - 1}",
            )
        copied = answer.get("CopyPartResult", {}).get("ETag")
        if copied is None:
            # A server that does not know this request takes it for a piece without bytes.
            raise ConfigurationError("the server copies no pieces")
        return {"ETag": copied, "PartNumber": number}

    def _refused(self, refusal: ConfigurationError) -> bool:
        _logger.info("Not copied within S3, so sent from here: %s", refusal)
        return False


@contextmanager
def _unknown_is_refused() -> Iterator[None]:
    """A server that does not know a request is no broken one, though it answers 501."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error.response) in NO_SUCH_REQUEST:
            raise ConfigurationError("the server copies no pieces") from None
        raise


def _is_one_service(source: Any, target: Any) -> bool:
    """Whether both clients speak to the same S3; AWS copies between its regions too."""
    urls = [str(client.meta.endpoint_url) for client in (source, target)]
    return urls[0] == urls[1] or all(url.endswith(_AWS) for url in urls)
