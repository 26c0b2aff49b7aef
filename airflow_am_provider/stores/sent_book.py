"""Keeps ``sent.json``, the record of what of a delivery was sent.

It is written before the first part goes and after each one, so that a retry, a cleared task or
another worker goes on where the last one stopped, under the same names, past midnight too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.companions import SENT_FILE
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.formatting.sent_record import SentPart, SentRecord

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
    """

    def __init__(
        self,
        staging: Storage,
        manifest: Manifest,
        destination: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._staging = staging
        self._manifest = manifest
        self._destination = destination
        self._clock = clock
        self._path = ""
        self.is_new = True
        self.record = self._begin()

    def uploaded(self, part: Part, url: str, *, is_sent: bool) -> None:
        """Record that a part is at its destination.

        :param url: where.
        :param is_sent: whether it has its own name there.
        """
        now = timestamp(self._clock())
        self._put(
            SentPart(
                file_name=part.file_name,
                destination=url,
                bytes=part.compressed_bytes,
                sha256=part.sha256,
                uploaded_at=now,
                sent_at=now if is_sent else None,
            )
        )

    def sent(self, part: Part) -> None:
        """Record that an uploaded part has its own name."""
        known = self.record.parts[part.file_name]
        self._put(replace(known, sent_at=timestamp(self._clock())))

    def forget(self, part: Part) -> None:
        """Take back that a part was uploaded."""
        parts = {name: kept for name, kept in self.record.parts.items() if name != part.file_name}
        self._save(replace(self.record, parts=parts))

    def complete(self) -> SentRecord:
        """Record that all of it was sent."""
        self._save(replace(self.record, sent_at=timestamp(self._clock())))
        return self.record

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
        for path in self._paths():
            self._path = path
            if self._staging.create(self._path, _text(record)):
                return record
            content = self._staging.read_bytes(self._path) or b""
            known = SentRecord.from_json(content, f"{self._staging.url}/{self._path}")
            if known.destination == self._destination:
                self.is_new = False
                return known
        raise DataError(f"{self._staging.url}/{self._path}: the record of another destination")

    def _put(self, part: SentPart) -> None:
        self._save(replace(self.record, parts={**self.record.parts, part.file_name: part}))

    def _save(self, record: SentRecord) -> None:
        self._staging.write_bytes(self._path, _text(record))
        self.record = record

    def _paths(self) -> tuple[str, str]:
        """The usual one; and another, for a delivery that went elsewhere before."""
        other = hashlib.sha256(self._destination.encode()).hexdigest()[:12]
        return (
            f"{self._manifest.location}/{SENT_FILE}",
            f"{self._manifest.location}/sent-{other}.json",
        )


def timestamp(now: datetime) -> str:
    """A time as the record has it: ISO 8601, UTC, whole seconds.

    >>> timestamp(datetime(2026, 11, 5, 23, 59, 59, tzinfo=UTC))
    '2026-11-05T23:59:59+00:00'
    """
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _text(record: SentRecord) -> bytes:
    return json.dumps(record.to_json(), indent=2).encode()
