"""Keeps the notes of what of a delivery was sent.

One before the first part goes, one of each part, and one when all is sent, so that a retry, a
cleared task or another worker goes on where the last one stopped, under the same names, past
midnight too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.companions import ENDED_FILE
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.formatting.sent_record import (
    SendingFiles,
    SentPart,
    SentRecord,
    read_note,
    read_sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.formatting.manifest import Manifest, Part
    from airflow_am_provider.formatting.storage import Storage


class SentBook:
    """Keeps the record of one delivery to one destination, in memory and in staging alike.

    :param staging: the staging location.
    :param manifest: the delivery.
    :param destination: the folder that its parts go to.
    :param clock: the time.
    :param sending: which sending of the delivery, from 1.
    """

    def __init__(
        self,
        staging: Storage,
        manifest: Manifest,
        destination: str,
        clock: Callable[[], datetime],
        sending: int = 1,
    ) -> None:
        self._staging = staging
        self._manifest = manifest
        self._destination = destination
        self._clock = clock
        self._files = SendingFiles.of(manifest.location, sending)
        self.is_new = True
        self.record = self._begin()

    def uploaded(self, part: Part, url: str, *, is_sent: bool) -> None:
        """Note that a part is at its destination.

        :param url: where.
        :param is_sent: whether it has its own name there.
        """
        now = timestamp(self._clock())
        self._note(
            SentPart(
                file_name=part.file_name,
                destination=url,
                bytes=part.compressed_bytes,
                sha256=part.sha256,
                uploaded_at=now,
                sent_at=now if is_sent else None,
            )
        )

    def pieces(self, part: Part) -> PiecesNote:
        """Where to note which pieces of a part are there."""
        return PiecesNote(self._staging, self._files.pieces(part.file_name))

    def sent(self, part: Part) -> None:
        """Note that an uploaded part has its own name."""
        known = self.record.parts[part.file_name]
        self._note(replace(known, sent_at=timestamp(self._clock())))

    def known(self, part: Part) -> SentPart | None:
        """What is noted of a part by now, by whichever attempt.

        :raises DataError: when something else was sent under its name.
        """
        known = self.record.part(part)
        if known is None or known.sent_at is None:
            note = read_note(self._staging, self._files, part.file_name)
            if note is not None:
                self._keep(note)
        return self.record.part(part)

    def forget(self, part: Part) -> None:
        """Take back that a part was uploaded."""
        self._staging.delete(self._files.part(part.file_name))
        parts = {name: kept for name, kept in self.record.parts.items() if name != part.file_name}
        self.record = replace(self.record, parts=parts)

    def complete(self) -> SentRecord:
        """Record that all of it was sent."""
        record = replace(self.record, sent_at=timestamp(self._clock()))
        self._staging.write_bytes(self._files.sent, _text(record.to_json()))
        self.record = record
        return record

    def _begin(self) -> SentRecord:
        """The record that is there, or a new one that fixes the day.

        Of two attempts that begin at the same moment, on two sides of midnight perhaps, one
        writes it and both go by it.
        """
        now = self._clock()
        record = SentRecord(
            delivery_id=self._manifest.delivery_id,
            destination=self._destination,
            day=now.astimezone(UTC).date().isoformat(),
            begun_at=timestamp(now),
        )
        # For a delivery that went elsewhere before.
        other = hashlib.sha256(self._destination.encode()).hexdigest()[:12]
        for files in (
            self._files,
            replace(self._files, suffix=f"{self._files.suffix}-{other}"),
        ):
            self._files = files
            known = read_sent(self._staging, self._manifest, files)
            if known is None:
                if self._staging.create(files.begun, _text(record.to_json())):
                    self._check_not_ended()
                    return record
                known = read_sent(self._staging, self._manifest, files)
            if known is not None and known.destination == self._destination:
                self.is_new = False
                if known.sent_at is None:
                    self._check_not_ended()
                return known
        raise DataError(f"{self._staging.url}/{files.begun}: the record of another destination")

    def _check_not_ended(self) -> None:
        """Look after it was noted that sending begins: who ends it looks for that note in turn."""
        path = f"{self._manifest.location}/{ENDED_FILE}"
        content = self._staging.read_bytes(path)
        if content is not None:
            ended = json.loads(content)
            raise ConfigurationError(
                f"delivery {self._manifest.delivery_id}: {ended['state']} at {ended['at']}, so it "
                f"is not sent: {ended['reason']}. To send it all the same: "
                f"airflow-am deliveries resend {self._manifest.delivery_id}"
            )

    def _note(self, note: SentPart) -> None:
        path = self._files.part(note.file_name)
        self._staging.write_bytes(path, _text(asdict(note)))
        self._keep(note)

    def _keep(self, note: SentPart) -> None:
        self.record = replace(self.record, parts={**self.record.parts, note.file_name: note})


@dataclass(frozen=True)
class PiecesNote:
    """A note about a part that is on its way in pieces."""

    staging: Storage
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


def _text(document: dict[str, object]) -> bytes:
    return json.dumps(document, indent=2).encode()
