"""Values far longer than any line: something else stands in for them, before anybody copies them.

A line has 102,400 bytes at most (inbound-file-contents.md). A row with a longer value is set aside
by the rules as they are; but a value of many megabytes takes ten times its size on the way there.
So digits take its place, too many of them for a line: that row breaks a rule in any case, whatever
the column holds. They are no ID of a device, no address that could be hashed, and no trait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.formatting.columns.arrow import texts_array, to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import is_list, is_text
from airflow_am_provider.formatting.columns.lookups import index_numbers

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows

#: Longer values are not looked at, in bytes. More than a line: blanks and braces count as well.
LONGEST_VALUE: Final = 1 << 18
_BYTES_OF_AN_ITEM: Final = 4
STAND_IN: Final = b"9" * (limits.MAX_LINE_BYTES + 1)


def row_sizes(column: pa.Array) -> Rows:
    """About how many bytes each row takes, once dictionaries are looked up.

    >>> row_sizes(pa.array(["a", None, "abc"])).tolist()
    [1, 0, 3]
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        sizes = np.append(row_sizes(column.dictionary), 0)
        places = index_numbers(column.indices)
        if column.indices.null_count:
            places = np.where(to_numpy(column.indices.is_valid()), places, len(sizes) - 1)
        return sizes[places]
    if is_text(kind) and not pa.types.is_fixed_size_binary(kind):
        sizes = np.diff(_offsets(column))
    elif is_list(column) and not pa.types.is_fixed_size_list(kind):
        ends = np.concatenate(([0], np.cumsum(row_sizes(column.values) + _BYTES_OF_AN_ITEM)))
        sizes = np.diff(ends[_offsets(column)])
    else:
        return np.full(len(column), column.nbytes // max(1, len(column)), np.int64)
    if column.null_count:
        sizes[to_numpy(column.is_null())] = 0
    return sizes


def _offsets(column: pa.Array) -> Rows:
    kind = column.type
    is_large = (
        pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_large_list(kind)
    )
    places = column.buffers()[1]
    if places is None or not len(column):
        return np.zeros(len(column) + 1, np.int64)
    found = np.frombuffer(places, np.int64 if is_large else np.int32)
    return found[column.offset : column.offset + len(column) + 1].astype(np.int64)


def can_be_shortened(column: pa.Array) -> bool:
    """Whether something can stand in for a value of a column: for texts and lists of texts."""
    kind = column.type.value_type if is_list(column) else column.type
    return is_text(kind) and not pa.types.is_fixed_size_binary(kind)


def shortened(column: pa.Array, sizes: Rows) -> pa.Array:
    """The column with something else for what is too long, where that can be.

    :param sizes: what :func:`row_sizes` says.

    >>> texts = pa.array(["a", "b" * 2_000_000])
    >>> short, long = shortened(texts, row_sizes(texts))
    >>> short.as_py(), len(long.as_py())
    ('a', 102401)
    """
    is_long = sizes > LONGEST_VALUE
    if not is_long.any() or not can_be_shortened(column):
        return column
    stand_in = texts_array([STAND_IN])
    if is_list(column):
        stand_in = pa.ListArray.from_arrays(to_arrow(np.array([0, 1], np.int32)), stand_in)
    return _replaced(column, is_long, stand_in.cast(column.type))


def _replaced(column: pa.Array, rows: Marks, stand_in: pa.Array) -> pa.Array:
    """Put together of the pieces between some rows, so that nothing of these is copied."""
    pieces: list[pa.Array] = []
    start = 0
    for row in np.flatnonzero(rows).tolist():
        pieces += [column.slice(start, row - start), stand_in]
        start = row + 1
    return pa.concat_arrays([*pieces, column.slice(start)])
