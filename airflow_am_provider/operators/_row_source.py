"""What a format task reads its rows from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.partition import Partition
from airflow_am_provider.operators._asked_window import query_window
from airflow_am_provider.parameters import optional_whole_number
from airflow_am_provider.sources.partition_bounds import Bounds
from airflow_am_provider.sources.placeholders import asks_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from airflow_am_provider.operators._window import RunWindow
    from airflow_am_provider.sources.hash_partition import PartitionRows
    from airflow_am_provider.sources.source_files import FolderOpener


@dataclass(frozen=True, kw_only=True)
class RowSource:
    """A query or files: all rows of it, or those of one partition.

    Each field is the operators' parameter of the same name, as its template rendered it.

    :raises ConfigurationError: when neither a query nor files are named, or both; when there is no
        such partition.
    """

    sql: str | None = None
    conn_id: str | None = None
    parameters: Mapping[str, Any] | Iterable[Any] | None = None
    source: str | Sequence[str] | None = None
    source_conn_id: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    partitions: int | str | None = None
    partition: int | str | None = None
    partition_by: str | None = None
    partition_bounds: object = None

    @classmethod
    def of(cls, task: object, *, without: Collection[str] = ()) -> RowSource:
        """What a task's parameters say.

        :param task: an operator that has them as attributes.
        :param without: those that it does not have.
        :raises ConfigurationError: see above.
        """
        given = [field.name for field in fields(cls) if field.name not in without]
        return cls(**{name: getattr(task, name) for name in given})

    def __post_init__(self) -> None:
        if bool(self.sql) == bool(self.source):
            raise ConfigurationError(
                "sql, source: name one of the two, a query or a file to read rows from"
            )
        if self.source and self.bounds is not None:
            raise ConfigurationError(
                "partition_bounds: rows of files are not divided by ranges; leave it out, and "
                "those of Parquet files that are sorted by the user ID are divided by row groups"
            )
        _ = self.share

    @cached_property
    def bounds(self) -> Bounds | None:
        """The bounds of ranges, where the rows are divided by those."""
        return None if self.partition_bounds is None else Bounds(self.partition_bounds)

    @cached_property
    def count(self) -> int | None:
        """Into how many shares the rows are divided, if they are."""
        count = optional_whole_number("partitions", self.partitions)
        if self.bounds is None:
            return count
        return self.bounds.count if count is None else self.bounds.check(count)

    @cached_property
    def share(self) -> Partition | None:
        """The one partition that is read; None for all rows."""
        number = optional_whole_number("partition", self.partition)
        if self.count is None:
            if number is not None or self.partition_by:
                raise ConfigurationError("partitions: missing; partition says nothing without it")
            return None
        some = Partition(number=number or 0, count=self.count)
        return None if number is None else some

    def as_of(self, window: RunWindow) -> str:
        """What partitions that are read at different moments have in common, for the log."""
        if self.source:
            return "All of them read the same files: one that changes meanwhile is an error"
        asks = any(asks_for(self.sql or "", name) for name in ("window_end", "window_end_date"))
        if window.end is not None and asks:
            return f"All of them end with the window, at {window.end.isoformat()}"
        return (
            "Each reads the rows as they are at its own moment: sql asks for no window_end. Each "
            "row is in exactly one partition all the same"
        )

    def rows(self, hook: FolderOpener, columns: Sequence[str], window: RunWindow) -> PartitionRows:
        """Read the rows.

        :param hook: opens files.
        :param columns: the columns that are needed, that of the user ID first.
        :param window: of the run, for the placeholders of a query.
        :raises ConfigurationError: when the source cannot be read or divided.
        """
        # Arrow is heavy: it is loaded by the worker, never by the parser.
        if self.sql:
            return self._rows_of_query(self.sql, columns[0], window)
        from airflow_am_provider.sources.file_partition import file_partition
        from airflow_am_provider.sources.files import read_sources
        from airflow_am_provider.sources.hash_partition import PartitionRows

        urls = [self.source] if isinstance(self.source, str) else list(self.source or ())
        form: dict[str, Any] = {
            "aws_conn_id": self.source_conn_id,
            "delimiter": self.delimiter,
            "encoding": self.encoding,
        }
        if self.share is None:
            return PartitionRows(batches=read_sources(hook, urls, columns, **form), partitioning="")
        return file_partition(hook, urls, columns, self.share, self.partition_by, **form)

    def _rows_of_query(self, sql: str, id_column: str, window: RunWindow) -> PartitionRows:
        from airflow_am_provider.sources.database_hook import database_hook
        from airflow_am_provider.sources.hash_partition import PartitionRows
        from airflow_am_provider.sources.partition_query import IN_PARTITION
        from airflow_am_provider.sources.sql import read_partitions, read_sql

        if not self.conn_id:
            raise ConfigurationError("conn_id: missing; name the connection that sql runs on")
        database = database_hook(self.conn_id, asked_by="conn_id")
        asked = query_window(sql, self.parameters, window)
        if self.count is None:
            if asks_for(sql, IN_PARTITION):
                raise ConfigurationError(f"partitions: missing, and sql asks for {IN_PARTITION}")
            rows = read_sql(database, sql, self.parameters, window=asked)
            return PartitionRows(batches=rows, partitioning="")
        every = (Partition(number=number, count=self.count) for number in range(self.count))
        return read_partitions(
            database,
            sql,
            self.parameters,
            list(every) if self.share is None else [self.share],
            self.partition_by,
            id_column=id_column,
            bounds=self.bounds,
            window=asked,
        )
