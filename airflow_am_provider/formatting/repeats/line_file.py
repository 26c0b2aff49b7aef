"""Lines on the local disk that can be read in their order, and by shares of the users.

Lines are written a run at a time, those of a share next to one another. So a run is read in one go,
and a share in as many as there are runs.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.repeats.hash_file import temporary_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes

_RUN_BYTES: Final = 3 << 20
_SHARES: Final = 256
_HIGHEST_BYTE: Final = np.uint64(56)
_HASH_BITS: Final = 64
_BYTE_BITS: Final = 8
_PIECE_BYTES: Final = 8 << 20
# A larger share is divided once more, where its users are not all of one.
_LARGE_SHARE_BYTES: Final = 3 * _PIECE_BYTES
# A line costs some numbers besides its text.
_BYTES_BESIDES: Final = 64


class Piece(NamedTuple):
    """Some lines.

    :param numbers: of the lines.
    :param hashes: of their user IDs.
    :param lines: a ``binary`` array.
    """

    numbers: Rows
    hashes: Hashes
    lines: pa.Array


@dataclass(frozen=True, slots=True)
class Share(Iterable[Piece]):
    """All lines of some users, as pieces in their order; they can be gone through again."""

    read: Callable[[], Iterator[Piece]]

    def __iter__(self) -> Iterator[Piece]:
        return self.read()


class LineFile:
    r"""Keeps lines in a temporary file, with their numbers.

    >>> lines = LineFile()
    >>> texts = pa.array([b"ann\t1\n", b"bob\t1\n", b"ann\t2\n"], pa.binary())
    >>> lines.add(texts, np.array([9, 1, 9], np.uint64) << np.uint64(56), np.arange(3))
    >>> [some.take(order).to_pylist() for some, order in lines.in_order()]
    [[b'ann\t1\n', b'bob\t1\n', b'ann\t2\n']]
    >>> [piece.numbers.tolist() for share in lines.shares() for piece in share]
    [[1, 0, 2]]
    >>> lines.close()
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._file = temporary_file()
        # Closed, and so deleted, with this object at the latest.
        weakref.finalize(self, self._file.close)
        self._waiting: list[Piece] = []
        self._waiting_bytes = 0
        # For each run: where it starts in the file; and where each share starts, in it by its bytes
        # and among its lines.
        self._runs: list[tuple[int, Rows, Rows]] = []

    def add(self, lines: pa.Array, hashes: Hashes, numbers: Rows) -> None:
        """Keep lines.

        :param lines: a ``binary`` array.
        :param hashes: lines with the same highest byte come into the same share.
        :param numbers: their numbers, ascending from call to call.
        """
        self._waiting.append(Piece(numbers, hashes, lines))
        self._waiting_bytes += int(lines.nbytes)
        if self._waiting_bytes >= _RUN_BYTES:
            self._write_run()

    def in_order(self) -> Iterator[tuple[pa.Array, Rows]]:
        """All lines, some at a time, each time with the order in which they came."""
        self._write_run()
        for run in range(len(self._runs)):
            piece = self._read(run, 0, _SHARES)
            yield piece.lines, np.argsort(piece.numbers)

    def shares(self, *, is_divided: bool = False) -> Iterator[Share]:
        """Some shares at a time, in the order of their users' hashes.

        :param is_divided: whether these are the lines of one share already.
        """
        self._write_run()
        if not self._runs:
            return
        sizes = sum(
            np.diff(starts) + _BYTES_BESIDES * np.diff(lines) for _, starts, lines in self._runs
        )
        first, held = 0, 0
        for share, size in enumerate(sizes.tolist()):
            if held and held + size > _PIECE_BYTES:
                yield self._share(first, share)
                first, held = share, 0
            if size > _LARGE_SHARE_BYTES and not is_divided:
                for some in self._divided(share).shares(is_divided=True):
                    yield rotated_back(some, _BYTE_BITS)
                first, held = share + 1, 0
                continue
            held += size
        if first < _SHARES:
            yield self._share(first, _SHARES)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _share(self, first: int, end: int) -> Share:
        return Share(partial(self._pieces, first, end))

    def _divided(self, share: int) -> LineFile:
        """The lines of a share in a file of their own, by the next byte of their hashes."""
        file = LineFile()
        for numbers, hashes, lines in self._pieces(share, share + 1):
            file.add(lines, rotated(hashes, _BYTE_BITS), numbers)
        return file

    def _pieces(self, first: int, end: int) -> Iterator[Piece]:
        held: list[Piece] = []
        size = 0
        for run in range(len(self._runs)):
            held.append(self._read(run, first, end))
            size += held[-1].lines.nbytes + _BYTES_BESIDES * len(held[-1].lines)
            if size > _PIECE_BYTES:
                yield together(held)
                held, size = [], 0
        if size:
            yield together(held)

    def _write_run(self) -> None:
        if not self._waiting:
            return
        numbers, hashes, lines = together(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        shares = (hashes >> _HIGHEST_BYTE).astype(np.uint8)
        order = np.argsort(shares, kind="stable")
        firsts = np.searchsorted(shares.take(order), np.arange(_SHARES + 1))
        view = ByteView.of(lines.take(to_arrow(order)))
        self._runs.append((self.bytes, view.offsets[firsts], firsts))
        lengths = view.lengths.astype(np.int32)
        for data in (numbers.take(order), hashes.take(order), lengths, view.data):
            self._file.write(np.ascontiguousarray(data).data)
            self.bytes += data.nbytes

    def _read(self, run: int, first: int, end: int) -> Piece:
        """Lines of a run that belong to some shares."""
        self._file.flush()
        start, places, firsts = self._runs[run]
        low, high = firsts[[first, end]].tolist()
        columns: list[Any] = []
        for kind in (np.int64, np.uint64, np.int32):
            size = np.dtype(kind).itemsize
            columns.append(self._array(start + size * low, high - low, kind))
            start += size * int(firsts[-1])
        numbers, hashes, lengths = columns
        text = self._array(start + int(places[first]), int(places[end] - places[first]), np.uint8)
        offsets = np.zeros(high - low + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        return Piece(numbers, hashes, pa.Array.from_buffers(pa.binary(), high - low, buffers))

    def _array(self, place: int, count: int, kind: type) -> npt.NDArray[Any]:
        data: npt.NDArray[Any] = np.empty(count, kind)
        if count:
            read = os.preadv(self._file.fileno(), [data.data], place)
            assert read == data.nbytes, "a temporary file is shorter than what was written to it"
        return data


def rotated(hashes: Hashes, bits: int) -> Hashes:
    """Hashes whose highest bits, so many of them, are moved to the low end.

    >>> rotated(np.array([0x12 << 56], np.uint64), 8).tolist(), rotated(np.array([3]), 0).tolist()
    ([18], [3])
    """
    if not bits:
        return hashes
    return (hashes << np.uint64(bits)) | (hashes >> np.uint64(_HASH_BITS - bits))


def rotated_back(share: Share, bits: int) -> Share:
    """A share with the hashes that its lines had before they were rotated."""
    if not bits:
        return share
    return Share(partial(_rotated_pieces, share, _HASH_BITS - bits))


def _rotated_pieces(share: Share, bits: int) -> Iterator[Piece]:
    for numbers, hashes, lines in share:
        yield Piece(numbers, rotated(hashes, bits), lines)


def together(pieces: Sequence[Piece]) -> Piece:
    """Pieces one after the other, as one."""
    if len(pieces) == 1:
        return pieces[0]
    numbers, hashes, lines = zip(*pieces, strict=True)
    return Piece(np.concatenate(numbers), np.concatenate(hashes), pa.concat_arrays(lines))
