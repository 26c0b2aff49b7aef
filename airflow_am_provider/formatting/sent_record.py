"""What of a delivery was sent, where, on which day: notes beside the manifest.

    sending.json                       written once, when sending begins: it fixes the day
    sending/ftp_dpm_478_….sync.1.json  a note of each part, written when the part is there
    sent.json                          all of it, when all of it was sent

Each note is about one part and says the same whoever writes it. So an attempt that was thought dead
and writes late takes nothing back from the one that came after it. The upload keeps the notes
(:class:`~airflow_am_provider.stores.sent_book.SentBook`); formatting again reads them, so that what
was sent is not staged as something else. The layout is public and documented in docs/manifest.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
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
            raise _unreadable(where, error) from None
        return record


@dataclass(frozen=True, kw_only=True, slots=True)
class SendingFiles:
    """Where the notes of one sending of a delivery lie.

    :param location: the delivery's folder, relative to the staging location.
    :param suffix: tells sendings apart: empty for the first, ``-2`` for the next.

    >>> files = SendingFiles(location="deliveries/data/0a1b")
    >>> files.begun, files.part("x.sync"), files.sent  # doctest: +NORMALIZE_WHITESPACE
    ('deliveries/data/0a1b/sending.json', 'deliveries/data/0a1b/sending/x.sync.json',
     'deliveries/data/0a1b/sent.json')
    """

    location: str
    suffix: str = ""

    @classmethod
    def of(cls, location: str, sending: int) -> SendingFiles:
        """The files of a sending by its number, from 1."""
        return cls(location=location, suffix="" if sending == 1 else f"-{sending}")

    @property
    def begun(self) -> str:
        """Written once, before the first part goes."""
        return f"{self.location}/sending{self.suffix}.json"

    @property
    def sent(self) -> str:
        """Written when all parts were sent."""
        return f"{self.location}/sent{self.suffix}.json"

    def part(self, file_name: str) -> str:
        """The note of a part."""
        return f"{self.location}/sending{self.suffix}/{file_name}.json"

    def pieces(self, file_name: str) -> str:
        """The note of a part that is on its way in pieces."""
        return f"{self.location}/sending{self.suffix}/{file_name}.pieces.json"


def read_sent(storage: Storage, manifest: Manifest, files: SendingFiles) -> SentRecord | None:
    """What is known of a sending, or None when it was not begun.

    :param storage: the staging location.
    :param manifest: the delivery.
    :param files: where the notes lie.
    :raises DataError: when a note cannot be read.
    """
    content = storage.read_bytes(files.sent)
    if content is not None:
        return SentRecord.from_json(content, f"{storage.url}/{files.sent}")
    content = storage.read_bytes(files.begun)
    if content is None:
        return None
    begun = SentRecord.from_json(content, f"{storage.url}/{files.begun}")
    notes = [read_note(storage, files, part.file_name) for part in manifest.parts]
    return replace(begun, parts={note.file_name: note for note in notes if note is not None})


def read_note(storage: Storage, files: SendingFiles, file_name: str) -> SentPart | None:
    """What is known of one part of a sending, or None.

    :raises DataError: when the note cannot be read.
    """
    path = files.part(file_name)
    content = storage.read_bytes(path)
    if content is None:
        return None
    try:
        return SentPart(**json.loads(content))
    except (TypeError, ValueError) as error:
        raise _unreadable(f"{storage.url}/{path}", error) from None


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: not a record of sending: {error}; what was sent is not known, so nothing is "
        f"sent. Look at the destination, then delete this file to send again, under the same "
        f"names, what it stands for"
    )
