"""PostgreSQL's fastest way out: COPY, read as columns without a Python object for any value.

Only for queries whose columns all have types that COPY prints as the driver's values print; for
others the cursor in :mod:`airflow_am_provider.sources.sql` is there.
"""

from __future__ import annotations

import select
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.csv as pa_csv

from airflow_am_provider.sources.driver_blocks import BLOCK_BYTES, check_size, written_blocks
from airflow_am_provider.sources.placeholders import without_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Parameters: TypeAlias = Mapping[str, Any] | Iterable[Any] | None

#: Drivers whose connections can copy.
DRIVERS: Final = frozenset({"psycopg", "psycopg2"})
# name, int8, int2, int4, text, bpchar, varchar, numeric, uuid
_TYPES: Final = frozenset({19, 20, 21, 23, 25, 1042, 1043, 1700, 2950})
_MARK: Final = b"\xef\xbb\xbf"
# For this transaction: UTF-8 whatever the database is kept in; and the same rows in the same order
# each time, which workers in parallel and scans that join others on their way do not keep.
_SETTINGS: Final = (
    "SET LOCAL client_encoding TO 'UTF8'; SET LOCAL max_parallel_workers_per_gather TO 0; "
    "SET LOCAL synchronize_seqscans TO off"
)
# For libpq, which asks for as many bytes at a time as its longest answer so far had, and at first
# for 16 KB, with a wait after each.
_LONG_ANSWER: Final = "SELECT repeat(' ', 1048576)"
_LOOK_S: Final = 0.1
_SAVE: Final = "SAVEPOINT airflow_am_copy"
_ROLL_BACK: Final = "ROLLBACK TO SAVEPOINT airflow_am_copy"
_COPY_OUT: Final = 3  # libpq's PGRES_COPY_OUT
_COMMAND_OK: Final = 1  # libpq's PGRES_COMMAND_OK


class NoCopyError(Exception):
    """The server does not copy this query; nothing was read."""


def can_copy(description: Sequence[Any]) -> bool:
    """Whether all columns read the same by COPY.

    :param description: a cursor's, with PostgreSQL's type numbers.
    """
    return all(column[1] in _TYPES for column in description)


def copy_rows(
    connection: Any,
    driver: str,
    sql: str,
    parameters: Parameters,
    names: Sequence[str],
    parameter: str = "sql",
) -> Iterator[pa.RecordBatch]:
    """Run a query by COPY and stream its rows, all columns as bytes.

    :param connection: of psycopg or psycopg2.
    :param driver: which of them.
    :param sql: one SELECT.
    :param parameters: values for its placeholders.
    :param names: its columns; at least one.
    :param parameter: what names the query, for messages.
    :return: batches; one without rows when there are none, so that its columns can be checked.
    :raises NoCopyError: before the first row, when the server does not take the query this way;
        the transaction is as it was before.
    """
    statement = (
        _bound_by_psycopg(connection, sql, parameters)
        if driver == "psycopg"
        else _bound_by_psycopg2(connection, sql, parameters)
    )
    blocks_by = _blocks_by_psycopg if driver == "psycopg" else _blocks_by_psycopg2
    is_empty = True
    _execute(connection, _SAVE)
    try:
        for block in blocks_by(connection, without_end(statement) + "\n", parameter):
            yield _parsed(block, names)
            is_empty = False
    except NoCopyError:
        _execute(connection, _ROLL_BACK)
        raise
    if is_empty:
        yield pa.RecordBatch.from_arrays([pa.nulls(0) for _ in names], names=list(names))


def keeps_bytes(connection: Any, driver: str) -> bool:
    """Whether the server knows what its texts are encoded in; else it hands out what it has."""
    info = connection.info if driver == "psycopg" else connection
    name = "server_encoding"
    status = info.parameter_status(name) if driver == "psycopg" else info.get_parameter_status(name)
    return bool(status == "SQL_ASCII")


def _execute(connection: Any, statement: str) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement)


def _parsed(block: bytearray, names: Sequence[str]) -> pa.RecordBatch:
    """Rows in PostgreSQL's CSV: no value is an empty field, an empty text a quoted one."""
    if block.startswith(_MARK):
        # It begins the first value, and Arrow would take it for the file's.
        block[:0] = _MARK
    numbers = [str(number) for number in range(len(names))]  # names may be there twice
    table = pa_csv.read_csv(
        pa.py_buffer(block),
        read_options=pa_csv.ReadOptions(
            column_names=numbers, block_size=len(block) + 1, use_threads=False
        ),
        # A row whose only column has no value is an empty line.
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,
            column_types={number: pa.binary() for number in numbers},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    (batch,) = table.combine_chunks().to_batches()
    return pa.RecordBatch.from_arrays(batch.columns, names=list(names))


def _bound_by_psycopg(connection: Any, sql: str, parameters: Parameters) -> str:
    """A query with its values in it."""
    if parameters is None:
        return sql
    import psycopg

    values = parameters if isinstance(parameters, Mapping) else list(parameters)
    return psycopg.ClientCursor(connection).mogrify(sql, values)


def _bound_by_psycopg2(connection: Any, sql: str, parameters: Parameters) -> str:
    if parameters is None:
        return sql
    import psycopg2

    with closing(connection.cursor()) as cursor:
        bound: bytes = cursor.mogrify(sql, parameters)
    return bound.decode(psycopg2.extensions.encodings[connection.encoding])


def _copy(query: str) -> bytes:
    return b"COPY (%s) TO STDOUT (FORMAT csv)" % query.encode()


def _blocks_by_psycopg(connection: Any, query: str, parameter: str) -> Iterator[bytearray]:
    """By libpq's own functions: psycopg's iterator over a copy takes twice as long."""
    import psycopg

    try:
        connection.execute(f"{_SETTINGS}; {_LONG_ANSWER}")
    except psycopg.DatabaseError:
        raise NoCopyError from None
    server = connection.pgconn
    result = server.exec_(_copy(query))
    if result.status != _COPY_OUT:
        error = psycopg.errors.error_from_result(result)
        # Others, such as a query that was cancelled, would be the same by the cursor.
        if isinstance(error, psycopg.ProgrammingError | psycopg.NotSupportedError):
            raise NoCopyError
        raise error
    block = bytearray()
    while True:
        size, row = server.get_copy_data(1)
        if size > 0:
            check_size(row, parameter)
            block += row
            if len(block) >= BLOCK_BYTES:
                yield block
                block = bytearray()
        elif size == 0:
            # Not for longer: what came encrypted may be waiting above the socket already.
            select.select([server.socket], [], [], _LOOK_S)
            server.consume_input()
        else:
            break
    while (result := server.get_result()) is not None:
        if result.status != _COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
    if block:
        yield block


def _blocks_by_psycopg2(connection: Any, query: str, parameter: str) -> Iterator[bytearray]:
    """The same for psycopg2, which does not hand out rows but wants a file to write them to."""
    import psycopg2

    cursor = connection.cursor()
    try:
        cursor.execute(f"{_SETTINGS}; {_LONG_ANSWER}")
    except psycopg2.DatabaseError:
        raise NoCopyError from None
    is_first = True
    work = partial(cursor.copy_expert, _copy(query))
    with written_blocks(work, connection, parameter) as blocks:
        try:
            for block in blocks:
                is_first = False
                yield block
        except (psycopg2.ProgrammingError, psycopg2.NotSupportedError):
            if is_first:
                raise NoCopyError from None
            raise
