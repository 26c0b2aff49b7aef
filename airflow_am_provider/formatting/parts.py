"""Writing lines into parts: split by size, packed, with counts and checksums."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
from isal import isal_zlib

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import Encoding
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.openpgp import PgpPacker
from airflow_am_provider.formatting.overlap import BackgroundWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_am_provider.formatting.lines.item_counts import ItemCounts
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.formatting.text_copy import TextCopy
    from airflow_am_provider.storage.folder import Folder

# isal's level 1 costs 4-10 % in size against zlib and saves over 90 % of the time.
_GZIP_LEVEL = 1
_GZIP_WBITS = 31
# Lines go to the compressor in pieces of this size, so that a part's compressed size is
# known to this grain when it is decided whether the next piece still fits.
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PartSizes:
    """How large parts may become, in bytes.

    :param part_bytes: uncompressed size at which the next part begins.
    :param compressed_part_bytes: compressed size at which the next part begins.
    :raises ConfigurationError: over Adobe's limits.
    """

    part_bytes: int = limits.BEST_PART_BYTES
    compressed_part_bytes: int = limits.BEST_COMPRESSED_PART_BYTES

    def __post_init__(self) -> None:
        for parameter, value, largest in (
            ("part_bytes", self.part_bytes, limits.MAX_PART_BYTES),
            # A compressor may hold a piece back, so the last one may come on top.
            (
                "compressed_part_bytes",
                self.compressed_part_bytes,
                limits.MAX_COMPRESSED_PART_BYTES - 2 * _PIECE_BYTES,
            ),
        ):
            if not limits.MAX_LINE_BYTES < value <= largest:
                raise ConfigurationError(
                    f"{parameter}: {value!r} bytes; more than {limits.MAX_LINE_BYTES} (one line) "
                    f"and "
                    f"at most {largest} (inbound-s3-filenames.md, inbound-file-compression.md)"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenPart:
    """A part as it lies in the storage.

    :param path: where, relative to the storage.
    :param lines: how many lines it has.
    :param bytes: its size uncompressed.
    :param compressed_bytes: its size as it lies.
    :param sha256: checksum of it as it lies.
    """

    path: str
    lines: int
    bytes: int
    compressed_bytes: int
    sha256: str


class Packer(Protocol):
    """Turns text into the bytes of a file, piece by piece."""

    def compress(self, data: memoryview) -> bytes:
        """Take a piece; return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


