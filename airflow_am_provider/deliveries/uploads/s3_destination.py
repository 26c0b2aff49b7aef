"""A bucket that deliveries are sent to.

Pages: inbound-s3-filenames.md (keys), authorize-s3-inbound.md (the ACL). Accounts at Adobe may be
allowed to write and nothing else, so nothing is read or listed, and looking whether a part arrived
is tried only.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.environments import object_key
from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.deliveries.uploads.destination import (
    NameTaken,
    Progress,
    asked_for,
    check_staged,
    in_doubt,
    sending_progress,
    taken,
)
from airflow_am_provider.storage.s3.copy import Copy
from airflow_am_provider.storage.s3.errors import AlreadyThere
from airflow_am_provider.storage.s3.folder import S3Folder, checksum_args
from airflow_am_provider.storage.s3.multipart import MultipartWriter, PiecesGone
from airflow_am_provider.storage.s3.resumable import AT_ONCE, ResumableObject
from airflow_am_provider.storage.s3.unfinished import abort_uploads
from airflow_am_provider.storage.verified_read import VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from airflow_am_provider.deliveries.manifest import Part
    from airflow_am_provider.deliveries.uploads.journal import UploadJournal
    from airflow_am_provider.formatting.progress import BytesProgress
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)

# authorize-s3-inbound.md: without it Adobe cannot read what another account wrote.
OBJECT_ARGS: Final = {"ACL": "bucket-owner-full-control"}
_BLOCK_BYTES: Final = 1 << 20
# So many uploads of a part that is sent again may be ended by somebody else, such as a rule of the
# bucket.
_MOST_UPLOADS: Final = 3
# From the end of an upload to its note.
_NOTED_WITHIN_S: Final = 1.0
_ONE_DAY: Final = timedelta(days=1)


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
        self, staging: Folder, journal: UploadJournal, *, only: Collection[str] | None = None
    ) -> None:
        """Send; see ``Destination``."""
        if not journal.is_new:
            self._abort_beside(journal)
        if journal.is_whole:
            return
        if journal.sending.number == 1 and self._is_taken(journal) and not journal.has_sent:
            raise NameTaken
        check_staged(journal.manifest, staging)
        parts = asked_for(journal.manifest, only)
        progress = sending_progress(parts, journal)
        for part in parts:
            if journal.known(part) is None:
                self._send_part(part, staging, journal, progress)

    def withdraw(self, staging: Folder, journal: UploadJournal) -> None:
        """Abort uploads in pieces; see ``Destination``."""
        for part in journal.manifest.parts:
            if not journal.has_its_name(part):
                self._target(part, self._key(part, journal), journal).withdraw()

    def _is_taken(self, journal: UploadJournal) -> bool:
        """Whether anything has one of the delivery's names, in whichever mode, on whichever day.

        A ``.processed`` marker does not say which mode the file had, and the day of sending is part
        of a key but not of the name. Who may not list learns it from the first write, for the same
        day alone.
        """
        name = journal.manifest.file_name
        prefix = f"{name.kind.stem}_{name.timestamp}."
        try:
            return any(
                next(iter(self.folder.list(object_key(self.partner_name, day, prefix))), None)
                for day in _days_around(journal.record.sent_on)
            )
        except ConfigurationError:
            return False

    def _abort_beside(self, journal: UploadJournal) -> None:
        """Abort what a killed worker began of parts that another one sent meanwhile."""
        parts = {self.folder.key(self._key(part, journal)): part for part in journal.manifest.parts}
        abort_uploads(
            self.folder.client,
            self.folder.bucket,
            min(parts, default="").rpartition("/")[0] + "/",
            lambda key, _: key in parts and journal.known(parts[key]) is not None,
        )

    def _send_part(
        self, part: Part, staging: Folder, journal: UploadJournal, progress: BytesProgress
    ) -> None:
        key = self._key(part, journal)
        send = self._send_first if journal.sending.number == 1 else self._send_again
        send(part, staging, key, journal, progress)
        journal.uploaded(part, f"{self.folder.url}/{key}", is_sent=True)

    def _send_first(
        self,
        part: Part,
        staging: Folder,
        key: str,
        journal: UploadJournal,
        progress: BytesProgress,
    ) -> None:
        """Write a part where there is none yet."""
        was_begun = journal.begin(part)
        if was_begun and self._is_ours(part, key, journal):
            _logger.info("%s/%s: an earlier attempt brought it there", self.folder.url, key)
            return
        try:
            with Progress(part, f"{self.folder.url}/{key}"):
                self._upload(part, staging, key, journal, progress)
        except AlreadyThere as there:
            may_be_ours = was_begun or there.was_retried or journal.was_begun(part)
            if not self._is_ours(part, key, journal, may_be_ours=may_be_ours, is_there=True):
                raise TransientError(f"{part.file_name}: there, and gone a moment later") from None

    def _send_again(
        self,
        part: Part,
        staging: Folder,
        key: str,
        journal: UploadJournal,
        progress: BytesProgress,
    ) -> None:
        """Write a part over that of the sending before, once, however many attempts are at it.

        No condition tells the one from the other, since both have the same bytes. So all attempts
        of a sending complete one upload, which S3 does once. When it is over before that, either
        another attempt completed it or somebody aborted it.
        """
        journal.begin(part)
        over: str | None = None
        for _ in range(_MOST_UPLOADS):
            target = self._target(part, key, journal, over=over)
            try:
                with Progress(part, f"{self.folder.url}/{key}"):
                    self._write(target, part, staging, progress)
            except PiecesGone:
                over = target.writer.upload_id
                if self._was_sent_now(part, key, journal):
                    _logger.info("%s/%s: another attempt brought it there", self.folder.url, key)
                    return
            else:
                return
        raise TransientError(
            f"{part.file_name}: {_MOST_UPLOADS} uploads to {self.folder.url}/{key} were aborted by "
            f"somebody else; the next attempt goes on"
        )

    def _was_sent_now(self, part: Part, key: str, journal: UploadJournal) -> bool:
        """Whether an attempt of this very sending has written a part; False where nothing says so.

        The object says it, where the account may look. And whoever wrote it is about to note it, so
        that a moment is waited.
        """
        for pause_s in (0.0, _NOTED_WITHIN_S):
            time.sleep(pause_s)
            if journal.known(part) is not None:
                return True
            try:
                stored = self.folder.stored(key)
            except ConfigurationError:
                continue
            if stored is not None and stored.sending == _mark(journal):
                return True
        return False

    def _is_ours(
        self,
        part: Part,
        key: str,
        journal: UploadJournal,
        *,
        may_be_ours: bool = True,
        is_there: bool = False,
    ) -> bool:
        """Whether what has a part's key is that part, by an attempt of this delivery.

        :param may_be_ours: whether any attempt can have put it there.
        :param is_there: whether it is known that something has the key.
        :return: False when nothing has it, or nothing is known of it.
        :raises NameTaken: when it is a stranger's, and nothing was sent.
        :raises ConfigurationError: when it is a stranger's, and other parts were sent; or when a
            person has to say whose it is.
        """
        try:
            stored = self.folder.stored(key)
        except ConfigurationError:
            if is_there and may_be_ours:
                raise in_doubt(part, f"{self.folder.url}/{key}", journal) from None
            if is_there:
                raise taken(part, f"{self.folder.url}/{key}", journal) from None
            return False
        if stored is None:
            return False
        if may_be_ours and stored[:2] == (part.compressed_bytes, part.sha256):
            return True
        raise taken(part, f"{self.folder.url}/{key}", journal)

    def _key(self, part: Part, journal: UploadJournal) -> str:
        return object_key(self.partner_name, journal.record.sent_on, part.file_name)

    def _upload(
        self,
        part: Part,
        staging: Folder,
        key: str,
        journal: UploadJournal,
        progress: BytesProgress,
    ) -> None:
        target = self._target(part, key, journal)
        if not journal.is_new:
            target.abort_others()
        if isinstance(staging, S3Folder) and self._copy(part, staging, key):
            progress.add(part.compressed_bytes)
            return
        self._write(target, part, staging, progress)

    def _write(
        self, target: ResumableObject, part: Part, staging: Folder, progress: BytesProgress
    ) -> None:
        with staging.open_read(part.path) as source:
            reader = VerifiedReader(progress.counting(source))
            target.write(reader, partial(_check, reader, part))

    def _target(
        self, part: Part, key: str, journal: UploadJournal, *, over: str | None = None
    ) -> ResumableObject:
        is_first = journal.sending.number == 1
        return ResumableObject(
            writer=self._writer(part, key, mark=None if is_first else _mark(journal)),
            note=journal.pieces(part),
            agreed=None if is_first else journal.agreement(part),
            over=over,
        )

    def _copy(self, part: Part, staging: S3Folder, key: str) -> bool:
        """Let S3 copy a part from bucket to bucket; False where it does not."""
        copy = Copy(
            source=staging,
            path=part.path,
            writer=self._writer(part, key),
            size=part.compressed_bytes,
        )
        return copy.run(partial(_read_and_check, part, staging))

    def _writer(self, part: Part, key: str, *, mark: str | None = None) -> MultipartWriter:
        """Writes a part where there is none yet; with the mark of a later sending, in any case."""
        return MultipartWriter(
            client=self.folder.client,
            bucket=self.folder.bucket,
            key=self.folder.key(key),
            args={**self.folder.extra_args, **checksum_args(part.sha256, mark)},
            only_new=mark is None,
            at_once=AT_ONCE,
        )


def _days_around(day: date) -> tuple[date, ...]:
    """A day and those beside it.

    Who sends from another staging location may see the other side of midnight already.
    """
    return day, day - _ONE_DAY, day + _ONE_DAY


def _mark(journal: UploadJournal) -> str:
    """What an object is written with to tell it from the same part of another sending."""
    return f"{journal.entry.delivery_id}-{journal.sending.number}"


def _read_and_check(part: Part, staging: Folder) -> None:
    """Read a staged part to its end and hold it against the manifest.

    :raises DataError: when it is something else.
    """
    with staging.open_read(part.path) as source:
        reader = VerifiedReader(source)
        while reader.read(_BLOCK_BYTES):
            pass
    _check(reader, part)


def _check(reader: VerifiedReader, part: Part) -> None:
    reader.check(part.file_name, size=part.compressed_bytes, sha256=part.sha256)
