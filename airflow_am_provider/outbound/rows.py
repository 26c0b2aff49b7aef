"""Rows as they are loaded: the same columns in Parquet files and in tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.outbound.segment_names import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.audience_manager.api.answers import Mapping
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.reading import BatchLines

SCHEMA: Final = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("id_dpid", pa.int64()),
        pa.field("segments", pa.list_(pa.int64()), nullable=False),
        pa.field("removed_segments", pa.list_(pa.int64()), nullable=False),
        pa.field("destination", pa.int64()),
        pa.field("mode", pa.string()),
        pa.field("batch_time", pa.timestamp("ms", tz="UTC")),
        pa.field("batch", pa.string(), nullable=False),
    ]
)


#: What rows have as well where names of segments are asked for.
NAMES: Final = (
    pa.field("segment_names", pa.list_(pa.string())),
    pa.field("removed_segment_names", pa.list_(pa.string())),
)


def schema_with(more: Sequence[pa.Field]) -> pa.Schema:
    """The columns of rows.

    :param more: columns beyond :data:`SCHEMA`.
    """
    return pa.schema([*SCHEMA, *more])


class Rows:
    """Makes rows of a batch's lines.

    :param batch: says what is the same in all of its rows.
    :param more: columns beyond :data:`SCHEMA` that its lines have.
    :param mappings: the destination's, for the names of segments; None for rows without names.
    """

    def __init__(
        self,
        batch: Batch,
        more: Sequence[pa.Field] = (),
        mappings: Sequence[Mapping] | None = None,
    ) -> None:
        self._batch = batch
        self._mappings = mappings
        self.schema = schema_with([*more, *(() if mappings is None else NAMES)])

    def of(self, block: BatchLines) -> pa.RecordBatch:
        """A block's good lines as rows.

        :param block: lines of the batch.
        """
        lines, batch = block.lines, self._batch
        count = len(lines.ids)

        def same(value: object, field: str) -> pa.Array:
            return pa.repeat(pa.scalar(value, SCHEMA.field(field).type), count)

        names = []
        if self._mappings is not None:
            names = [named(listed, self._mappings) for listed in (lines.segments, lines.removed)]
        return pa.record_batch(
            [
                lines.ids,
                same(batch.name.master_dpid, "id_dpid"),
                lines.segments,
                lines.removed,
                same(batch.name.destination, "destination"),
                same(batch.mode, "mode"),
                same(batch.timestamp, "batch_time"),
                same(batch.batch_id, "batch"),
                *lines.more,
                *names,
            ],
            schema=self.schema,
        )


def as_text(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows for a table of plain columns: lists are joined by commas, times are text that sorts.

    :param rows: of one batch.
    """
    columns = []
    for column in rows.columns:
        if pa.types.is_list(column.type):
            columns.append(pc.binary_join(column.cast(pa.list_(pa.string())), ","))
        elif pa.types.is_timestamp(column.type):
            columns.append(_time_as_text(column))
        else:
            columns.append(column)
    return pa.record_batch(columns, names=rows.schema.names)


def time_as_text(moment: datetime) -> str:
    """A time in UTC as text that sorts as it does.

    >>> time_as_text(datetime(2026, 1, 31, 14, tzinfo=UTC))
    '2026-01-31 14:00:00.000+00:00'
    """
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")


def _time_as_text(column: pa.TimestampArray) -> pa.StringArray:
    # A batch has one time, which is written once.
    moment = column[0].as_py() if len(column) else None
    text = None if moment is None else time_as_text(moment)
    return pa.repeat(pa.scalar(text, pa.string()), len(column))
