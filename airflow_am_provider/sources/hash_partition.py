"""One of several shares of a source's rows, so that many workers can format them.

Shares are told by the user ID: all rows of a user are in one share, so that rules about all rows
of a user hold, and no row is in two shares or in none, whenever each share is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_am_provider.formatting.batches import bounded
from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    as_bytes,
    column_of,
    without_nulls,
)
from airflow_am_provider.formatting.columns.row_hash import hash_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import pyarrow as pa

    from airflow_am_provider.deliveries.partition import Partition


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionRows:
    """The rows of a partition, and how they were told from those of the others.

    :param batches: the rows.
    :param partitioning: by what they were told, in words that are the same for all partitions.
    :param is_by_user: whether that follows from the user ID, so that no user is in two partitions;
        otherwise somebody has said that it is so.
    """

    batches: Iterable[pa.RecordBatch]
    partitioning: str
    is_by_user: bool = True


def rows_of(
    partition: Partition, batches: Iterable[pa.RecordBatch], id_column: str
) -> Generator[pa.RecordBatch]:
    """The rows of a partition, by a hash of the user ID; those without an ID are in the first.

    :param batches: all rows; closed at the end where it can be, as a generator.
    :param id_column: the column of the user ID.
    """
    try:
        for batch in bounded(batches, [id_column], whole_values=True):
            ids = as_bytes(column_of(batch, id_column), id_column, is_id=True)
            view = ByteView.of(without_nulls(ids))
            hashes = hash_rows(view.data, view.offsets[:-1], view.lengths)
            numbers = hashes % np.uint64(partition.count)
            if ids.null_count:
                numbers[to_numpy(ids.is_null())] = 0
            yield batch.filter(to_arrow(numbers == partition.number))
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
