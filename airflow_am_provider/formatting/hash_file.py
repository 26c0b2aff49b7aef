"""Hashes of all rows, on disk, and which of them occur more than once."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.formatting.row_hash import Hashes

#: 64 MB of hashes are sorted at a time.
HASHES_AT_A_TIME: Final = 1 << 23
_HASH_BYTES: Final = 8
_CHUNK: Final = 1 << 20
# So that their number stays under what systems let a process open: enough for two billion rows.
_MOST_FILES: Final = 256


class HashFile:
    """Keeps hashes in a temporary file, 8 bytes each.

    :param at_a_time: how many are sorted at a time; this bounds the memory.
    """

    def __init__(self, at_a_time: int = HASHES_AT_A_TIME) -> None:
        self._at_a_time = at_a_time
        self._count = 0
        # Closed, and so deleted, with this object.
        self._file = temporary_file()

    def __len__(self) -> int:
        return self._count

    def add(self, hashes: Hashes) -> None:
        """Remember hashes."""
        self._count += len(hashes)
        self._file.write(hashes.tobytes())

    def repeated(self) -> Iterator[tuple[Hashes, Hashes]]:
        """The hashes that occur more than once and how often, a share of them at a time."""
        with ExitStack() as stack:
            for file in self._shares(stack):
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                hashes = _read(file, size // _HASH_BYTES)
                hashes.sort()
                again = hashes[1:][hashes[1:] == hashes[:-1]]
                if again.size:
                    values, counts = np.unique(again, return_counts=True)
                    yield values, counts.astype(np.uint64) + np.uint64(1)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _shares(self, stack: ExitStack) -> list[BinaryIO]:
        """Files small enough to be sorted, equal hashes in the same one."""
        shares = shares_for(self._count, self._at_a_time)
        if shares == 1:
            return [self._file]
        files = [stack.enter_context(temporary_file()) for _ in range(shares)]
        # By their highest bits, hashes fall evenly into any power of two of shares.
        shift = np.uint64(64 - (shares.bit_length() - 1))
        starts = np.arange(shares, dtype=np.uint64) << shift
        self._file.seek(0)
        while (hashes := _read(self._file, _CHUNK)).size:
            hashes.sort()
            for file, share in zip(
                files, np.split(hashes, np.searchsorted(hashes, starts[1:])), strict=True
            ):
                file.write(share.tobytes())
        return files


def _read(file: BinaryIO, most: int) -> Hashes:
    """So many hashes, or those that are left."""
    hashes = np.empty(most, np.uint64)
    size = file.readinto(hashes.view(np.uint8).data)  # type: ignore[attr-defined]
    return hashes[: size // _HASH_BYTES]


def shares_for(count: int, at_a_time: int) -> int:
    """Into how many files so many things go, of which some are to be sorted at a time.

    >>> shares_for(10, 10), shares_for(11, 10), shares_for(10**12, 10)
    (1, 2, 256)
    """
    shares = 1
    while count > shares * at_a_time and shares < _MOST_FILES:
        shares *= 2
    return shares


def temporary_file() -> BinaryIO:
    """A file without a name; whoever opens it closes it, and so deletes it."""
    return tempfile.TemporaryFile(prefix="airflow-am-")
