"""Hashes of all rows, on disk, and which of them occur more than once.

They are put into ranges of values a run at a time while more are coming, and one range after
another is taken out of all runs at the end. Nothing is sorted but the few that look alike: numpy
orders numbers of one or two bytes by counting, in a fraction of the time that sorting takes.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes

#: 2 MB of hashes are compared at a time, in each of two threads: caches hold that.
HASHES_AT_A_TIME: Final = 1 << 18
_THREADS: Final = 2
_HASH_BYTES: Final = 8
_RUN: Final = 1 << 17
# By their highest byte, hashes fall evenly into ranges. With more, a range would have too few of
# each run to be read at one go; beyond 67 million rows a range just takes more memory.
_MOST_SHARES: Final = 256
_HIGHEST_BYTE: Final = np.uint64(56)
_MIDDLE: Final = 16


class HashFile:
    """Keeps hashes in a temporary file, 8 bytes each.

    :param at_a_time: how many are compared at a time; this bounds the memory.
    """

    def __init__(self, at_a_time: int = HASHES_AT_A_TIME) -> None:
        self._at_a_time = at_a_time
        self._count = 0
        self._waiting: list[Hashes] = []
        self._waiting_count = 0
        # For each run, where in it each range of values starts, and where the last one ends.
        self._starts: list[Rows] = []
        # Closed, and so deleted, with this object.
        self._file = temporary_file()

    def __len__(self) -> int:
        return self._count

    def add(self, hashes: Hashes) -> None:
        """Remember hashes."""
        self._count += len(hashes)
        self._waiting.append(hashes)
        self._waiting_count += len(hashes)
        if self._waiting_count >= _RUN:
            self._write_run()

    def repeated(self) -> Iterator[tuple[Hashes, Hashes]]:
        """The hashes that occur more than once and how often, some of them at a time."""
        if self._waiting:
            self._write_run()
        if not self._starts:
            return
        self._file.flush()
        shares = shares_for(self._count, self._at_a_time)
        starts = np.stack(self._starts)[:, :: _MOST_SHARES // shares]
        # Runs follow one another in the file.
        starts[1:] += np.cumsum(starts[:-1, -1])[:, np.newaxis]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="compare") as pool:
            for first in range(0, shares, _THREADS):
                some = range(first, min(first + _THREADS, shares))
                for values, counts in pool.map(partial(self._repeated_in, starts), some):
                    if values.size:
                        yield values, counts

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _write_run(self) -> None:
        run = np.concatenate(self._waiting)
        self._waiting, self._waiting_count = [], 0
        ranges = (run >> _HIGHEST_BYTE).astype(np.uint8)
        order = np.argsort(ranges, kind="stable")
        self._starts.append(np.searchsorted(ranges.take(order), np.arange(_MOST_SHARES + 1)))
        self._file.write(run.take(order).data)

    def _repeated_in(self, starts: Rows, share: int) -> tuple[Hashes, Hashes]:
        """What occurs more than once in a range of values.

        :param starts: for each run and range, where it starts in the file.
        """
        lows, highs = starts[:, share], starts[:, share + 1]
        hashes = np.empty(int((highs - lows).sum()), np.uint64)
        filled = 0
        for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
            piece = hashes[filled : filled + high - low]
            read = os.preadv(self._file.fileno(), [piece.data], low * _HASH_BYTES)
            assert read == piece.nbytes, "a temporary file is shorter than what was written to it"
            filled += high - low
        hashes = _alike(hashes)
        hashes.sort()
        again = hashes[1:][hashes[1:] == hashes[:-1]]
        values, counts = np.unique(again, return_counts=True)
        return values, counts.astype(np.uint64) + np.uint64(1)


def _alike(hashes: Hashes) -> Hashes:
    """Those of which another one has the same four bytes in the middle.

    All equal ones are among them, and a handful of others in a million, if any.
    """
    # By the four bytes in the middle, of which each digit here stands for one byte:
    #
    #   hashes         0a111101 0b333300 0c111109 0b333300 0d555500
    #   middles        1111     3333     1111     3333     5555
    #   in order       1111 1111 3333 3333 5555
    #   as the next    yes  no   yes  no
    #   chosen         0a111101 0c111109 0b333300 0b333300      the first two only look alike
    higher, lower = (
        (hashes >> np.uint64(shift)).astype(np.uint16) for shift in (_MIDDLE + 16, _MIDDLE)
    )
    order = np.argsort(lower, kind="stable")
    order = order.take(np.argsort(higher.take(order), kind="stable"))
    middles = (hashes >> np.uint64(_MIDDLE)).astype(np.uint32).take(order)
    is_alike = middles[1:] == middles[:-1]
    if not is_alike.any():
        return hashes[:0]
    chosen = np.append(is_alike, False)
    chosen[1:] |= is_alike
    alike: Hashes = hashes.take(order[chosen])
    return alike


def shares_for(count: int, at_a_time: int) -> int:
    """Into how many files so many things go, of which some are to be sorted at a time.

    >>> shares_for(10, 10), shares_for(11, 10), shares_for(10**12, 10)
    (1, 2, 256)
    """
    shares = 1
    while count > shares * at_a_time and shares < _MOST_SHARES:
        shares *= 2
    return shares


def temporary_file() -> BinaryIO:
    """A file without a name; whoever opens it closes it, and so deletes it."""
    return tempfile.TemporaryFile(prefix="airflow-am-")
