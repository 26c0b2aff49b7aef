"""The journal of a sending: what of it is at the destination, noted as it gets there.

A note before each part goes, and one when it is there, so that a retry, a cleared task or another
worker goes on where the last one stopped, under the same names, past midnight too. That sending
began and that it is whole are decisions of the delivery's target.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.deliveries.target.commands import Begin, Complete
from airflow_am_provider.deliveries.target.events import Outcome, Refused, RefusedFor
from airflow_am_provider.deliveries.uploads.failure_note import write_failure
from airflow_am_provider.deliveries.uploads.record import (
    UploadedPart,
    UploadPaths,
    UploadRecord,
    read_note,
    read_upload_record,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_am_provider.deliveries.manifest import Manifest, Part
    from airflow_am_provider.deliveries.target.agreement import Agreement
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, Sending, TargetState
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.storage.folder import Folder


class MustWait(TransientError):
    """Something has to be processed first; the message says what."""


class Superseded(Exception):
    """Another version of the same window took the delivery's place; the message says which."""


def begin_sending(
    target: Target,
    manifest: Manifest,
    staging: Folder,
    url: str,
    clock: Callable[[], datetime],
    *,
    in_order: bool = True,
) -> UploadJournal:
    """Begin to send a delivery that has its place in the queue, or go on with it.

    Two attempts may begin at the same moment, on two sides of midnight perhaps: one decides the day
    and both go by it.

    :param target: the delivery's.
    :param manifest: the delivery.
    :param staging: the staging location.
    :param url: where to.
    :param clock: the time.
    :param in_order: whether to wait for what is before it in the queue.
    :raises MustWait: when something has to be processed first.
    :raises Superseded: when another version of the same window took its place.
    :raises ConfigurationError: when it was given up, or sent elsewhere.
    """
    now = clock()

    def command(state: TargetState) -> Begin:
        return Begin(
            delivery_id=manifest.delivery_id,
            url=url,
            day=now.astimezone(UTC).date().isoformat(),
            at=timestamp(now),
            in_order=in_order,
            closed=target.closed(manifest.delivery_id, state),
        )

    try:
        event = target.decide(command)
    except Refused as refusal:
        if refusal.why is RefusedFor.NOT_YET:
            raise MustWait(str(refusal)) from None
        if refusal.why is RefusedFor.SUPERSEDED:
            raise Superseded(str(refusal)) from None
        raise ConfigurationError(str(refusal)) from None
    assert event.entry is not None
    return UploadJournal(
        target, manifest, staging, event.entry, clock, is_new=event.outcome is Outcome.DONE
    )


