"""Counts user IDs that are sent as they are and may not be what was meant.

Blanks at the edges, ``1001.00``, and IDs that differ from others only in case or such blanks. For
these a hash of each ID without the difference is kept beside that of the ID as it is. Where there
are many IDs, only those with certain hashes are kept, and the count is extrapolated, so that memory
is flat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView, without_nulls
from airflow_am_provider.formatting.columns.placeholder_rows import without_spaces
from airflow_am_provider.formatting.columns.row_hash import hash_rows
from airflow_am_provider.formatting.remarks import Remark

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Bytes, Marks, Rows
    from airflow_am_provider.formatting.columns.checks import Codes
    from airflow_am_provider.formatting.columns.row_hash import Hashes

    _Kept = tuple[Hashes, Hashes, Bytes]

# 16 bytes each. So many IDs are counted exactly.
_MOST_KEPT: Final = 1 << 17
_CASE_BIT: Final = np.uint8(0x20)
_CASE_BITS: Final = np.uint64(0x2020202020202020)
_WORD: Final = 8
_SHARE_BITS: Final = 4
# Odd, with well-spread bits: the fractional part of the golden ratio.
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_ZERO, _POINT, _SPACE = (np.uint8(byte) for byte in b"0. ")
_NINE: Final = np.uint8(9)


class IdWatch:
    """Looks at the IDs of rows that are sent.

    :param most_kept: how many hashes are kept at most.
    """

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._padded = self._decimal = 0
        # Hashes without case and blanks, as they are, and the share that the ID falls into.
        self._kept: list[tuple[Hashes, Hashes, Bytes]] = []
        self._count = 0
        # Where there are many IDs, only those of one share are hashed, and only
        # those of them are kept whose lowest bits are zeros.
        self._share: np.uint8 | None = None
        self._bits = 0
        self._rows = self._rows_in_share = 0

    def add(self, ids: pa.Array, codes: Codes) -> None:
        """Look at a batch.

        :param ids: the user IDs as a ``binary`` array.
        :param codes: for each row, the rule it broke, or 0.
        """
        if not len(ids):
            return
        filled = without_nulls(ids)
        view = ByteView.of(filled)
        raw, good = view.data.tobytes(), codes == 0
        starts, lengths = view.offsets[:-1], view.lengths
        if b" " in raw:
            padded = (view.first_bytes == _SPACE) | (view.last_bytes == _SPACE)
            if padded.any():
                self._padded += int(np.count_nonzero(padded & good))
                starts, lengths = without_spaces(view, padded)
        if b"." in raw:
            self._decimal += _decimals(view.data, starts, lengths, good)
        shares = _shares(view.data, starts, lengths)
        self._rows += int(np.count_nonzero(good))
        if self._share is not None:
            good &= shares == self._share
        rows = np.flatnonzero(good)
        self._rows_in_share += len(rows)
        some = filled if rows.size == len(filled) else filled.take(to_arrow(rows))
        inside = starts - view.offsets[:-1]
        self._keep(ByteView.of(some), inside[rows], lengths[rows], shares[rows])

    @property
    def remarks(self) -> dict[str, int]:
        """The counts, without those of nothing."""
        # IDs with the same bytes in the middle are all in one share.
        one_of = (self._rows << self._bits) / max(1, self._rows_in_share)
        counts = {
            Remark.PADDED_IDS: self._padded,
            Remark.DECIMAL_IDS: self._decimal,
            Remark.ALIKE_IDS: round(_alike(self._distinct()[0]) * one_of),
        }
        return {name.value: count for name, count in counts.items() if count}

    def _keep(self, view: ByteView, inside: Rows, lengths: Rows, shares: Bytes) -> None:
        """Keep hashes of IDs.

        :param inside: where in each the text starts that is no blank.
        :param lengths: how long it is.
        """
        raw, data = view.data.tobytes(), view.data
        # The later bytes of UTF-8 mean something else, so only ASCII letters lose their case.
        folded = data | _CASE_BIT if raw.isascii() else np.frombuffer(raw.lower(), np.uint8)
        kept = (
            hash_rows(folded, view.offsets[:-1] + inside, lengths),
            hash_rows(data, view.offsets[:-1], view.lengths),
            shares,
        )
        if self._bits:
            kept = _chosen(kept, kept[0] & _lowest(self._bits) == 0)
        self._kept.append(kept)
        self._count += len(kept[0])
        if self._count > self._most_kept:
            self._thin_out()

    def _thin_out(self) -> None:
        """Keep each ID once; and where there are still too many, fewer IDs."""
        kept = self._together()
        if self._share is None:
            self._share = kept[2][0]
            kept = _chosen(kept, kept[2] == self._share)
            self._rows_in_share = len(kept[0])
        self._kept = [kept]
        kept = self._distinct()
        while len(kept[0]) > self._most_kept // 2:
            self._bits += 1
            kept = _chosen(kept, kept[0] & _lowest(self._bits) == 0)
        self._kept, self._count = [kept], len(kept[0])

    def _together(self) -> _Kept:
        empty = np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint8)
        first, second, third = zip(empty, *self._kept, strict=True)
        return np.concatenate(first), np.concatenate(second), np.concatenate(third)

    def _distinct(self) -> _Kept:
        """Each ID once, those that are alike next to one another."""
        kept = self._together()
        kept = _chosen(kept, np.lexsort((kept[1], kept[0])))
        is_new = np.ones(len(kept[0]), bool)
        is_new[1:] = (kept[0][1:] != kept[0][:-1]) | (kept[1][1:] != kept[1][:-1])
        return _chosen(kept, is_new)


def _chosen(kept: _Kept, which: Marks | Rows) -> _Kept:
    first, second, third = kept
    return first[which], second[which], third[which]


def _lowest(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _alike(without_case: Hashes) -> int:
    """How many different IDs have another one like them, when those are neighbours."""
    same = without_case[1:] == without_case[:-1]
    is_alike = np.zeros(len(without_case), bool)
    is_alike[1:] |= same
    is_alike[:-1] |= same
    return int(np.count_nonzero(is_alike))


def _shares(data: Bytes, starts: Rows, lengths: Rows) -> Bytes:
    """Into which of some shares each ID falls, by eight bytes in its middle without their case."""
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest >= _WORD:
        word = _words(data, starts, lengths, is_even=shortest == longest)
    else:
        padded = np.concatenate((data, np.zeros(_WORD, np.uint8)))
        word = _words(padded, starts, lengths)
        # What follows a short ID belongs to the next one. A shift by 64 is none.
        bits = np.minimum(lengths, _WORD).astype(np.uint64) * np.uint64(8)
        word = np.where(bits == 0, 0, word & (~np.uint64(0) >> (np.uint64(64) - bits)))
    with np.errstate(over="ignore"):
        mixed = (word | _CASE_BITS) * _MULTIPLIER
    return (mixed >> np.uint64(64 - _SHARE_BITS)).astype(np.uint8)


def _words(data: Bytes, starts: Rows, lengths: Rows, *, is_even: bool = False) -> Hashes:
    """Eight bytes from the middle of each ID."""
    first = int(starts[0]) + max(int(lengths[0]) // 2 - _WORD // 2, 0)
    if is_even and int(starts[-1] - starts[0]) == int(lengths[0]) * (len(lengths) - 1):
        # IDs of one length next to one another: no place is looked up.
        return np.ndarray(lengths.shape, "<u8", data.data, first, (int(lengths[0]),))
    words: Hashes = np.ndarray((len(data) - _WORD + 1,), "<u8", data.data, 0, (1,))
    middle: Hashes = words[starts + np.maximum((lengths >> 1) - _WORD // 2, 0)]
    return middle


def _decimals(data: Bytes, starts: Rows, lengths: Rows, good: Codes) -> int:
    """How many rows are digits, a point and zeros: ``1001.0`` or ``1001.00``."""
    ends = starts + lengths
    last, before, third = (data.take(ends - place, mode="clip") for place in (1, 2, 3))
    found = good & (lengths >= 3) & (last == _ZERO)
    found &= (before == _POINT) | ((before == _ZERO) & (third == _POINT) & (lengths >= 4))
    rows = np.flatnonzero(found)
    if not rows.size:
        return 0
    # The point is the only byte that is no digit.
    others = np.concatenate(([0], np.cumsum(data - _ZERO > _NINE)))
    return int(np.count_nonzero(others[ends[rows]] - others[starts[rows]] == 1))
