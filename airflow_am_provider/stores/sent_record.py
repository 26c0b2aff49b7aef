"""``sent.json``: what of a delivery was sent, where, on which day.

It lies beside the manifest and is written before the first part goes and after each one, so that
a retry, a cleared task or another worker goes on where the last one stopped, under the same names,
past midnight too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.formatting.manifest import Manifest, Part
    from airflow_am_provider.formatting.storage import Storage

SENT_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPart:
    """One part on its way.

    :param file_name: its name at Adobe.
    :param destination: where it goes, ``s3://…`` or ``ftp://…``.
    :param bytes: its size in bytes, as sent.
    :param sha256: checksum of what was sent, hexadecimal.
    :param uploaded_at: when all of it was there, on FTP under its temporary name; ISO 8601, UTC.
    :param sent_at: when it had its own name; None before.
    """

    file_name: str
    destination: str
    bytes: int
    sha256: str
    uploaded_at: str
    sent_at: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentRecord:
    """What became of a delivery's parts.

    :param delivery_id: the manifest's.
    :param destination: the folder they all go to.
    :param day: the UTC day of the first attempt as ISO 8601; on S3 it is part of every key.
    :param begun_at: when the first attempt began, ISO 8601 in UTC.
    :param sent_at: when the last part had its name; None before.
    :param parts: by file name.
    """

    delivery_id: str
    destination: str
    day: str
    begun_at: str
    sent_at: str | None = None
    parts: dict[str, SentPart] = field(default_factory=dict)
    version: int = SENT_VERSION

    @property
    def sent_on(self) -> date:
        """The UTC day of the first attempt."""
        return date.fromisoformat(self.day)

    def part(self, part: Part) -> SentPart | None:
        """What is recorded of a part, or None.

        :raises DataError: when something else was sent under its name.
        """
        known = self.parts.get(part.file_name)
        if known is not None and (known.bytes, known.sha256) != (
            part.compressed_bytes,
            part.sha256,
        ):
            raise DataError(
                f"delivery {self.delivery_id}: {part.file_name} was sent to {self.destination} "
                f"with SHA-256 {known.sha256}, and the manifest says {part.sha256}; nothing is "
                f"sent under a name twice: format the rows again"
            )
        return known

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON, its parts as a list."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts.values()]}

    @classmethod
    def from_json(cls, content: bytes, where: str) -> SentRecord:
        """Read a record.

        :param content: what :meth:`to_json` gave, as JSON text.
        :param where: the file, for the message.
        :raises DataError: when it is none.
        """
        try:
            document = json.loads(content)
            if document["version"] != SENT_VERSION:
                raise ValueError(f"version {document['version']!r} is not {SENT_VERSION}")
            parts = [SentPart(**part) for part in document["parts"]]
            record = cls(**{**document, "parts": {part.file_name: part for part in parts}})
            date.fromisoformat(record.day)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{where}: not a record of sending: {error}; what was sent is not known, so "
                f"nothing is sent. Look at the destination, then delete this file to send all "
                f"parts again under the same names"
            ) from None
        return record


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
            f"{self._manifest.location}/sent.json",
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
