"""DuckDB hands out columns as they lie in it: no Python object is made for any value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.parameter_errors import fitting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: The packages that DuckDB's connections come from, by its version.
PACKAGES: Final = frozenset({"_duckdb", "duckdb"})
# What its method is called, by its version.
_READERS: Final = ("to_arrow_reader", "fetch_arrow_reader")
# DuckDB works on so many rows at once anyway. They are put together up to so many bytes.
_ROWS_AT_ONCE: Final = 2048
_MOST_BYTES: Final = 4 << 20


def read_arrow(
    connection: Any,
    sql: str,
    parameters: Mapping[str, Any] | Iterable[Any] | None,
    rows: int,
    parameter: str = "sql",
) -> Iterator[pa.RecordBatch] | None:
    """Run a query and stream its columns; None, and nothing was run, where rows must be fetched.

    :param connection: DuckDB's.
    :param sql: one SELECT.
    :param parameters: values for its placeholders.
    :param rows: how many at a time.
    :param parameter: what names the query, for messages.
    :raises ConfigurationError: when the statement gives no rows at all; when parameters do not fit
        its placeholders.
    """
    with fitting(sql, parameters, parameter):
        relation = connection.sql(sql, params=parameters)
    if relation is None:
        raise ConfigurationError(
            f"{parameter}: the statement gives no rows; one SELECT is expected"
        )
    read = next((getattr(relation, name) for name in _READERS if hasattr(relation, name)), None)
    if read is None:
        return None
    reader: pa.RecordBatchReader = read(min(rows, _ROWS_AT_ONCE))
    if not all(_reads_the_same(field.type) for field in reader.schema):
        reader.close()
        return None
    return _batches(reader, rows)


def _batches(reader: pa.RecordBatchReader, rows: int) -> Iterator[pa.RecordBatch]:
    with reader:
        # Without rows, too, the columns are checked.
        yield pa.RecordBatch.from_arrays(
            [pa.nulls(0, field.type) for field in reader.schema], names=reader.schema.names
        )
        held: list[pa.RecordBatch] = []
        for batch in reader:
            held.append(batch)
            is_full = sum(one.num_rows for one in held) > rows - _ROWS_AT_ONCE
            if is_full or sum(one.nbytes for one in held) >= _MOST_BYTES:
                yield _as_one(held)
                held = []
        if held:
            yield _as_one(held)


def _as_one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    (whole,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return whole


def _reads_the_same(kind: pa.DataType) -> bool:
    """Whether a value's text is that of the Python object which the driver would make of it.

    Decimals, times with a zone, UUIDs and bit strings are not among them.
    """
    if pa.types.is_list(kind):
        return _reads_the_same(kind.value_type) and not pa.types.is_list(kind.value_type)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_date32(kind)
    )
