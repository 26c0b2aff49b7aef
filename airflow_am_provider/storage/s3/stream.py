"""A stream into an object: writing goes on while the pieces before are on their way."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from airflow_am_provider.storage.s3.multipart import MultipartWriter

# 10,000 pieces are S3's limit, so that a file may have 80 GB; Adobe's limit is 1 GB compressed.
_PIECE_BYTES: Final = 8 << 20
_BUFFER_BYTES: Final = 1 << 20


@contextmanager
def stream_into(writer: MultipartWriter) -> Iterator[BinaryIO]:
    """Open an object for writing; it appears when the block is left without an error.

    :param writer: writes the object; at most its ``at_once`` pieces of 8 MiB, and one that is
        being filled, are in memory.
    :raises ConfigurationError: when it may not be written; from a later write or the end of the
        block, as sending goes on in the background.
    :raises TransientError: when the server fails or the line breaks.
    """
    pieces = _Pieces(writer)
    file = io.BufferedWriter(pieces, _BUFFER_BYTES)
    try:
        with writer.sending():
            yield cast("BinaryIO", file)
            file.flush()
            pieces.finish()
        if writer.upload_id:
            writer.complete()
    except BaseException:
        if writer.upload_id:
            writer.abort()
        raise
    finally:
        # Closing flushes: what is left of a file that was given up is not sent.
        pieces.is_over = True
        file.close()


class _Pieces(io.RawIOBase):
    """Takes bytes until they make a piece, and sends it; an object of less is written at once."""

    def __init__(self, writer: MultipartWriter) -> None:
        super().__init__()
        self._writer = writer
        self.is_over = False
        self._piece = bytearray()
        self._number = 0

    def writable(self) -> bool:
        """Whether it can be written to: always."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Take bytes; waits while enough pieces are on their way."""
        view = memoryview(data).cast("B")
        size = len(view)
        while view and not self.is_over:
            room = _PIECE_BYTES - len(self._piece)
            self._piece += view[:room]
            view = view[room:]
            if len(self._piece) == _PIECE_BYTES:
                self._send()
        return size

    def finish(self) -> None:
        """Send what is left."""
        if not self._number:
            self._writer.put(self._piece)
        elif self._piece:
            self._send()

    def _send(self) -> None:
        if not self._number:
            self._writer.begin()
        self._number += 1
        piece, self._piece = self._piece, bytearray()
        self._writer.send(self._number, piece)
