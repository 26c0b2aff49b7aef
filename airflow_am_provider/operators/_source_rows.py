"""Where a format task's rows come from: a query or files, all of them or a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.operators._asked_window import query_window
from airflow_am_provider.sources.placeholders import asks_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.operators._window import Window
    from airflow_am_provider.sources.hash_partition import PartitionRows
    from airflow_am_provider.sources.partition_bounds import Bounds


class SourceParameters(Protocol):
    """Parameters of a task that say where its rows come from."""

    sql: str | None
    conn_id: str | None
    parameters: Mapping[str, Any] | Iterable[Any] | None
    source: str | Sequence[str] | None
    source_conn_id: str | None
    delimiter: str
    encoding: str
    partition_by: str | None


def source_rows(
    task: SourceParameters,
    hook: AudienceManagerHook,
    columns: Sequence[str],
    window: Window,
    count: int | None,
    partition: Partition | None,
    bounds: Bounds | None = None,
) -> PartitionRows:
    """The rows that a task is to format.

    :param task: its parameters say where they come from.
    :param hook: opens files.
    :param columns: the columns that are needed, that of the user ID first.
    :param window: of the run.
    :param count: into how many partitions the rows are divided, or None.
    :param partition: which of them, or None for all.
    :param bounds: of ranges, where rows are divided by those.
    :raises ConfigurationError: when the source is missing or there twice, or cannot be divided.
    """
    # Arrow is heavy: it is loaded by the worker, never by the parser.
    from airflow_am_provider.sources.file_partition import file_partition
    from airflow_am_provider.sources.files import read_sources
    from airflow_am_provider.sources.hash_partition import PartitionRows

    if bool(task.sql) == bool(task.source):
        raise ConfigurationError(
            "sql, source: name one of the two, a query or a file to read rows from"
        )
    if task.sql:
        return _rows_of_query(task, task.sql, columns[0], window, count, partition, bounds)
    if bounds is not None:
        raise ConfigurationError(
            "partition_bounds: rows of files are not divided by ranges; leave it out, and those of "
            "Parquet files that are sorted by the user ID are divided by row groups"
        )
    urls = [task.source] if isinstance(task.source, str) else list(task.source or ())
    if partition is None:
        batches = read_sources(
            hook,
            urls,
            columns,
            aws_conn_id=task.source_conn_id,
            delimiter=task.delimiter,
            encoding=task.encoding,
        )
        return PartitionRows(batches=batches, partitioning="")
    return file_partition(
        hook,
        urls,
        columns,
        partition,
        task.partition_by,
        aws_conn_id=task.source_conn_id,
        delimiter=task.delimiter,
        encoding=task.encoding,
    )


def _rows_of_query(
    task: SourceParameters,
    sql: str,
    id_column: str,
    window: Window,
    count: int | None,
    partition: Partition | None,
    bounds: Bounds | None,
) -> PartitionRows:
    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.sources.database_hook import database_hook
    from airflow_am_provider.sources.hash_partition import PartitionRows
    from airflow_am_provider.sources.partition_query import IN_PARTITION
    from airflow_am_provider.sources.sql import read_partitions, read_sql

    if not task.conn_id:
        raise ConfigurationError("conn_id: missing; name the connection that sql runs on")
    hook = database_hook(task.conn_id, asked_by="conn_id")
    parameters, asked = task.parameters, query_window(sql, task.parameters, window)
    if count is None:
        if asks_for(sql, IN_PARTITION):
            raise ConfigurationError(f"partitions: missing, and sql asks for {IN_PARTITION}")
        rows = read_sql(hook, sql, parameters, window=asked)
        return PartitionRows(batches=rows, partitioning="")
    partitions = [Partition(number=number, count=count) for number in range(count)]
    return read_partitions(
        hook,
        sql,
        parameters,
        partitions if partition is None else [partition],
        task.partition_by,
        id_column=id_column,
        bounds=bounds,
        window=asked,
    )
