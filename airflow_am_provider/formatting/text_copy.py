"""A copy of text that nobody here can read any more where it was written."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final

from isal import isal_zlib

from airflow_am_provider.formatting.reading_back import lines_of
from airflow_am_provider.formatting.repeats.hash_file import temporary_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_LEVEL: Final = 1
_GZIP_WBITS: Final = 31
# Lines that are all alike unpack to a hundred times their size.
_READ_BYTES: Final = 1 << 16


class TextCopy:
    r"""Keeps text packed on the local disk, in a file without a name, as long as it is open.

    Parts that are encrypted for somebody else cannot be read back for the rules over all lines.

    >>> copy = TextCopy()
    >>> copy.write(memoryview(b"ann\t1\nbob\t1\n"))
    >>> copy.finish()
    >>> [lines.to_pylist() for lines in copy.lines()]
    [[b'ann\t1\n', b'bob\t1\n']]
    >>> copy.close()
    """

    def __init__(self) -> None:
        self._file = temporary_file()
        # Closed, and so deleted, with this object at the latest.
        weakref.finalize(self, self._file.close)
        self._packer = isal_zlib.compressobj(_LEVEL, wbits=_GZIP_WBITS)

    def write(self, text: memoryview) -> None:
        """Take the next piece."""
        self._file.write(self._packer.compress(text))

    def finish(self) -> None:
        """No more text comes."""
        self._file.write(self._packer.flush())
        self._file.flush()

    def lines(self) -> Iterator[pa.Array]:
        """All lines, once it is finished, as ``binary`` arrays, each line with its newline."""
        return lines_of(self._blocks())

    def close(self) -> None:
        """Delete it."""
        self._file.close()

    def _blocks(self) -> Iterator[bytes]:
        unpacker, place = isal_zlib.decompressobj(_GZIP_WBITS), 0
        while packed := os.pread(self._file.fileno(), _READ_BYTES, place):
            place += len(packed)
            yield unpacker.decompress(packed)
