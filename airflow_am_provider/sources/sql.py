"""Rows of any common-sql connection in column batches, never the whole result at once.

``hook.run(handler=…)`` and DataFrames hold everything. Here PostgreSQL is asked to copy and DuckDB
for its columns; other drivers are asked for a server-side cursor where they have one, and rows are
fetched a batch at a time.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources import duckdb_arrow, postgres_copy
from airflow_am_provider.sources.fetched_rows import fetched_columns
from airflow_am_provider.sources.hash_partition import PartitionRows, rows_of
from airflow_am_provider.sources.parameter_errors import fitting
from airflow_am_provider.sources.partition_query import partition_query
from airflow_am_provider.sources.query_window import MYSQL, SQLITE
from airflow_am_provider.sources.running_queries import can_be_cancelled, notice_lost_server
from airflow_am_provider.sources.session_zone import run_in_zone
from airflow_am_provider.sources.sql_errors import without_values

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.sources.database_hook import DbApiHook
    from airflow_am_provider.sources.partition_bounds import Bounds
    from airflow_am_provider.sources.query_window import QueryWindow

_logger = logging.getLogger(__name__)

# Those that something is done for.
_DRIVERS: Final = frozenset({*postgres_copy.DRIVERS, *MYSQL, *duckdb_arrow.PACKAGES, SQLITE})

#: Rows of a batch, at most.
ROWS_PER_FETCH = 10_000


def read_sql(
    hook: DbApiHook,
    sql: str,
    parameters: Mapping[str, Any] | Iterable[Any] | None = None,
    *,
    window: QueryWindow | None = None,
    rows_per_fetch: int = ROWS_PER_FETCH,
    parameter: str = "sql",
) -> Generator[pa.RecordBatch]:
    """Run a query and stream its rows.

    :param hook: a hook of any common-sql connection.
    :param sql: one SELECT.
    :param parameters: values for its placeholders, as the driver wants them.
    :param window: what more is bound, and the time zone that the session is put in; without it
        the session is left as it is.
    :param rows_per_fetch: rows of a batch, at most; fewer where they are large, so that the memory
        is bounded.
    :param parameter: what names the query, for messages.
    :raises ConfigurationError: when the statement gives no rows at all, such as an UPDATE; when
        parameters do not fit its placeholders; when the window cannot be compared rightly, or
        the database does not know its zone.
    :raises DataError: when the database stumbles over a value.
    :raises TransientError: for other errors of the database, and when there is no way to it; none
        of them quotes a row.
    """
    # Here, since that module alone knows Airflow.
    from airflow_am_provider.sources.database_hook import connect

    connection = connect(hook)
    with without_values(sql, parameter), closing(connection), can_be_cancelled(connection):
        driver = _driver(connection)
        if driver in postgres_copy.DRIVERS:
            notice_lost_server(connection)
        if window is not None:
            with fitting(sql, parameters, parameter):
                parameters = window.added_to(sql, parameters, driver)
            run_in_zone(connection, driver, window.zone)
        names = _copied_columns(connection, driver, sql, parameters, parameter)
        if names:
            try:
                yield from postgres_copy.copy_rows(
                    connection, driver, sql, parameters, names, parameter
                )
                return
            except postgres_copy.NoCopyError:
                pass
        if driver in duckdb_arrow.PACKAGES:
            batches = duckdb_arrow.read_arrow(
                connection, sql, parameters, rows_per_fetch, parameter
            )
            if batches is not None:
                yield from batches
                return
        yield from _fetch_all(connection, driver, sql, parameters, rows_per_fetch, parameter)


def read_partitions(
    hook: DbApiHook,
    sql: str,
    parameters: Mapping[str, Any] | Iterable[Any] | None,
    partitions: Sequence[Partition],
    expression: str | None,
    *,
    id_column: str,
    bounds: Bounds | None = None,
    window: QueryWindow | None = None,
) -> PartitionRows:
    """Run a query once for each of some partitions of its rows and stream them.

    Where the database cannot divide them, all rows are read, and divided then.

    :param partitions: which.
    :param expression: what they are told apart by; the ID's column when there is none.
    :param id_column: the column of the user ID.
    :param bounds: of ranges, where they are told apart by those.
    :param window: as for :func:`read_sql`.
    :raises ConfigurationError: when the query cannot be divided in the way it asks for.
    """
    queries = [
        partition_query(
            hook,
            sql,
            partition,
            expression,
            id_column=id_column,
            has_values=parameters is not None or bool(window and window.values),
            bounds=bounds,
        )
        for partition in partitions
    ]
    ways = "" if bounds is None else f", {bounds}"
    partitioning = f"{expression or id_column!r} in the database{ways}"
    if None in queries:
        partitioning = f"a hash of {id_column!r}"
        if len(queries) == partitions[0].count:
            # One after the other they are all rows.
            return PartitionRows(
                batches=read_sql(hook, sql, parameters, window=window), partitioning=partitioning
            )
        _logger.info("The database does not divide the rows: each partition reads all of them")

    def batches() -> Iterator[pa.RecordBatch]:
        for partition, query in zip(partitions, queries, strict=True):
            if query is None:
                rows = read_sql(hook, sql, parameters, window=window)
                yield from rows_of(partition, rows, id_column)
            else:
                yield from read_sql(hook, query, parameters, window=window)

    return PartitionRows(
        batches=batches(), partitioning=partitioning, is_by_user=not expression or None in queries
    )


def _copied_columns(
    connection: Any,
    driver: str,
    sql: str,
    parameters: Mapping[str, Any] | Iterable[Any] | None,
    parameter: str,
) -> list[str]:
    """The query's columns if they can be copied; looking runs nothing of the query."""
    if driver not in postgres_copy.DRIVERS or postgres_copy.keeps_bytes(connection, driver):
        return []
    with closing(_streaming_cursor(connection, driver)) as cursor:
        _execute(cursor, sql, parameters, parameter)
        if cursor.description is None:
            cursor.fetchmany(0)  # psycopg2 knows the columns after that; psycopg would take 0 for 1
        description = cursor.description or ()
    names = [str(column[0]) for column in description]
    return names if postgres_copy.can_copy(description) else []


