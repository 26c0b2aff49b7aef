"""Parquet files divided without reading them: by what their row groups say of the user IDs.

A row group's statistics hold the least and the greatest value of each column. Groups whose ranges
of user IDs touch may have a user in common and stay together; in files sorted by the ID these are
few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_am_provider.deliveries.shares import evenly

if TYPE_CHECKING:
    from collections.abc import Sequence

# A partition this many times its fair share of the rows: reading everything and dividing it evenly
# is quicker then.
_MOST_OF_FAIR_SHARE: Final = 1.5


class RowGroup(NamedTuple):
    """One row group.

    :param file: which of the files.
    :param number: which row group of it.
    :param rows: how many rows it has.
    :param least: no user ID in it comes before this one.
    :param greatest: no user ID in it comes after this one.
    """

    file: int
    number: int
    rows: int
    least: bytes | int
    greatest: bytes | int


def row_groups_of(file: BinaryIO, number: int, id_column: str) -> list[RowGroup] | None:
    """The row groups of a file; None when they do not say which user IDs they have.

    :param file: a Parquet file; only its end is read.
    :param number: which of several files it is.
    :param id_column: the column of the user ID.
    """
    try:
        metadata = pq.ParquetFile(file).metadata
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None  # whoever reads it says what is wrong
    columns = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    if columns.count(id_column) != 1:
        return None
    found = []
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(columns.index(id_column))
        limits = _limits(chunk)
        if limits is None:
            return None
        found.append(RowGroup(number, group, metadata.row_group(group).num_rows, *limits))
    return found


def _limits(chunk: pq.ColumnChunkMetaData) -> tuple[bytes, bytes] | tuple[int, int] | None:
    said = chunk.statistics
    if said is None or not said.has_min_max:
        return None
    if said.physical_type == "BYTE_ARRAY":
        # What was cut off for length is still a limit.
        least, greatest = said.min_raw, said.max_raw
    elif said.physical_type in {"INT32", "INT64"}:
        least, greatest = said.min, said.max
    else:
        return None
    is_alike = type(least) is type(greatest) and isinstance(least, bytes | int)
    return (least, greatest) if is_alike and least <= greatest else None


def divided(groups: Sequence[RowGroup], count: int) -> list[list[RowGroup]] | None:
    """Row groups by partition, so that no user is in two; None when that does not come out even.

    :param groups: of all files.
    :param count: how many partitions there are.
    """
    if len({type(group.least) for group in groups}) != 1:
        return None
    islands: list[list[RowGroup]] = []
    reach: bytes | int | None = None
    for group in sorted(groups, key=lambda group: group.least):
        if reach is None or group.least > reach:  # type: ignore[operator]  # all bytes or all numbers
            islands.append([])
            reach = group.greatest
        else:
            reach = max(reach, group.greatest)
        islands[-1].append(group)
    weights = [sum(group.rows for group in island) for island in islands]
    shares: list[list[RowGroup]] = [[] for _ in range(count)]
    for island, share in zip(islands, evenly(weights, count), strict=True):
        shares[share] += island
    largest = max(sum(group.rows for group in share) for share in shares)
    if largest * count > _MOST_OF_FAIR_SHARE * sum(weights):
        return None
    return [sorted(share, key=lambda group: group[:2]) for share in shares]