class UploadJournal:
    """The journal of one sending of one delivery.

    :param target: the delivery's.
    :param manifest: the delivery; its names are those that its target gave last.
    :param staging: the staging location.
    :param entry: the delivery as its target knows it; sending has begun.
    :param clock: the time.
    :param is_new: whether no attempt before this one began it.
    """

    def __init__(
        self,
        target: Target,
        manifest: Manifest,
        staging: Folder,
        entry: DeliveryEntry,
        clock: Callable[[], datetime],
        *,
        is_new: bool = False,
    ) -> None:
        assert entry.sending is not None
        self._target = target
        self._staging = staging
        self._clock = clock
        self.entry = entry
        self.is_new = is_new
        #: Whether it was this attempt that sent the last of it.
        self.has_completed = False
        # Each attempt has notes of its own, so that each of two at once sees the other.
        self.attempt = secrets.token_hex(4)
        self.manifest = manifest.named(entry.timestamp)
        self._files = UploadPaths(location=manifest.location, sending=entry.sending.number)
        record = read_upload_record(staging, self.manifest, entry.sending)
        assert record is not None
        self.record: UploadRecord = record

    @property
    def sending(self) -> Sending:
        """The sending."""
        return self.record.sending

    @property
    def is_whole(self) -> bool:
        """Whether all of it was sent before."""
        return self.record.sent_at is not None or not self.entry.is_on_its_way

    @property
    def has_sent(self) -> bool:
        """Whether any part of it is at its destination, or may be."""
        return bool(self.record.parts) or any(map(self.was_begun, self.manifest.parts))

    def was_begun(self, part: Part) -> bool:
        """Whether another attempt than this one may have put a part under its name."""
        mine = self._files.begun(part.file_name, self.attempt)
        begun = self._staging.list(self._files.begun(part.file_name))
        return any(entry.path != mine for entry in begun)

    def begin(self, part: Part) -> bool:
        """Note that this attempt is about to give a part its name.

        :return: whether an attempt before this one had noted that.
        """
        was_begun = not self.is_new and self.was_begun(part)
        note = {"at": timestamp(self._clock())}
        path = self._files.begun(part.file_name, self.attempt)
        self._staging.write_bytes(path, _text(note))
        return was_begun

    def uploaded(self, part: Part, url: str, *, is_sent: bool) -> None:
        """Note that a part is at its destination.

        :param url: where.
        :param is_sent: whether it has its own name there.
        """
        now = timestamp(self._clock())
        self._note(
            UploadedPart(
                file_name=part.file_name,
                destination=url,
                bytes=part.compressed_bytes,
                sha256=part.sha256,
                uploaded_at=now,
                sent_at=now if is_sent else None,
            )
        )

    def agreement(self, part: Part) -> Agreement:
        """What all attempts of this sending go by when they send a part."""
        return self._target.agreement(self.entry.delivery_id, self.sending.number, part.file_name)

    def pieces(self, part: Part) -> PiecesNote:
        """Where to note which pieces of a part are there."""
        return PiecesNote(self._staging, self._files.pieces(part.file_name))

    def sent(self, part: Part) -> None:
        """Note that an uploaded part has its own name."""
        known = self.record.parts[part.file_name]
        self._note(replace(known, sent_at=timestamp(self._clock())))

    def known(self, part: Part) -> UploadedPart | None:
        """What is noted of a part by now, by whichever attempt.

        :raises DataError: when something else was sent under its name.
        """
        known = self.record.part(part)
        if known is None or known.sent_at is None:
            note = read_note(self._staging, self._files, part.file_name)
            if note is not None:
                self._keep(note)
        return self.record.part(part)

    def has_its_name(self, part: Part) -> bool:
        """Whether it is noted that a part has its own name at the destination."""
        known = self.known(part)
        return known is not None and known.sent_at is not None

    def forget(self, part: Part) -> None:
        """Take back that a part was uploaded."""
        self._staging.delete(self._files.part(part.file_name))
        parts = {name: kept for name, kept in self.record.parts.items() if name != part.file_name}
        self.record = replace(self.record, parts=parts)

    def failed(self, error: Exception) -> None:
        """Note for people why this attempt ended, as well as can be."""
        write_failure(
            self._staging,
            self.manifest.location,
            error,
            sending=self.sending.number,
            at=timestamp(self._clock()),
        )

    def complete(self) -> UploadRecord:
        """Decide that all of it was sent."""
        now = timestamp(self._clock())
        event = self._target.decide(
            Complete(delivery_id=self.entry.delivery_id, sending=self.sending.number, at=now)
        )
        self.has_completed = event.outcome is Outcome.DONE
        if event.entry is not None:
            self.entry = event.entry
        sending = self.entry.sending
        if sending is not None and sending.number == self.sending.number:
            # Where it was acknowledged or given up meanwhile, it was sent whole all the same.
            self.record = replace(
                self.record, sending=replace(sending, sent_at=sending.sent_at or now)
            )
        return self.record

    def _note(self, note: UploadedPart) -> None:
        path = self._files.part(note.file_name)
        self._staging.write_bytes(path, _text(asdict(note)))
        self._keep(note)

    def _keep(self, note: UploadedPart) -> None:
        self.record = replace(self.record, parts={**self.record.parts, note.file_name: note})


@dataclass(frozen=True)
class PiecesNote:
    """A note about a part that is on its way in pieces."""

    staging: Folder
    path: str

    def load(self) -> bytes | None:
        """What was noted, or None."""
        return self.staging.read_bytes(self.path)

    def save(self, content: bytes) -> None:
        """Note something else."""
        self.staging.write_bytes(self.path, content)

    def forget(self) -> None:
        """Take the note away."""
        self.staging.delete(self.path)


def timestamp(now: datetime) -> str:
    """A time as the record has it: ISO 8601, UTC, whole seconds.

    >>> timestamp(datetime(2026, 11, 5, 23, 59, 59, tzinfo=UTC))
    '2026-11-05T23:59:59+00:00'
    """
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _text(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=2).encode()
