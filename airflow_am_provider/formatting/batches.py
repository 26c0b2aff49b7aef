"""Batches of a bounded size, whatever the source hands out.

Memory depends on the size of a batch, and Arrow's ``binary`` arrays hold less than 2 GB. So
what a source gives in one piece, such as a whole table or rows with very long texts, is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.formatting.columns.byte_columns import is_list
from airflow_am_provider.formatting.columns.long_values import (
    LONGEST_VALUE,
    STAND_IN,
    can_be_shortened,
    row_sizes,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from airflow_am_provider.formatting.columns.byte_columns import Rows

#: 32 Ki rows of some 100 bytes: small enough for flat memory, large enough that the work per
#: batch does not show.
MAX_ROWS: Final = 1 << 15
#: Formatting may take ten times as much for moments.
MAX_BYTES: Final = 16 << 20
_MOST_BYTES_OF_A_ROW: Final = 32 << 20


def bounded(
    batches: Iterable[pa.RecordBatch],
    columns: Sequence[str] | None,
    *,
    whole_values: bool = False,
) -> Generator[pa.RecordBatch]:
    """Cut batches that are too large; the rows stay in their order.

    :param batches: what the source gives; closed at the end where it can be, as a generator.
    :param columns: the columns whose size counts; None for all.
    :param whole_values: whether values that are too long for a line stay as they are. Otherwise
        something stands in for those that are much too long.
    :raises DataError: for a row that is too large by itself.
    """
    rows_before = 0
    try:
        for batch in batches:
            whole = _prepared(batch, whole_values=whole_values)
            # A batch without rows goes on, too: its columns are checked.
            for start in range(0, max(1, whole.num_rows), MAX_ROWS):
                piece = whole.slice(start, MAX_ROWS)
                for some, sizes in _cut(piece, columns, rows_before + start, whole_values):
                    yield _ready(some, sizes, whole_values)
            rows_before += whole.num_rows
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def _cut(
    batch: pa.RecordBatch, columns: Sequence[str] | None, rows_before: int, whole_values: bool
) -> Iterator[tuple[pa.RecordBatch, dict[int, Rows]]]:
    """Pieces of a batch, with the sizes of their values by the places of the columns."""
    sizes: dict[int, Rows] = {}
    totals = np.zeros(batch.num_rows, np.int64)
    for place, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        if columns is None or name in columns:
            sizes[place] = size = row_sizes(column)
            if not whole_values and can_be_shortened(column):
                size = np.where(size > LONGEST_VALUE, len(STAND_IN), size)
            totals += size
    ends = np.cumsum(totals)
    start = 0
    while start < max(1, batch.num_rows):
        before = int(ends[start - 1]) if start else 0
        end = int(np.searchsorted(ends, before + MAX_BYTES, side="right"))
        if end == start < batch.num_rows:
            if totals[start] > _MOST_BYTES_OF_A_ROW:
                raise _too_large(batch, sizes, start, rows_before + start + 1)
            end += 1
        of_these = {place: size[start:end] for place, size in sizes.items()}
        yield batch.slice(start, end - start), of_these
        start = max(end, 1)


def _ready(batch: pa.RecordBatch, sizes: dict[int, Rows], whole_values: bool) -> pa.RecordBatch:
    columns = batch.columns
    for place, size in sizes.items():
        if not whole_values:
            columns[place] = shortened(columns[place], size)
        if _has_large_dictionary(columns[place]):
            columns[place] = columns[place].dictionary_decode()
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _too_large(batch: pa.RecordBatch, sizes: dict[int, Rows], row: int, number: int) -> DataError:
    place = max(sizes, key=lambda place: int(sizes[place][row]))
    size = int(sizes[place][row])
    return DataError(
        f"row {number:,}, column {batch.schema.names[place]!r}: {size:,} bytes; a row of "
        f"{_MOST_BYTES_OF_A_ROW:,} at most is read, and a line has {limits.MAX_LINE_BYTES:,} at "
        f"most (inbound-file-contents.md). Leave this row out in the source"
    )


def _has_large_dictionary(column: pa.Array) -> bool:
    return bool(pa.types.is_dictionary(column.type) and column.dictionary.nbytes > MAX_BYTES)


def _prepared(batch: pa.RecordBatch, *, whole_values: bool) -> pa.RecordBatch:
    columns = [_put_together(column) for column in batch.columns]
    if not whole_values:
        columns = [_with_short_values(column) for column in columns]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _put_together(column: pa.Array) -> pa.Array:
    """Texts that lie scattered put together: a slice of them would keep its whole size."""
    if _is_view(column.type):
        return column.cast(pa.large_binary())
    if is_list(column) and _is_view(column.type.value_type):
        return column.cast(pa.large_list(pa.large_binary()))
    return column


def _with_short_values(column: pa.Array) -> pa.Array:
    """A dictionary with something else for values that are too long; each of its slices has all."""
    if not pa.types.is_dictionary(column.type):
        return column
    values = column.dictionary
    short = shortened(values, row_sizes(values))
    return column if short is values else pa.DictionaryArray.from_arrays(column.indices, short)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))
