"""A set of numbers at one bit for each that there could be: small whatever is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.row_hash import Hashes

# 32 MB. With a million hashes in it, one in 250 others is taken for one of them.
_HASH_BITS: Final = 28

Numbers = npt.NDArray[np.int64]


class Bits:
    """A set of whole numbers from 0.

    :param size: one more than the largest number.

    >>> some = Bits(20)
    >>> some.add(np.array([3, 17]))
    >>> some.holds(np.array([2, 3, 4])).tolist(), bool(some)
    ([False, True, False], True)
    """

    def __init__(self, size: int) -> None:
        self._bytes = np.zeros((size + 7) // 8, np.uint8)
        self._some = False

    def __bool__(self) -> bool:
        return self._some

    def add(self, numbers: Numbers) -> None:
        """Put numbers in."""
        if not numbers.size:
            return
        self._some = True
        # Those of one byte together: numpy's own way for bytes that come again is slow.
        ordered = np.sort(numbers)
        places = ordered >> 3
        starts = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
        self._bytes[places[starts]] |= np.bitwise_or.reduceat(_bit(ordered), starts)

    def may_hold_any(self, start: int, end: int) -> bool:
        """Whether numbers of a range are in it, or some next to it."""
        return bool(self._bytes[start >> 3 : (end + 7) >> 3].any())

    def holds(self, numbers: Numbers) -> npt.NDArray[np.bool_]:
        """Which of these numbers are in it."""
        found: npt.NDArray[np.bool_] = (self._bytes[numbers >> 3] & _bit(numbers)) != 0
        return found


class RoughHashes:
    """A set of hashes that may take others for members, but never misses one."""

    def __init__(self) -> None:
        self._bits = Bits(1 << _HASH_BITS)

    def __bool__(self) -> bool:
        return bool(self._bits)

    def add(self, hashes: Hashes) -> None:
        """Put hashes in."""
        self._bits.add(_slots(hashes))

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which of these hashes are in it, or look so."""
        return self._bits.holds(_slots(hashes))


def _slots(hashes: Hashes) -> Numbers:
    return (hashes >> np.uint64(64 - _HASH_BITS)).astype(np.int64)


def _bit(numbers: Numbers) -> npt.NDArray[np.uint8]:
    return np.left_shift(np.uint8(1), (numbers & 7).astype(np.uint8))
