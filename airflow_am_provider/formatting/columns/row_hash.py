"""A 64-bit hash of each row of a byte column, computed for all rows at once.

It only sorts rows into "certainly not repeated" and "perhaps repeated"; what may be
repeated is compared byte for byte afterwards, so a collision costs time, never truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Bytes, Rows

Hashes = npt.NDArray[np.uint64]

# Odd constants with well-spread bits (the fractional parts of the golden ratio and pi).
_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0x243F6A8885A308D3)
_WORD = 8


def hash_rows(data: Bytes, starts: Rows, lengths: Rows) -> Hashes:
    """Hash each row.

    :param data: the bytes of all rows.
    :param starts: where each row starts.
    :param lengths: how many bytes it has.
    """
    hashes = lengths.astype(np.uint64) * _SEED
    if lengths.size == 0:
        return hashes
    # Eight bytes at a time, read from wherever a row starts; padded where the last read of the
    # last row would not stay inside.
    inside = int((starts + lengths).max()) + _WORD <= len(data)
    padded = data if inside else np.concatenate((data, np.zeros(_WORD, np.uint8)))
    words: Hashes = np.ndarray((len(padded) - _WORD + 1,), "<u8", padded.data, 0, (1,))
    shortest, longest = int(lengths.min()), int(lengths.max())
    is_even = shortest == longest and bool((np.diff(starts) == longest).all())
    with np.errstate(over="ignore"):
        for place in range(0, longest, _WORD):
            if is_even:
                # Rows of one length next to one another, as most IDs are: no place is looked up.
                at = int(starts[0]) + place
                word: Hashes = np.ndarray(lengths.shape, "<u8", padded.data, at, (longest,))
                hashes = _mixed(hashes, word & _first_bytes(longest - place))
                continue
            if place + _WORD <= shortest:
                hashes = _mixed(hashes, words[starts + place])
                continue
            rows = np.flatnonzero(lengths > place)
            left = np.minimum(lengths[rows] - place, _WORD).astype(np.uint64)
            # Bytes after the end of the row belong to the next one.
            mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - left * np.uint64(8))
            hashes[rows] = _mixed(hashes[rows], words[starts[rows] + place] & mask)
        hashes ^= hashes >> np.uint64(29)
        hashes *= _MULTIPLIER | np.uint64(1)
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _first_bytes(count: int) -> np.uint64:
    """A mask for so many bytes of a word."""
    return np.uint64(0xFFFFFFFFFFFFFFFF >> (64 - 8 * min(count, _WORD)))


def _mixed(hashes: Hashes, word: Hashes) -> Hashes:
    mixed = (hashes ^ word) * (_MULTIPLIER | np.uint64(1))
    mixed ^= mixed >> np.uint64(31)
    return mixed
