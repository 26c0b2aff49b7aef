"""Writes a large object in pieces, and goes on with the pieces that are missing.

Which pieces are there is noted as they arrive, since an account at Adobe may be allowed to write
and neither to read nor to list. Nobody sees the object before its last piece is there and all of it
was checked.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_am_provider.audience_manager.errors import AudienceManagerError, TransientError
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import AlreadyThere, error_code, s3_errors, write_new
from airflow_am_provider.storage.s3.unfinished import abort_upload, abort_uploads, begin_upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from airflow_am_provider.storage.verified_read import VerifiedReader

_logger = logging.getLogger(__name__)

# 10,000 pieces are S3's limit, so that a file may have 160 GB; Adobe's limit is 1 GB compressed.
PIECE_BYTES: Final = 16 << 20
_PIECES_AT_ONCE: Final = 3


class Note(Protocol):
    """Keeps a few hundred bytes from one attempt to the next."""

    def load(self) -> bytes | None:
        """What was kept, or None."""
        ...

    def save(self, content: bytes) -> None:
        """Keep something else."""
        ...

    def forget(self) -> None:
        """Keep nothing any more."""
        ...


@dataclass(kw_only=True)
class ResumableObject:
    """One object that is written in pieces.

    :param client: boto3's S3 client.
    :param bucket: the bucket's name.
    :param key: the object's key.
    :param args: what it is written with, in the words of boto3's ``ExtraArgs``.
    :param note: keeps which pieces are there.
    :param piece_bytes: size of a piece in bytes; S3 takes no less than 5 MiB but for the last one.
    :param only_new: whether nothing may be there.
    """

    client: Any
    bucket: str
    key: str
    args: Mapping[str, Any]
    note: Note
    piece_bytes: int = PIECE_BYTES
    only_new: bool = False
    _upload_id: str = field(default="", init=False)
    _etags: dict[int, str] = field(default_factory=dict, init=False)

    def write(self, source: VerifiedReader, check: Callable[[], None]) -> None:
        """Write it all, but for the pieces that are there.

        :param source: the object's content, from its start.
        :param check: raises when what was read is not what it should be; the object never appears.
        :raises TransientError: when the server fails; the next attempt goes on from there.
        :raises ConfigurationError: when the server refuses.
        :raises AlreadyThere: when ``only_new``, and there is an object.
        """
        first = source.read(self.piece_bytes)
        if len(first) < self.piece_bytes:
            check()
            self._put(first)
            return
        self._begin()
        try:
            self._send(first, source)
            check()
        except AudienceManagerError as error:
            # What may go better next time goes on from here.
            if not isinstance(error, TransientError):
                self._abort(self._upload_id)
                self.note.forget()
            raise
        try:
            self._complete()
        except AlreadyThere:
            self._abort(self._upload_id)
            self.note.forget()
            raise
        self.note.forget()

    def _put(self, content: bytes) -> None:
        with self._errors():
            write_new(
                self.client.put_object,
                only_new=self.only_new,
                Bucket=self.bucket,
                Key=self.key,
                Body=content,
                **self.args,
            )

    def _begin(self) -> None:
        """Go on with what an attempt before noted, or begin."""
        if self._noted():
            _logger.info("%s: going on after %d pieces", self.key, len(self._etags))
            return
        with self._errors():
            self._upload_id = begin_upload(self.client, self.bucket, self.key, self.args)
        self._etags = {}
        self._save()

    def _noted(self) -> str:
        content = self.note.load()
        if content is None:
            return ""
        noted = json.loads(content)
        if noted["piece_bytes"] != self.piece_bytes or noted["key"] != self.key:
            return ""  # Another day's or release's: it is aborted with the others.
        self._upload_id = str(noted["upload_id"])
        self._etags = {int(number): etag for number, etag in noted["etags"].items()}
        return self._upload_id

    def abort_others(self) -> None:
        """Abort what a worker began and could not note before it was killed: it costs money."""
        kept = self._noted()
        found = abort_uploads(
            self.client,
            self.bucket,
            self.key,
            lambda key, upload_id: key == self.key and upload_id != kept,
        )
        if kept and found is not None and kept not in found:
            # Another attempt, or a rule of the bucket, has ended it.
            self.note.forget()

    def withdraw(self) -> None:
        """Abort whatever was begun: the object will not be written."""
        if self._noted():
            self._abort(self._upload_id)
        self.note.forget()
        self.abort_others()

    def _abort(self, upload_id: str) -> None:
        abort_upload(self.client, self.bucket, self.key, upload_id)

    def _send(self, first: bytes, source: VerifiedReader) -> None:
        """Read all pieces, and send those that are missing, a few at a time."""
        running: set[Future[tuple[int, str]]] = set()
        with ThreadPoolExecutor(_PIECES_AT_ONCE) as pool:
            try:
                number, piece = 1, first
                while piece:
                    if number not in self._etags:
                        if len(running) == _PIECES_AT_ONCE:
                            running = self._taken(running)
                        running.add(pool.submit(partial(self._piece, number, piece)))
                    number, piece = number + 1, source.read(self.piece_bytes)
                while running:
                    running = self._taken(running)
            except BaseException:
                for future in running:
                    future.cancel()
                # Those that are on their way may arrive still.
                self._keep(wait(running).done)
                raise

    def _taken(self, running: set[Future[tuple[int, str]]]) -> set[Future[tuple[int, str]]]:
        """Wait for a piece and note it."""
        done, left = wait(running, return_when=FIRST_COMPLETED)
        self._keep(done)
        for future in done:
            future.result()
        return left

    def _keep(self, done: set[Future[tuple[int, str]]]) -> None:
        """Note the pieces that arrived."""
        arrived = [one for one in done if not one.cancelled() and one.exception() is None]
        self._etags.update(one.result() for one in arrived)
        if arrived:
            self._save()

    def _piece(self, number: int, content: bytes) -> tuple[int, str]:
        with self._errors():
            answer = self.client.upload_part(
                Bucket=self.bucket,
                Key=self.key,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=content,
            )
        return number, str(answer["ETag"])

    def _complete(self) -> None:
        parts = [
            {"PartNumber": number, "ETag": self._etags[number]} for number in sorted(self._etags)
        ]
        with self._errors():
            write_new(
                self.client.complete_multipart_upload,
                only_new=self.only_new,
                Bucket=self.bucket,
                Key=self.key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
            )

    def _save(self) -> None:
        noted = {
            "key": self.key,
            "upload_id": self._upload_id,
            "piece_bytes": self.piece_bytes,
            "etags": self._etags,
        }
        self.note.save(json.dumps(noted).encode())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors in this package's words."""
        from botocore.exceptions import ClientError

        with s3_errors("write", f"s3://{self.bucket}/{self.key}", access_of(self.client)):
            try:
                yield
            except ClientError as error:
                if error_code(error.response) != "NoSuchUpload":
                    raise
                # Completed or aborted by somebody else.
                self.note.forget()
                raise TransientError(
                    f"s3://{self.bucket}/{self.key}: its pieces are gone; the next attempt writes "
                    f"it anew"
                ) from None
