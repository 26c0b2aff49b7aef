"""``sent.json``: what of a delivery was sent, where, on which day.

It lies beside the manifest. The upload keeps it
(:class:`~airflow_am_provider.stores.sent_book.SentBook`); formatting again reads it, so that what
was sent is not staged as something else. The layout is public and documented in docs/manifest.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
    from airflow_am_provider.formatting.manifest import Part

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
