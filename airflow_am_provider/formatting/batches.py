"""Batches of a bounded size, whatever the source hands out.

Memory depends on the size of a batch, and Arrow's ``binary`` arrays hold less than 2 GB. So
what a source gives in one piece, such as a whole table or rows with very long texts, is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns import is_list, is_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

#: 32 Ki rows of some 100 bytes: small enough for flat memory, large enough that the work per
#: batch does not show.
MAX_ROWS: Final = 1 << 15
#: Formatting may take ten times as much for moments.
MAX_BYTES: Final = 16 << 20


def bounded(batches: Iterable[pa.RecordBatch], columns: Sequence[str]) -> Generator[pa.RecordBatch]:
    """Cut batches that are too large; the rows stay in their order.

    :param batches: what the source gives; closed at the end where it can be, as a generator.
    :param columns: the columns whose size counts.
    """
    try:
        for batch in batches:
            whole = _without_views(batch)
            # A batch without rows goes on, too: its columns are checked.
            for start in range(0, max(1, whole.num_rows), MAX_ROWS):
                yield from _halved(whole.slice(start, MAX_ROWS), columns)
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def _halved(batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    half = batch.num_rows // 2
    if half == 0 or _size(batch, columns) <= MAX_BYTES:
        yield batch
        return
    yield from _halved(batch.slice(0, half), columns)
    yield from _halved(batch.slice(half), columns)


def _size(batch: pa.RecordBatch, columns: Sequence[str]) -> int:
    return sum(
        _column_size(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if name in columns
    )


def _column_size(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type) or not is_text(column.type.value_type):
        return int(column.nbytes)
    # Each row may be the longest value, as soon as the values are looked up.
    longest = pc.max(pc.binary_length(column.dictionary.cast(pa.large_binary())))
    return len(column) * int(longest.as_py() or 0)


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Texts that lie scattered put together: a slice of them would keep its whole size."""
    columns = [_put_together(column) for column in batch.columns]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _put_together(column: pa.Array) -> pa.Array:
    if _is_view(column.type):
        return column.cast(pa.large_binary())
    if is_list(column) and _is_view(column.type.value_type):
        return column.cast(pa.large_list(pa.large_binary()))
    return column


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))
