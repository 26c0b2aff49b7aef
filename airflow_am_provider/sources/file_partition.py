"""One partition of the rows of files: of all their row groups, of all files, or of all rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.deliveries.shares import evenly
from airflow_am_provider.sources.encodings import UTF_8
from airflow_am_provider.sources.file_kinds import PARQUET
from airflow_am_provider.sources.hash_partition import PartitionRows, rows_of
from airflow_am_provider.sources.row_groups import divided, row_groups_of
from airflow_am_provider.sources.source_files import Sources, version_of
from airflow_am_provider.sources.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.sources.row_groups import RowGroup
    from airflow_am_provider.sources.source_files import FolderOpener, SourceFile

_logger = logging.getLogger(__name__)

#: What ``partition_by`` may say of files.
FILES: Final = "files"


def file_partition(
    hook: FolderOpener,
    urls: Sequence[str],
    columns: Sequence[str],
    partition: Partition,
    by: str | None,
    *,
    aws_conn_id: str | None = None,
    delimiter: str = ",",
    encoding: str = UTF_8,
) -> PartitionRows:
    """The rows of one partition; all rows of a user are in the same one.

    :param hook: opens the folders.
    :param urls: files, folders, or patterns with ``*`` and ``?`` in the last name.
    :param columns: the columns that are needed, that of the user ID first.
    :param partition: which one.
    :param by: ``files`` when each user's rows are in one file; None to find out what can be left
        unread.
    :param aws_conn_id: AWS connection for ``s3://``; that of the staging location by default.
    :param delimiter: what separates the fields of CSV files.
    :param encoding: what the text of CSV files is encoded in.
    :raises ConfigurationError: when ``by`` is something else, or a file is not there.
    :raises TransientError: from the rows, when a file was written anew meanwhile.
    """
    if by not in (None, "", FILES):
        raise ConfigurationError(
            f"partition_by: {by!r}, but rows of files are divided by their user ID. With "
            f"'{FILES}', each file is in one partition as a whole, when each user's rows are in "
            f"one file"
        )

    sources = Sources(hook, urls, aws_conn_id=aws_conn_id)
    files = sources.files()
    version = version_of(files)
    shares = None if by else _by_row_groups(files, columns[0], partition.count)

    def batches() -> Iterator[pa.RecordBatch]:
        if by:
            chosen = evenly([file.size for file in files], partition.count)
            mine = [file for file, share in zip(files, chosen, strict=True)
                    if share == partition.number]  # fmt: skip
            yield from _read(mine, columns, delimiter, encoding)
        elif shares is not None:
            yield from _read_groups(files, columns, shares[partition.number])
        else:
            rows = _read(files, columns, delimiter, encoding)
            yield from rows_of(partition, rows, columns[0])
        if version_of(sources.files()) != version:
            raise TransientError(
                "source: a file was changed, added or deleted while this partition was read. All "
                "partitions have to be formatted from the same files: clear the mapped task"
            )

    way = "whole files" if by else "row groups" if shares else f"a hash of {columns[0]!r}"
    _logger.info(
        "The files are divided by %s%s",
        way,
        "" if by or shares else ": each partition reads all of them",
    )
    return PartitionRows(
        batches=batches(), partitioning=f"{way}, source version {version}", is_by_user=not by
    )


def _by_row_groups(
    files: Sequence[SourceFile], id_column: str, count: int
) -> list[list[RowGroup]] | None:
    """The row groups of each partition; None when that cannot be told."""
    if not all(file.path.lower().endswith(PARQUET) for file in files):
        return None
    groups: list[RowGroup] = []
    for number, file in enumerate(files):
        with file.open() as opened:
            more = row_groups_of(opened, number, id_column)
        if more is None:
            return None
        groups += more
    return divided(groups, count)


def _read(
    files: Sequence[SourceFile], columns: Sequence[str], delimiter: str, encoding: str
) -> Iterator[pa.RecordBatch]:
    for file in files:
        with file.open() as opened:
            yield from read_table(
                opened, file.path, columns, delimiter=delimiter, encoding=encoding
            )


def _read_groups(
    files: Sequence[SourceFile], columns: Sequence[str], groups: Sequence[RowGroup]
) -> Iterator[pa.RecordBatch]:
    for number, file in enumerate(files):
        mine = [group.number for group in groups if group.file == number]
        if mine:
            with file.open() as opened:
                yield from read_table(opened, file.path, columns, row_groups=mine)
