"""Hashes of all rows, on disk, and which of them occur more than once.

They are sorted a run at a time while more are coming, and one range of values after another is
taken out of all runs at the end.
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

    from airflow_am_provider.formatting.columns import Rows
    from airflow_am_provider.formatting.row_hash import Hashes

#: 8 MB of hashes are sorted at a time, in each of two threads.
HASHES_AT_A_TIME: Final = 1 << 20
_THREADS: Final = 2
_HASH_BYTES: Final = 8
_RUN: Final = 1 << 17
# With more, a range of values would have too few of each run to be read at one go; these are enough
# for 500 million rows, and beyond that a range just takes more memory.
_MOST_SHARES: Final = 256
# By their highest bits, hashes fall evenly into them.
_RANGE_STARTS: Final = np.arange(_MOST_SHARES, dtype=np.uint64) << np.uint64(56)


class HashFile:
    """Keeps hashes in a temporary file, 8 bytes each.

    :param at_a_time: how many are sorted at a time; this bounds the memory.
    """

    def __init__(self, at_a_time: int = HASHES_AT_A_TIME) -> None:
        self._at_a_time = at_a_time
        self._count = 0
        self._waiting: list[Hashes] = []
        self._waiting_count = 0
        # Of each run, where in it each range of values starts, and where the last one ends.
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
        # Runs lie behind one another.
        starts[1:] += np.cumsum(starts[:-1, -1])[:, np.newaxis]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="sort") as pool:
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
        run.sort()
        starts = np.append(np.searchsorted(run, _RANGE_STARTS), len(run))
        self._starts.append(starts)
        self._file.write(run.data)

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
        hashes.sort()
        again = hashes[1:][hashes[1:] == hashes[:-1]]
        values, counts = np.unique(again, return_counts=True)
        return values, counts.astype(np.uint64) + np.uint64(1)


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