class PartWriter:
    """Writes lines into numbered parts of a folder.

    :param storage: where to.
    :param folder: the folder, relative to the storage.
    :param encoding: plain, gzip or PGP.
    :param sizes: where to split.
    :param counts: counts the items of what is written, or None.
    :param recipient: who can read encrypted parts.
    :param copy: takes all text as well, or None; whoever gives it closes it.
    """

    def __init__(
        self,
        storage: Folder,
        folder: str,
        encoding: Encoding,
        sizes: PartSizes,
        counts: ItemCounts | None = None,
        *,
        recipient: Recipient | None = None,
        copy: TextCopy | None = None,
    ) -> None:
        self.parts: list[WrittenPart] = []
        self.counts = counts
        self._storage = storage
        self._folder = folder
        self._encoding = encoding
        self._recipient = recipient
        self._copy = copy
        self._sizes = sizes
        self._open: _OpenPart | None = None
        self._text_sha256 = hashlib.sha256()
        # Beside the packing, which takes longer than all other steps.
        self._checksum: BackgroundWorker[memoryview] = BackgroundWorker(self._note)
        # Plain text has one size only.
        self._most_as_it_lies = (
            sizes.part_bytes if encoding is Encoding.PLAIN else sizes.compressed_part_bytes
        )

    @property
    def text_sha256(self) -> str:
        """Checksum of all text written, once closed: the same wherever it is split and packed."""
        return self._text_sha256.hexdigest()

    def write(self, lines: pa.Array) -> None:
        """Write lines, each with its newline, in their order."""
        view = ByteView.of(lines)
        offsets, data = view.offsets, view.data
        if self.counts is not None:
            self.counts.add(view)
        self._checksum.put(data.data)
        row = 0
        while row < len(lines):
            if self._open is None:
                self._open = _OpenPart(
                    self._storage,
                    f"{self._folder}/{len(self.parts) + 1:05d}{_extension(self._encoding)}",
                    self._encoding,
                    self._recipient,
                )
            room = min(self._sizes.part_bytes - self._open.bytes, _PIECE_BYTES)
            end = int(np.searchsorted(offsets, offsets[row] + room, side="right")) - 1
            if end <= row:
                if self._open.bytes + offsets[row + 1] - offsets[row] > self._sizes.part_bytes:
                    self._close_part()
                    continue
                end = row + 1
            text = data[offsets[row] : offsets[end]].data
            self._open.write(text, end - row)
            row = end
            if self._open.compressed_bytes >= self._most_as_it_lies:
                self._close_part()

    def close(self) -> list[WrittenPart]:
        """Finish the last part; return all."""
        if self._open is not None:
            self._close_part()
        self._checksum.close()
        if self._copy is not None:
            self._copy.finish()
        return self.parts

    def discard(self) -> None:
        """Leave nothing: the open part never appears, the finished ones go."""
        self._checksum.abandon()
        try:
            if self._open is not None:
                self._open.discard()
                self._open = None
        finally:
            for part in self.parts:
                self._storage.delete(part.path)
            self.parts = []

    def _note(self, text: memoryview) -> None:
        self._text_sha256.update(text)
        if self._copy is not None:
            self._copy.write(text)

    def _close_part(self) -> None:
        assert self._open is not None
        self.parts.append(self._open.close())
        self._open = None


class _OpenPart:
    """The part that is being written."""

    def __init__(
        self, storage: Folder, path: str, encoding: Encoding, recipient: Recipient | None
    ) -> None:
        self.bytes = 0
        self.compressed_bytes = 0
        self._lines = 0
        self._path = path
        self._sha256 = hashlib.sha256()
        with ExitStack() as stack:
            self._packer = stack.enter_context(packing(encoding, recipient))
            self._file: BinaryIO = stack.enter_context(storage.open_write(path))
            self._stack = stack.pop_all()

    def write(self, text: memoryview, lines: int) -> None:
        self.bytes += len(text)
        self._lines += lines
        self._put(self._packer.compress(text))

    def close(self) -> WrittenPart:
        self._put(self._packer.flush())
        self._stack.close()
        return WrittenPart(
            path=self._path,
            lines=self._lines,
            bytes=self.bytes,
            compressed_bytes=self.compressed_bytes,
            sha256=self._sha256.hexdigest(),
        )

    def discard(self) -> None:
        # The storage takes a file back when its block is left with an error.
        self._stack.__exit__(InterruptedError, InterruptedError("discarded"), None)

    def _put(self, packed: bytes) -> None:
        if packed:
            self.compressed_bytes += len(packed)
            self._sha256.update(packed)
            self._file.write(packed)


class _Plain:
    def compress(self, data: memoryview) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


@contextmanager
def packing(encoding: Encoding, recipient: Recipient | None = None) -> Iterator[Packer]:
    """What packs the text of one file.

    :param recipient: who can read it, where it is encrypted.
    :raises ConfigurationError: when it is to be encrypted, and GnuPG is missing or refuses the key.
    """
    if encoding is Encoding.PLAIN:
        yield _Plain()
    elif encoding is Encoding.GZIP:
        # The header carries no time stamp, so the same text gives the same bytes.
        yield isal_zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS)
    else:
        assert recipient is not None, "FormatOptions refuses encryption for nobody"
        with PgpPacker(recipient) as pgp:
            yield pgp


def _extension(encoding: Encoding) -> str:
    return f".{encoding}" if encoding else ""
