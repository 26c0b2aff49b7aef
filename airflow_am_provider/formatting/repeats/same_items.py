"""Items that a user has more than once, found without sorting: by their hashes, then by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.row_hash import hash_rows

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Bytes, Marks, Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes

# Odd, with well-spread bits: the fractional part of the square root of two.
_MULTIPLIER: Final = np.uint64(0x6A09E667F3BCC909)
_HASH_BITS: Final = 64
# Slots for each item: one in eight meets another by chance.
_SPARE_BITS: Final = 2


def said_before(data: Bytes, starts: Rows, ends: Rows, users: Rows, which: Marks) -> Marks:
    r"""Which items their users have in front of them already.

    :param data: the bytes of all items; the ends of each are in ``starts`` and ``ends``, which
        ascend.
    :param users: the user's number of each item.
    :param which: of which items it is asked; the others are in front of none.

    >>> data = np.frombuffer(b"a,b,a\na\n", np.uint8)
    >>> starts, users = np.array([0, 2, 4, 6]), np.array([0, 0, 0, 1])
    >>> said_before(data, starts, starts + 1, users, np.ones(4, bool)).tolist()
    [False, False, True, False]
    """
    again = np.zeros(len(starts), bool)
    asked = np.flatnonzero(which)
    if not asked.size:
        return again
    with np.errstate(over="ignore"):
        keys = hash_rows(data, starts[asked], ends[asked] - starts[asked])
        keys ^= users[asked].astype(np.uint64) * _MULTIPLIER
        keys *= _MULTIPLIER
    later, earlier = _pairs_with_one_key(keys)
    later, earlier = asked[later], asked[earlier]
    is_same = users[later] == users[earlier]
    texts = _texts(data, starts, ends)
    equal = pc.equal(texts.take(to_arrow(2 * later)), texts.take(to_arrow(2 * earlier)))
    is_same &= to_numpy(equal)
    again[later[is_same]] = True
    return again


def _pairs_with_one_key(keys: Hashes) -> tuple[Rows, Rows]:
    """Places of keys that are there before, and for each the first place that it has."""
    bits = max(4, len(keys).bit_length() + _SPARE_BITS)
    table = np.empty(1 << bits, np.int32)
    left = np.arange(len(keys))
    later, earlier = [left[:0]], [left[:0]]
    while left.size:
        slots = (keys[left] >> np.uint64(_HASH_BITS - bits)).astype(np.int64)
        # Where several are put into a slot the last one stays: here the first of them all.
        table[slots[::-1]] = left[::-1]
        first = table[slots]
        is_again = (keys[first] == keys[left]) & (first != left)
        later.append(left[is_again])
        earlier.append(first[is_again].astype(np.int64))
        # Those that met another key in their slot get another slot.
        left = left[keys[first] != keys[left]]
        with np.errstate(over="ignore"):
            keys = keys * _MULTIPLIER if left.size else keys
    return np.concatenate(later), np.concatenate(earlier)


def _texts(data: Bytes, starts: Rows, ends: Rows) -> pa.Array:
    """The items, and what stands between them at the odd places."""
    offsets = np.empty(2 * len(starts) + 1, np.int32)
    offsets[:-1:2], offsets[1::2], offsets[-1] = starts, ends, len(data)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), 2 * len(starts), buffers)
