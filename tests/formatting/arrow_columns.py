"""The same values as Arrow columns of every layout that a source may hand out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

Value = bytes | None

# What lies behind nulls must never be looked at, let alone sent.
GARBAGE = b'leaked\t\n\xff"=,jane@example.com'


def plain(values: Sequence[Value], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, pa.binary()).cast(kind or pa.binary(), safe=False)


def with_garbage(values: Sequence[Value]) -> pa.Array:
    """A column with bytes behind its nulls, as filtering and Parquet readers leave them."""
    texts = [GARBAGE if value is None else value for value in values]
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    filled = np.array([value is not None for value in values], bool)
    valid = np.packbits(filled, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.binary(), len(texts), buffers)


def sliced(values: Sequence[Value]) -> pa.Array:
    around = [GARBAGE, None, b"\xc3"]
    return plain([*around, *values, *around]).slice(len(around), len(values))


def dictionary(values: Sequence[Value]) -> pa.Array:
    return plain(values).dictionary_encode()


def dictionary_with_null(values: Sequence[Value]) -> pa.Array:
    """Nulls that stand in the dictionary, not in the indices."""
    distinct = list(dict.fromkeys([None, *values]))
    return pa.DictionaryArray.from_arrays(
        pa.array([distinct.index(value) for value in values], pa.int32()), plain(distinct)
    )


LAYOUTS: tuple[Callable[[Sequence[Value]], pa.Array], ...] = (
    plain,
    with_garbage,
    sliced,
    dictionary,
    dictionary_with_null,
    lambda values: plain(values, pa.string()),
    lambda values: plain(values, pa.large_string()),
    lambda values: plain(values, pa.large_binary()),
    lambda values: plain(values, pa.string_view()),
    lambda values: plain(values, pa.binary_view()),
)


def column(values: Sequence[Value], random: Random) -> pa.Array:
    """The values in one of the layouts."""
    return random.choice(LAYOUTS)(values)


def list_column(rows: Sequence[Sequence[Value] | None], random: Random) -> pa.Array:
    """Lists of values; behind null lists there are values, too."""
    filled = [
        [GARBAGE, b"7"] if row is None and random.random() < 0.5 else row or () for row in rows
    ]
    offsets = np.cumsum([0, *map(len, filled)])
    values = column([value for row in filled for value in row], random)
    mask = pa.array([row is None for row in rows], pa.bool_())
    if random.random() < 0.5 or not len(values):
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, mask=mask)
    array = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=mask)
    around = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), values.slice(0, 1))
    return pa.concat_arrays([around, array, around]).slice(1, len(rows))
