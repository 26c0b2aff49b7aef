"""Where deliveries are sent: the environment's bucket, or an FTP host.

Pages: inbound-s3-filenames.md (keys), authorize-s3-inbound.md (the ACL), inbound-ftp-filenames.md.
Accounts at Adobe may be allowed to write and nothing else, so on S3 nothing is read or listed,
and looking whether a part arrived is tried only.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.environments import object_key
from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.formatting.sent_record import SendingFiles, read_sent
from airflow_am_provider.stores.measured import Measured
from airflow_am_provider.stores.s3 import S3Folder, checksum_args
from airflow_am_provider.stores.s3_copy import Copy
from airflow_am_provider.stores.s3_errors import AlreadyThere
from airflow_am_provider.stores.s3_resume import ResumableObject
from airflow_am_provider.stores.s3_unfinished import abort_uploads
from airflow_am_provider.stores.sent_book import PiecesNote, SentBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import date

    from airflow_am_provider.formatting.manifest import Manifest, Part
    from airflow_am_provider.formatting.sent_record import SentRecord
    from airflow_am_provider.stores import Folder, FtpDrop

_logger = logging.getLogger(__name__)

# authorize-s3-inbound.md: without it Adobe cannot read what another account wrote.
OBJECT_ARGS: Final = {"ACL": "bucket-owner-full-control"}
_BLOCK_BYTES: Final = 1 << 20


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Destination(Protocol):
    """Takes deliveries."""

    @property
    def url(self) -> str:
        """Where they go: a bucket's folder or an FTP host's."""
        ...

    def send(
        self,
        manifest: Manifest,
        staging: Folder,
        *,
        sending: int = 1,
        only: Collection[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> SentRecord:
        """Send what of a delivery was not sent yet; its record says what was.

        :param manifest: the delivery; it has parts.
        :param staging: where they lie.
        :param sending: 1, or the number of this repetition: the same bytes under the same names.
        :param only: names of the parts that are sent now; the record is left to be completed, and
            on FTP the names to be given, by a last sending without it. By default all.
        :param clock: the time; the day of the first attempt becomes part of the keys on S3.
        :return: the record, complete unless it is of some parts.
        :raises DataError: when a staged part is not what the manifest says; it does not appear.
        :raises ConfigurationError: when the destination refuses.
        :raises TransientError: when the destination or the line fails.
        """
        ...

    def withdraw(self, manifest: Manifest, staging: Folder, *, sending: int = 1) -> None:
        """Delete what of a delivery that was given up is there and has no name of its own yet.

        What Audience Manager can see stays.

        :raises ConfigurationError: when the destination refuses.
        :raises TransientError: when the destination or the line fails.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class S3Destination:
    """A bucket: parts appear one by one, each of them whole.

    :param folder: the bucket.
    :param partner_name: its first folder, the name that Adobe gave the company.
    """

    folder: S3Folder
    partner_name: str

    @property
    def url(self) -> str:
        """``s3://bucket/PARTNER``."""
        return f"{self.folder.url}/{self.partner_name}"

    def send(
        self,
        manifest: Manifest,
        staging: Folder,
        *,
        sending: int = 1,
        only: Collection[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> SentRecord:
        """Send; see :class:`Destination`."""
        book = SentBook(staging, manifest, self.url, clock, sending)
        if not book.is_new:
            self._abort_beside(manifest, book)
        if _is_sent(book.record):
            return book.record
        _check_staged(manifest, staging)
        for part in _asked_for(manifest, only):
            if book.known(part) is not None:
                continue
            key = object_key(self.partner_name, book.record.sent_on, part.file_name)
            # What a sending before this one left there says nothing of this one.
            if book.is_new or sending > 1 or not self._has_arrived(part, key):
                with _Progress(part):
                    self._upload_once(part, staging, key, book, is_first=sending == 1)
            book.uploaded(part, f"{self.folder.url}/{key}", is_sent=True)
        return book.complete() if only is None else book.record

    def withdraw(self, manifest: Manifest, staging: Folder, *, sending: int = 1) -> None:
        """Abort uploads in pieces; see :class:`Destination`."""
        files = SendingFiles.of(manifest.location, sending)
        for day, part in _unsent(manifest, staging, files, self.url):
            key = object_key(self.partner_name, day, part.file_name)
            self._target(part, key, PiecesNote(staging, files.pieces(part.file_name))).withdraw()

    def _abort_beside(self, manifest: Manifest, book: SentBook) -> None:
        """Abort what a killed worker began of parts that another one sent meanwhile."""
        day = book.record.sent_on
        parts = {
            self.folder.key(object_key(self.partner_name, day, part.file_name)): part
            for part in manifest.parts
        }
        abort_uploads(
            self.folder.client,
            self.folder.bucket,
            min(parts, default="").rpartition("/")[0] + "/",
            lambda key, _: key in parts and book.known(parts[key]) is not None,
        )

    def _has_arrived(self, part: Part, key: str) -> bool:
        """Whether an attempt before this one sent a part and ended before it could record it.

        Adobe may have read it since; written anew, it would be read a second time.
        """
        try:
            stored = self.folder.stored(key)
        except ConfigurationError:
            _logger.info(
                "%s: whether it arrived cannot be seen; it is sent again, unless the bucket says "
                "that it is there",
                part.file_name,
            )
            return False
        if stored != (part.compressed_bytes, part.sha256):
            return False
        _logger.info("%s: arrived by an attempt before", part.file_name)
        return True

    def _upload_once(
        self, part: Part, staging: Folder, key: str, book: SentBook, *, is_first: bool
    ) -> None:
        """Upload a part, unless another attempt, or an answer that got lost, was quicker."""
        try:
            self._upload(part, staging, key, book, only_new=is_first)
        except AlreadyThere:
            if self._is_other(part, key):
                self._upload(part, staging, key, book, only_new=False)

    def _is_other(self, part: Part, key: str) -> bool:
        """Whether what has a part's key is something else, which no attempt wrote."""
        try:
            stored = self.folder.stored(key)
        except ConfigurationError:
            # Nobody else gives such a name.
            return False
        return stored != (part.compressed_bytes, part.sha256)

    def _upload(
        self, part: Part, staging: Folder, key: str, book: SentBook, *, only_new: bool
    ) -> None:
        target = self._target(part, key, book.pieces(part), only_new=only_new)
        if not book.is_new:
            target.abort_others()
        if isinstance(staging, S3Folder) and self._copy(part, staging, key, only_new=only_new):
            return
        with staging.open_read(part.path) as source:
            measured = Measured(source)
            target.write(measured, partial(_check, measured, part))

    def _target(
        self, part: Part, key: str, note: PiecesNote, *, only_new: bool = False
    ) -> ResumableObject:
        return ResumableObject(
            client=self.folder.client,
            bucket=self.folder.bucket,
            key=self.folder.key(key),
            args={**self.folder.extra_args, **checksum_args(part.sha256)},
            note=note,
            only_new=only_new,
        )

    def _copy(self, part: Part, staging: S3Folder, key: str, *, only_new: bool) -> bool:
        """Let S3 copy a part from bucket to bucket; False where it does not."""
        copy = Copy(
            source=staging,
            path=part.path,
            target=self.folder,
            key=key,
            size=part.compressed_bytes,
            sha256=part.sha256,
            only_new=only_new,
        )
        return copy.run(partial(_read_and_check, part, staging))


@dataclass(frozen=True, kw_only=True)
class FtpDestination:
    """An FTP directory: parts get their names when all of them are there.

    :param open_drop: opens the directory.
    :param url: ``ftp://host/directory``.
    """

    open_drop: Callable[[], FtpDrop]
    url: str

    def send(
        self,
        manifest: Manifest,
        staging: Folder,
        *,
        sending: int = 1,
        only: Collection[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> SentRecord:
        """Send; see :class:`Destination`."""
        book = SentBook(staging, manifest, self.url, clock, sending)
        if _is_sent(book.record):
            return book.record
        _check_staged(manifest, staging)
        with self.open_drop() as drop:
            for part in _asked_for(manifest, only):
                if book.known(part) is not None:
                    continue
                with _Progress(part), staging.open_read(part.path) as source:
                    drop.put(
                        part.file_name,
                        source,
                        size=part.compressed_bytes,
                        sha256=part.sha256,
                        # What lies there under a temporary name is this delivery's only if it
                        # was begun before.
                        resume=not book.is_new,
                    )
                book.uploaded(part, f"{self.url.rstrip('/')}/{part.file_name}", is_sent=False)
            if only is not None:
                return book.record
            for part in manifest.parts:
                self._publish(drop, part, book, only_new=sending == 1)
        return book.complete()

    def withdraw(self, manifest: Manifest, staging: Folder, *, sending: int = 1) -> None:
        """Delete files that have their temporary name; see :class:`Destination`."""
        files = SendingFiles.of(manifest.location, sending)
        with self.open_drop() as drop:
            for _, part in _unsent(manifest, staging, files, self.url):
                drop.discard(part.file_name)
                # Should it be taken up again, it is uploaded anew.
                staging.delete(files.part(part.file_name))

    def _publish(self, drop: FtpDrop, part: Part, book: SentBook, *, only_new: bool) -> None:
        if _has_its_name(book, part):
            return
        published = drop.publish(part.file_name, only_new=only_new)
        if not published and not _has_its_name(book, part):
            book.forget(part)
            raise TransientError(
                f"{part.file_name} was uploaded to {self.url} and is gone; the next attempt "
                f"uploads it again under the same name"
            )
        book.sent(part)


def _unsent(
    manifest: Manifest, staging: Folder, files: SendingFiles, url: str
) -> Iterator[tuple[date, Part]]:
    """The parts of a sending that have no name at its destination, with the day of their keys."""
    record = read_sent(staging, manifest, files)
    if record is None or record.destination != url:
        return
    for part in manifest.parts:
        known = record.parts.get(part.file_name)
        if known is None or known.sent_at is None:
            yield record.sent_on, part


def _has_its_name(book: SentBook, part: Part) -> bool:
    known = book.known(part)
    return known is not None and known.sent_at is not None


def _asked_for(manifest: Manifest, only: Collection[str] | None) -> list[Part]:
    return [part for part in manifest.parts if only is None or part.file_name in only]


def _is_sent(record: SentRecord) -> bool:
    if record.sent_at is not None:
        _logger.info("All of it was sent already, at %s: nothing is sent now", record.sent_at)
    elif record.parts:
        _logger.info("Going on with what was begun at %s", record.begun_at)
    return record.sent_at is not None


class _Progress:
    """Logs how long a part took."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._begun = time.monotonic()

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None:
            seconds = max(time.monotonic() - self._begun, 1e-3)
            megabytes = self._part.compressed_bytes / 1e6
            _logger.info(
                "%s: %.1f MB in %.1f s, %.1f MB/s",
                self._part.file_name,
                megabytes,
                seconds,
                megabytes / seconds,
            )


def _read_and_check(part: Part, staging: Folder) -> None:
    """Read a staged part to its end and hold it against the manifest.

    :raises DataError: when it is something else.
    """
    with staging.open_read(part.path) as source:
        measured = Measured(source)
        while measured.read(_BLOCK_BYTES):
            pass
    _check(measured, part)


def _check(measured: Measured, part: Part) -> None:
    measured.check(part.file_name, size=part.compressed_bytes, sha256=part.sha256)


def _check_staged(manifest: Manifest, staging: Folder) -> None:
    """Look whether all parts are there before the first one goes."""
    for part in manifest.parts:
        size = staging.size(part.path)
        if size is None:
            raise DataError(
                f"{part.file_name}: {staging.url}/{part.path} is not there, and nothing was sent "
                f"now; if staging was cleaned, format the rows again"
            )
        if size != part.compressed_bytes:
            raise DataError(
                f"{part.file_name}: {staging.url}/{part.path} has {size:,} bytes, but the manifest "
                f"says {part.compressed_bytes:,}; nothing was sent now"
            )
