"""Rows from CSV and Parquet files in object storage or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.formatting.file_kinds import READABLE
from airflow_am_provider.formatting.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook


def read_sources(
    hook: AudienceManagerHook,
    urls: Sequence[str],
    columns: Sequence[str],
    *,
    aws_conn_id: str | None = None,
    delimiter: str = ",",
) -> Iterator[pa.RecordBatch]:
    """Read files one after the other, only the columns that are needed.

    :param hook: opens the folders.
    :param urls: files, or folders ending in ``/`` whose files are read in the order of their
        names.
    :param columns: the columns that are needed.
    :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
    :param delimiter: what separates the fields of CSV files.
    :raises ConfigurationError: when a file, a column or the format is not there.
    :raises DataError: when a file is damaged.
    """
    for url in urls:
        parent, slash, name = url.rpartition("/")
        if not slash:
            raise ConfigurationError(
                f"source {url!r}: neither s3://bucket/key nor an absolute path"
            )
        folder = hook.open_folder(parent or "/", aws_conn_id=aws_conn_id)
        found = [name]
        if not name:
            found = [entry.path for entry in folder.list() if _is_table(entry.path)]
            if not found:
                raise ConfigurationError(
                    f"source {url!r}: no file in it that ends in {', '.join(READABLE)}"
                )
        for path in found:
            with folder.open_read(path) as file:
                yield from read_table(file, path, columns, delimiter=delimiter)


def _is_table(path: str) -> bool:
    hidden = path.rpartition("/")[2].startswith((".", "_"))
    return not hidden and path.lower().endswith(READABLE)
