"""Writes a large object in pieces, and goes on with the pieces that are missing.

Which pieces are there is noted as they arrive, since an account at Adobe may be allowed to write
and neither to read nor to list. Nobody sees the object before all of it was checked.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.errors import AudienceManagerError, TransientError
from airflow_am_provider.storage.s3.errors import AlreadyThere
from airflow_am_provider.storage.s3.multipart import PiecesGone, PiecesReplaced
from airflow_am_provider.storage.s3.unfinished import abort_uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.storage.s3.multipart import MultipartWriter
    from airflow_am_provider.storage.verified_read import VerifiedReader

_logger = logging.getLogger(__name__)

# 10,000 pieces are S3's limit, so that a file may have 80 GB; Adobe's limit is 1 GB compressed.
PIECE_BYTES: Final = 8 << 20
# As boto3 and ``aws s3 cp``: far from S3, one piece at a time fills no line.
AT_ONCE: Final = 10


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


class Agreed(Protocol):
    """What several writers of one object agree on."""

    def said(self) -> str | None:
        """What was agreed on; None before."""
        ...

    def settle(self, proposal: str, *, instead_of: str | None = None) -> str:
        """Agree on a proposal, unless something else was agreed on; return what holds."""
        ...


@dataclass(kw_only=True)
class ResumableObject:
    """One object that is written in pieces.

    Several that are at it at once may write one object that was there before: with ``agreed`` all
    of them complete one upload, and S3 completes an upload once.

    :param writer: writes it.
    :param note: keeps which pieces are there.
    :param agreed: which upload it is, for all that write it at once; None where ``only_new`` of the
        writer is enough.
    :param over: the upload that was agreed on and is over, or None.
    :param piece_bytes: size of a piece in bytes; S3 takes no less than 5 MiB but for the last one.
    """

    writer: MultipartWriter
    note: Note
    agreed: Agreed | None = None
    over: str | None = None
    piece_bytes: int = PIECE_BYTES

    def __post_init__(self) -> None:
        self.writer.arrived = self._save

    def write(self, source: VerifiedReader, check: Callable[[], None]) -> None:
        """Write it all, but for the pieces that are there.

        :param source: the object's content, from its start.
        :param check: raises when what was read is not what it should be; the object never appears.
        :raises TransientError: when the server fails; the next attempt goes on from there.
        :raises ConfigurationError: when the server refuses.
        :raises AlreadyThere: when the writer is to write ``only_new``, and there is an object.
        """
        first = source.read(self.piece_bytes)
        if len(first) < self.piece_bytes and (self.agreed is None or not first):
            check()
            self.writer.put(first)
            return
        self._begin()
        try:
            self._send(first, source)
            check()
        except (PiecesGone, PiecesReplaced):
            self.note.forget()
            raise
        except AudienceManagerError as error:
            # What may go better next time goes on from here.
            if not isinstance(error, TransientError):
                self._give_up()
            raise
        try:
            self.writer.complete()
        except AlreadyThere:
            self._give_up()
            raise
        except (PiecesGone, PiecesReplaced):
            self.note.forget()
            raise
        self.note.forget()

    def abort_others(self) -> None:
        """Abort what a worker began and could not note before it was killed: it costs money."""
        self._abort_all_but(self._noted())

    def withdraw(self) -> None:
        """Abort whatever was begun: the object will not be written."""
        if self._noted():
            self.writer.abort()
        self.note.forget()
        self.abort_others()

    def _abort_all_but(self, kept: str) -> None:
        found = abort_uploads(
            self.writer.client,
            self.writer.bucket,
            self.writer.key,
            lambda key, upload_id: key == self.writer.key and upload_id != kept,
        )
        if kept and found is not None and kept not in found:
            # Another attempt, or a rule of the bucket, has ended it.
            self.note.forget()

    def _begin(self) -> None:
        """Go on with what an attempt before noted, or begin."""
        if self.agreed is not None:
            self._begin_agreed(self.agreed)
            return
        if self._noted():
            _logger.info("%s: going on after %d pieces", self.writer.key, len(self.writer.etags))
            return
        self.writer.begin()
        self._save()

    def _begin_agreed(self, agreed: Agreed) -> None:
        """Go on with the upload that all go by, or propose one."""
        upload_id = agreed.said()
        if upload_id is None or upload_id == self.over:
            self.writer.begin()
            own = self.writer.upload_id
            upload_id = agreed.settle(own, instead_of=self.over)
            if upload_id != own:
                self.writer.abort()
        if self._noted() != upload_id:
            self.writer.upload_id, self.writer.etags = upload_id, {}
            self._save()
        # What was proposed and not agreed on, by a worker that was killed.
        self._abort_all_but(upload_id)

    def _noted(self) -> str:
        """Which upload an attempt before noted; empty where there is none to go on with."""
        content = self.note.load()
        if content is None:
            return ""
        noted = json.loads(content)
        if noted["piece_bytes"] != self.piece_bytes or noted["key"] != self.writer.key:
            return ""  # Another day's or release's: it is aborted with the others.
        self.writer.upload_id = str(noted["upload_id"])
        self.writer.etags = {int(number): etag for number, etag in noted["etags"].items()}
        return self.writer.upload_id

    def _send(self, first: bytes, source: VerifiedReader) -> None:
        """Read all pieces, and send those that are missing."""
        with self.writer.sending():
            number, piece = 1, first
            while piece:
                if number not in self.writer.etags:
                    self.writer.send(number, piece)
                number, piece = number + 1, source.read(self.piece_bytes)

    def _give_up(self) -> None:
        self.writer.abort()
        self.note.forget()

    def _save(self) -> None:
        noted = {
            "key": self.writer.key,
            "upload_id": self.writer.upload_id,
            "piece_bytes": self.piece_bytes,
            "etags": self.writer.etags,
        }
        self.note.save(json.dumps(noted).encode())
