"""Equal texts of a column found exactly, all rows at once: by their hashes, then by their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes


def in_order(hashes: Hashes, texts: pa.Array) -> tuple[Rows, Marks]:
    """Put equal texts next to one another; those with the same hash in the order of their texts.

    :param hashes: one of each text.
    :param texts: a ``binary`` array without nulls.
    :return: the order, in which equal texts stay in theirs; and which in this order is the first
        of its text.

    >>> import pyarrow as pa
    >>> order, is_first = in_order(np.array([7, 1, 7], np.uint64), pa.array([b"a", b"b", b"a"]))
    >>> order.tolist(), is_first.tolist()
    ([1, 0, 2], [True, True, False])
    """
    order = np.argsort(hashes, kind="stable")
    is_same, same_hash = _same_as_before(order, hashes, texts)
    if not np.array_equal(is_same, same_hash):
        # Different texts with one hash: their rows are put in the order of the texts.
        ordered = hashes[order]
        shared = np.unique(ordered[1:][same_hash & ~is_same])
        lows = np.searchsorted(ordered, shared, side="left").tolist()
        highs = np.searchsorted(ordered, shared, side="right").tolist()
        for low, high in zip(lows, highs, strict=True):
            rows = order[low:high]
            found = texts.take(to_arrow(rows)).to_pylist()
            pairs = sorted(zip(found, rows.tolist(), strict=True))
            order[low:high] = [row for _, row in pairs]
        is_same, _ = _same_as_before(order, hashes, texts)
    return order, np.concatenate(([len(order) > 0], ~is_same))[: len(order)]


def numbered(hashes: Hashes, texts: pa.Array) -> tuple[Rows, int]:
    """A number from 0 for each text, the same for equal ones; and how many there are.

    >>> import pyarrow as pa
    >>> numbers, count = numbered(np.array([7, 1, 7], np.uint64), pa.array([b"a", b"b", b"a"]))
    >>> numbers.tolist(), count
    ([1, 0, 1], 2)
    """
    order, is_first = in_order(hashes, texts)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(is_first) - 1
    return numbers, int(np.count_nonzero(is_first))


def _same_as_before(order: Rows, hashes: Hashes, texts: pa.Array) -> tuple[Marks, Marks]:
    """Which texts but the first are, and which have the hash of, the one before them."""
    ordered = hashes[order]
    same_hash: Marks = ordered[1:] == ordered[:-1]
    is_same = same_hash.copy()
    if same_hash.any():
        before = texts.take(to_arrow(order[:-1][same_hash]))
        after = texts.take(to_arrow(order[1:][same_hash]))
        is_same[same_hash] = to_numpy(pc.equal(before, after))
    return is_same, same_hash
