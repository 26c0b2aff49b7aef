"""A set of 128-bit digests on disk: tens of millions of them, in flat memory."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from airflow_am_provider.formatting.repeats.bits import RoughHashes
from airflow_am_provider.formatting.repeats.hash_file import shares_for, temporary_file

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Marks
    from airflow_am_provider.formatting.columns.row_hash import Hashes

# 64 MB of digests are sorted at a time.
_DIGESTS_AT_A_TIME: Final = 1 << 22
_DIGEST_BYTES: Final = 16
_CHUNK: Final = 1 << 20


class DigestFile:
    """Digests of two halves each. All are added first; what is asked for after that is found.

    They lie sorted in temporary files that are mapped into memory, so that the system may let go
    of what is not looked at. 32 MB of bits in front say "no" for nearly all that are not in it.

    :param at_a_time: how many digests are sorted at a time; this bounds the memory.

    >>> some = DigestFile()
    >>> some.add(np.array([1, 9], np.uint64), np.array([2, 8], np.uint64))
    >>> some.holds(np.array([9, 1], np.uint64), np.array([8, 3], np.uint64)).tolist()
    [True, False]
    """

    def __init__(self, at_a_time: int = _DIGESTS_AT_A_TIME) -> None:
        self._at_a_time = at_a_time
        self._count = 0
        self._rough = RoughHashes()
        self._file: BinaryIO = temporary_file()
        # Closed, and so deleted, with this object.
        weakref.finalize(self, self._file.close)
        self._sorted: tuple[Hashes, Hashes] | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, first: Hashes, second: Hashes) -> None:
        """Put digests in.

        :param first: their first halves, which differ in nearly all digests.
        :param second: their second halves.
        """
        assert self._sorted is None
        self._count += len(first)
        self._rough.add(first)
        self._file.write(np.column_stack((first, second)).tobytes())

    def perhaps_holds(self, first: Hashes) -> Marks:
        """Which first halves are in it, or look so."""
        return self._rough.holds(first)

    def holds(self, first: Hashes, second: Hashes) -> Marks:
        """Which of these digests are in it."""
        found = np.zeros(len(first), bool)
        asked = np.flatnonzero(self.perhaps_holds(first))
        if not asked.size:
            return found
        firsts, seconds = self._in_order()
        places = np.searchsorted(firsts, first[asked])
        # Digests with the same first half stand next to one another.
        while asked.size:
            same = places < self._count
            same[same] = firsts[places[same]] == first[asked[same]]
            asked, places = asked[same], places[same]
            hit = seconds[places] == second[asked]
            found[asked[hit]] = True
            asked, places = asked[~hit], places[~hit] + 1
        return found

    def _in_order(self) -> tuple[Hashes, Hashes]:
        if self._sorted is None:
            with ExitStack() as stack:
                halves = [stack.enter_context(temporary_file()) for _ in range(2)]
                for file in self._shares(stack):
                    file.seek(0)
                    digests = np.frombuffer(file.read(), np.uint64).reshape(-1, 2)
                    order = np.argsort(digests[:, 0])
                    for half, column in zip(halves, digests[order].T, strict=True):
                        half.write(column.tobytes())
                self._sorted = _mapped(halves[0]), _mapped(halves[1])
            self._file.close()
        return self._sorted

    def _shares(self, stack: ExitStack) -> list[BinaryIO]:
        """Files small enough to be sorted; the first halves of one are below those of the next."""
        shares = shares_for(self._count, self._at_a_time)
        if shares == 1:
            return [self._file]
        files = [stack.enter_context(temporary_file()) for _ in range(shares)]
        shift = np.uint64(64 - (shares.bit_length() - 1))
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK * _DIGEST_BYTES):
            digests = np.frombuffer(chunk, np.uint64).reshape(-1, 2)
            of_each = digests[:, 0] >> shift
            order = np.argsort(of_each, kind="stable")
            starts = np.searchsorted(of_each[order], np.arange(1, shares, dtype=np.uint64))
            for file, some in zip(files, np.split(digests[order], starts), strict=True):
                file.write(some.tobytes())
        return files


def _mapped(file: BinaryIO) -> Hashes:
    file.flush()
    # The map keeps what is in the file for as long as the array is there.
    return np.frombuffer(mmap(file.fileno(), 0, access=ACCESS_READ), np.uint64)
