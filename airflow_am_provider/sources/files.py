"""Rows from CSV and Parquet files in object storage or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.sources.encodings import UTF_8
from airflow_am_provider.sources.source_files import Sources
from airflow_am_provider.sources.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pyarrow as pa

    from airflow_am_provider.sources.source_files import FolderOpener


def read_sources(
    hook: FolderOpener,
    urls: Sequence[str],
    columns: Sequence[str] | None,
    *,
    aws_conn_id: str | None = None,
    asked_by: str = "source_conn_id",
    delimiter: str = ",",
    encoding: str = UTF_8,
) -> Generator[pa.RecordBatch]:
    """Read files one after the other, only the columns that are needed.

    :param hook: opens the folders.
    :param urls: files, folders, whose files are read in the order of their names, or patterns with
        ``*`` and ``?`` in the last name.
    :param columns: the columns that are needed; None for the only one there is.
    :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
    :param asked_by: the parameter that names it, for messages.
    :param delimiter: what separates the fields of CSV files.
    :param encoding: what the text of CSV files is encoded in.
    :raises ConfigurationError: when a file, a column or the format is not there.
    :raises DataError: when a file is damaged.
    """
    for file in Sources(hook, urls, aws_conn_id=aws_conn_id, asked_by=asked_by).files():
        with file.open() as opened:
            yield from read_table(
                opened, file.path, columns, delimiter=delimiter, encoding=encoding
            )
