"""What of a sending is at its destination: a note of each part, beside the manifest.

    sending/FILE_NAME.begun-1b2c3d4e.json  an attempt is about to give the part its name
    sending/FILE_NAME.json                 the part is there
    sending/FILE_NAME.pieces.json          which pieces of it are there, while it goes to S3

Each note is about one part and says the same whoever writes it. So an attempt that was thought dead
and writes late takes nothing back from the one that came after it. When sending began, where to and
on which day, is in the target's document. The layout is public and documented in docs/manifest.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.manifest import Manifest, Part
    from airflow_am_provider.deliveries.target.state import Sending
    from airflow_am_provider.storage.folder import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedPart:
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
class UploadRecord:
    """What became of a delivery's parts.

    :param delivery_id: the manifest's.
    :param sending: the sending, as the target's document has it.
    :param parts: by file name.
    """

    delivery_id: str
    sending: Sending
    parts: dict[str, UploadedPart] = field(default_factory=dict)

    @property
    def destination(self) -> str:
        """The folder that all parts go to."""
        return self.sending.url

    @property
    def day(self) -> str:
        """The UTC day of the first attempt as ISO 8601; on S3 it is part of every key."""
        return self.sending.day

    @property
    def sent_on(self) -> date:
        """The UTC day of the first attempt."""
        return date.fromisoformat(self.sending.day)

    @property
    def begun_at(self) -> str:
        """When the first attempt began, ISO 8601 in UTC."""
        return self.sending.begun_at

    @property
    def sent_at(self) -> str | None:
        """When the last part had its name; None before."""
        return self.sending.sent_at

    def part(self, part: Part) -> UploadedPart | None:
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
        parts = [asdict(part) for part in self.parts.values()]
        return {"delivery_id": self.delivery_id, **asdict(self.sending), "parts": parts}


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadPaths:
    """Where the notes of one sending of a delivery lie.

    :param location: the delivery's folder, relative to the staging location.
    :param sending: the sending's number, from 1.

    >>> UploadPaths(location="deliveries/data/0a1b").part("x.sync")
    'deliveries/data/0a1b/sending/x.sync.json'
    >>> UploadPaths(location="deliveries/data/0a1b", sending=2).part("x.sync")
    'deliveries/data/0a1b/sending-2/x.sync.json'
    """

    location: str
    sending: int = 1

    @property
    def folder(self) -> str:
        """The folder of the notes."""
        return f"{self.location}/sending{'' if self.sending == 1 else f'-{self.sending}'}"

    def begun(self, file_name: str, attempt: str = "") -> str:
        """The note of an attempt that is about to give a part its name, or how all such begin."""
        return f"{self.folder}/{file_name}.begun-{attempt}" + (".json" if attempt else "")

    def part(self, file_name: str) -> str:
        """The note of a part."""
        return f"{self.folder}/{file_name}.json"

    def pieces(self, file_name: str) -> str:
        """The note of a part that is on its way in pieces."""
        return f"{self.folder}/{file_name}.pieces.json"


def read_upload_record(
    storage: Folder, manifest: Manifest, sending: Sending | None
) -> UploadRecord | None:
    """What is known of a sending, or None when it was not begun.

    :param storage: the staging location.
    :param manifest: the delivery.
    :param sending: the sending, as the target's document has it.
    :raises DataError: when a note cannot be read.
    """
    if sending is None:
        return None
    files = UploadPaths(location=manifest.location, sending=sending.number)
    notes = [read_note(storage, files, part.file_name) for part in manifest.parts]
    return UploadRecord(
        delivery_id=manifest.delivery_id,
        sending=sending,
        parts={note.file_name: note for note in notes if note is not None},
    )


def read_note(storage: Folder, files: UploadPaths, file_name: str) -> UploadedPart | None:
    """What is known of one part of a sending, or None.

    :raises DataError: when the note cannot be read.
    """
    path = files.part(file_name)
    content = storage.read_bytes(path)
    if content is None:
        return None
    try:
        return UploadedPart(**json.loads(content))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{storage.url}/{path}: not a note of a part: {error}; what was sent is not known, so "
            f"nothing is sent. Look at the destination, then delete this file to send again, under "
            f"the same name, what it stands for"
        ) from None
