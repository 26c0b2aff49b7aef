"""Counts users to whom lines give more traits than a profile holds.

Nobody gets so many but by many long lines (features/administration/usage-limits.md), so only
these are looked at. Users share counters by chance, which takes a delivery of terabytes to matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.trait_counts import LONG_LINE_BYTES
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.columns.row_hash import hash_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Rows

# Eight bytes each.
_COUNTERS: Final = 1 << 20
# Up to here nothing is counted: 4,000 traits at most, 2,300 of seven digits.
_WORTH_COUNTING_BYTES: Final = 32_000
_TAB, _COMMA = (np.uint8(byte) for byte in b"\t,")
# What tells d_sid= from d_unsid=, ic= and keys in quotes.
_D, _S = (np.uint8(byte) for byte in b"ds")


class FullProfiles:
    r"""Counts the traits that long lines give to each user.

    >>> import pyarrow as pa
    >>> items = b",".join(b"d_sid=%d" % trait for trait in range(8_000))
    >>> full = FullProfiles()
    >>> lines = pa.array([b"ann\t%b\n" % items, b"bob\td_sid=1\n"])
    >>> for _ in range(20):
    ...     full.add(pa.array([b"ann", b"bob"]), lines)
    >>> full.users
    1
    """

    def __init__(self) -> None:
        # For each counter, the bytes of its long lines, and the traits that were counted.
        self._bytes = self._traits = np.zeros(0, np.uint32)

    def add(self, ids: pa.Array, lines: pa.Array) -> None:
        """Count those of some lines.

        :param ids: the user ID of each line, a ``binary`` array.
        :param lines: each with its newline, a ``binary`` array.
        """
        lengths = ByteView.of(lines).lengths
        long = np.flatnonzero((lengths > LONG_LINE_BYTES) & (lengths <= limits.MAX_LINE_BYTES + 1))
        if not long.size:
            return
        if not self._bytes.size:
            self._bytes, self._traits = np.zeros((2, _COUNTERS), np.uint32)
        some = ByteView.of(ids.take(to_arrow(long)))
        hashes = hash_rows(some.data, some.offsets[:-1], some.lengths)
        counters = (hashes % np.uint64(_COUNTERS)).astype(np.int64)
        np.add.at(self._bytes, counters, lengths[long].astype(np.uint32))
        # To count the items takes as long as to write them.
        rich = self._bytes[counters] > _WORTH_COUNTING_BYTES
        if rich.any():
            traits = _traits(lines.take(to_arrow(long[rich])))
            np.add.at(self._traits, counters[rich], traits.astype(np.uint32))

    @property
    def users(self) -> int:
        """How many have more than a profile holds."""
        return int(np.count_nonzero(self._traits > limits.MAX_TRAITS_PER_USER))


def _traits(lines: pa.Array) -> Rows:
    """How many traits each line gives."""
    view = ByteView.of(lines)
    data = view.data
    before = np.flatnonzero((data == _COMMA) | (data == _TAB))
    first, third = (data.take(before + place, mode="clip") for place in (1, 3))
    before = before[(first == _D) & (third == _S)]
    counts: Rows = np.diff(np.searchsorted(before, view.offsets))
    return counts