def _execute(
    cursor: Any, sql: str, parameters: Mapping[str, Any] | Iterable[Any] | None, parameter: str
) -> None:
    with fitting(sql, parameters, parameter):
        if parameters is None:
            cursor.execute(sql)
        else:
            cursor.execute(sql, parameters)


def _fetch_all(
    connection: Any,
    driver: str,
    sql: str,
    parameters: Mapping[str, Any] | Iterable[Any] | None,
    rows_per_fetch: int,
    parameter: str,
) -> Iterator[pa.RecordBatch]:
    with closing(_streaming_cursor(connection, driver)) as cursor:
        _execute(cursor, sql, parameters, parameter)
        batches = fetched_columns(_fetch_of(cursor), rows_per_fetch)
        batch = next(batches, None)
        names = [str(column[0]) for column in cursor.description or ()]
        if not names:
            raise ConfigurationError(
                f"{parameter}: the statement gives no rows; one SELECT is expected"
            )
        while batch is not None:
            arrays = [_column(values) for values in batch]
            batch = None
            yield pa.RecordBatch.from_arrays(arrays, names=names)
            del arrays
            batch = next(batches, None)
        # Without rows, too, the columns are checked.
        yield pa.RecordBatch.from_arrays([pa.nulls(0) for _ in names], names=names)


def _fetch_of(cursor: Any) -> Callable[[int], Sequence[Sequence[Any]]]:
    """What fetches rows; a server-side cursor knows its columns only after that."""
    name = type(cursor).__module__.partition(".")[0]
    if cursor.description is None and name not in {"psycopg2", "psycopg"}:
        return lambda _: []
    fetch: Callable[[int], Sequence[Sequence[Any]]] = cursor.fetchmany
    return fetch


def _streaming_cursor(connection: Any, driver: str) -> Any:
    """A cursor that leaves the result on the server, where the driver can do that."""
    if driver in {"psycopg2", "psycopg"}:
        # A named cursor is server-side; an ordinary one fetches everything on execute.
        return connection.cursor(name=f"airflow_am_{uuid.uuid4().hex}")
    if driver == "MySQLdb":
        from MySQLdb.cursors import SSCursor

        return connection.cursor(SSCursor)
    if driver == "pymysql":
        from pymysql.cursors import SSCursor

        return connection.cursor(SSCursor)
    return connection.cursor()


def _driver(connection: Any) -> str:
    """The package that a DB-API connection comes from, looking through hooks' own wrappers."""
    for kind in type(connection).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in _DRIVERS:
            return package
    return ""


def _column(values: Sequence[Any]) -> pa.Array:
    """Values of one column as an Arrow array, without changing what they look like as text."""
    first = next((value for value in values if value is not None), None)
    if isinstance(first, Decimal | uuid.UUID):
        return _as_text(values)
    try:
        array = pa.array(values)
    except (
        pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError,
        UnicodeEncodeError,
    ):  # fmt: skip
        # Mixed types, integers beyond 64 bits, types of the database's own, halves of characters.
        return _as_text(values)
    if pa.types.is_decimal(array.type):
        # Arrow gives all numbers of a column the same scale, and so changes "1.5" to "1.50".
        return _as_text(values)
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        # Arrow takes the zone of the first value for all: the text would depend on the row before.
        return array.cast(pa.timestamp(array.type.unit, tz="UTC"))
    return array


def _as_text(values: Sequence[Any]) -> pa.Array:
    texts = [_text(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except (pa.ArrowInvalid, UnicodeEncodeError):
        # What is no UTF-8 stays so, and its row is set aside later.
        raw = [
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            for text in texts
        ]
        return pa.array(raw, pa.binary())


def _text(value: Any) -> str | bytes | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return format(value, "f")  # as databases print it, never 1E-7
    is_binary = isinstance(value, bytes | bytearray | memoryview)
    return bytes(value) if is_binary else str(value)
