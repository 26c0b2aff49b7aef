"""The one way in which an object is written to S3 in pieces, several of them at once.

Staging streams into it, sending goes on with it after a break, copying lets S3 itself fill the
pieces. Nobody sees the object before the last piece is there and it is completed.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import NO_SUCH_REQUEST, error_code, s3_errors, write_new
from airflow_am_provider.storage.s3.unfinished import abort_upload, abort_uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future


_NO_COPY: Final = "the server copies no pieces"


class PiecesGone(TransientError):
    """An upload was completed or aborted by somebody else."""


class PiecesReplaced(TransientError):
    """Somebody else has sent pieces of the same upload anew."""


@dataclass(kw_only=True)
class MultipartWriter:
    """One object that is written, whole or in pieces.

    :param client: boto3's S3 client.
    :param bucket: the bucket's name.
    :param key: the object's key.
    :param args: what it is written with, in the words of boto3's ``ExtraArgs``.
    :param only_new: whether nothing may be there.
    :param at_once: how many pieces are on their way at the same time.
    :param upload_id: what S3 calls the upload; empty before it is begun.
    :param etags: the pieces that are there: what S3 calls each, by its number from 1 on.
    :param arrived: called when pieces have arrived.
    """

    client: Any
    bucket: str
    key: str
    args: Mapping[str, Any]
    only_new: bool = False
    at_once: int = 3
    upload_id: str = ""
    etags: dict[int, str] = field(default_factory=dict)
    arrived: Callable[[], None] = lambda: None
    _pool: ThreadPoolExecutor | None = field(default=None, init=False)
    _running: set[Future[tuple[int, str]]] = field(default_factory=set, init=False)

    @property
    def url(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    def put(self, content: bytes | bytearray) -> None:
        """Write the object at once.

        :raises AlreadyThere: when ``only_new``, and there is an object.
        """
        with self._errors():
            write_new(
                self.client.put_object,
                only_new=self.only_new,
                **self._place,
                Body=content,
                **self.args,
            )

    def begin(self) -> None:
        """Begin to write it in pieces."""
        with self._errors():
            # The client asks again when an answer gets lost.
            answer = self.client.create_multipart_upload(**self._place, **self.args)
        begun = self.upload_id = str(answer["UploadId"])
        self.etags = {}
        if answer["ResponseMetadata"].get("RetryAttempts"):
            # The server may have begun another one each time.
            abort_uploads(
                self.client,
                self.bucket,
                self.key,
                lambda key, upload_id: key == self.key and upload_id != begun,
            )

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Pieces are sent within the block; those that are on their way are there after it."""
        with ThreadPoolExecutor(self.at_once, "piece") as self._pool:
            try:
                yield
                while self._running:
                    self.wait()
            except BaseException:
                for future in self._running:
                    future.cancel()
                # Those that are on their way may arrive still.
                self._keep(wait(self._running).done)
                raise
            finally:
                self._running = set()

    def send(self, number: int, content: bytes | bytearray) -> None:
        """Send a piece; first wait until fewer than ``at_once`` are on their way.

        :param number: which piece, from 1 on.
        :param content: 5 MiB or more, save for the last one.
        :raises AudienceManagerError: when an earlier piece failed.
        """
        if len(self._running) >= self.at_once:
            self.wait()
        self._start(self._sent, number, content)

    def copy(self, number: int, **origin: Any) -> None:
        """Let S3 fill a piece from an object that it has.

        :param number: which piece, from 1 on.
        :param origin: where the bytes are, in the words of boto3's ``upload_part_copy``.

        That it cannot do it says :meth:`wait`, as a ``ConfigurationError``.
        """
        self._start(self._copied, number, origin)

    def wait(self) -> None:
        """Wait for one of the pieces that are on their way.

        :raises AudienceManagerError: when it failed.
        """
        done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
        self._keep(done)
        for future in done:
            future.result()

    def complete(self) -> None:
        """Make the object of its pieces.

        :raises AlreadyThere: when ``only_new``, and there is an object.
        """
        parts = [
            {"PartNumber": number, "ETag": self.etags[number]} for number in sorted(self.etags)
        ]
        with self._errors():
            write_new(
                self.client.complete_multipart_upload,
                only_new=self.only_new,
                **self._place,
                UploadId=self.upload_id,
                MultipartUpload={"Parts": parts},
            )

    def abort(self) -> None:
        """Delete the pieces that are there, if the account may."""
        abort_upload(self.client, self.bucket, self.key, self.upload_id)

    @property
    def _place(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    def _start(self, fill: Callable[[int, Any], str], number: int, content: Any) -> None:
        assert self._pool is not None
        self._running.add(self._pool.submit(lambda: (number, fill(number, content))))

    def _sent(self, number: int, content: bytes | bytearray) -> str:
        with self._errors():
            answer = self.client.upload_part(
                **self._place, UploadId=self.upload_id, PartNumber=number, Body=content
            )
        return str(answer["ETag"])

    def _copied(self, number: int, origin: Mapping[str, Any]) -> str:
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                answer = self.client.upload_part_copy(
                    **self._place, UploadId=self.upload_id, PartNumber=number, **origin
                )
            except ClientError as error:
                if error_code(error.response) not in NO_SUCH_REQUEST:
                    raise
                # It is no broken server, though it answers 501.
                raise ConfigurationError(_NO_COPY) from None
        copied = answer.get("CopyPartResult", {}).get("ETag")
        if copied is None:
            # A server that does not know this request takes it for a piece without bytes.
            raise ConfigurationError(_NO_COPY)
        return str(copied)

    def _keep(self, done: set[Future[tuple[int, str]]]) -> None:
        """Take down the pieces that arrived."""
        arrived = [one for one in done if not one.cancelled() and one.exception() is None]
        self.etags.update(one.result() for one in arrived)
        if arrived:
            self.arrived()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors in this package's words."""
        from botocore.exceptions import ClientError

        with s3_errors("write", self.url, access_of(self.client)):
            try:
                yield
            except ClientError as error:
                code = error_code(error.response)
                if code == "InvalidPart":
                    # Where S3 encrypts by KMS, the same bytes have another ETag each time.
                    raise PiecesReplaced(
                        f"{self.url}: another attempt sent its pieces anew; the next one goes on"
                    ) from None
                if code != "NoSuchUpload":
                    raise
                raise PiecesGone(
                    f"{self.url}: its pieces are gone; the next attempt writes it anew"
                ) from None
