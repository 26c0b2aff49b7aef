"""A batch as one Parquet file: it appears whole or not at all, and replaces the same batch's."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_am_provider.outbound.reading import ReadCounts, read_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.reading import BatchLines
    from airflow_am_provider.storage.folder import Folder

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
_ROW_GROUP_ROWS: Final = 256 * 1024
_REJECTS_HEADER: Final = ("file", "line_number", "reason")
#: Of each batch so many rejected lines are listed; all are counted.
MOST_REJECTS: Final = 1_000_000
#: Under this key the file's own metadata says what was loaded.
METADATA_KEY: Final = b"airflow_am_provider"


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of a batch.

    :param batch_id: the batch.
    :param destination: whose it is; 0 where its name does not say.
    :param version: of its files; the same batch sent again has another.
    :param url: where its rows lie now.
    :param counts: lines read = lines loaded + lines set aside.
    """

    batch_id: str
    destination: int
    version: str
    url: str
    counts: ReadCounts

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        counts = self.counts
        return {
            "batch": self.batch_id,
            "destination": self.destination,
            "version": self.version,
            "url": self.url,
            "lines_read": counts.lines_read,
            "rows_loaded": counts.lines_loaded,
            "lines_set_aside": counts.set_aside.total(),
            "set_aside": dict(counts.set_aside),
            "header_lines": counts.header_lines,
            "files_without_checksum": counts.unchecked,
        }


def name_destination(batch: Batch) -> int:
    """The destination that a batch is of; 0 where its name does not say."""
    return batch.name.destination or 0


def batch_path(batch: Batch) -> str:
    """Where a batch's Parquet file lies: its name says all, so that it is there once."""
    day = "unknown" if batch.timestamp is None else f"{batch.timestamp.astimezone(UTC):%Y-%m-%d}"
    return f"{name_destination(batch)}/{day}/{batch.batch_id}.parquet"


def loaded_version(target: Folder, batch: Batch) -> str | None:
    """The version in which a batch is loaded, by its file's own metadata; None when it is not."""
    path = batch_path(batch)
    if not target.exists(path):
        return None
    with target.open_read(path) as file:
        metadata = pq.read_metadata(file).metadata or {}
    if METADATA_KEY not in metadata:
        return None
    version = json.loads(metadata[METADATA_KEY]).get("version")
    return None if version is None else str(version)


def load_into_parquet(
    inbox: Inbox,
    batch: Batch,
    target: Folder,
    *,
    header_lines: int = 0,
    separator_spaces: int | None = None,
) -> LoadReport:
    """Write a complete batch into a Parquet file.

    :param inbox: where the batch lies.
    :param target: the folder that gets the file.
    :raises TransientError: when a file is not, or not yet, what its control file says; the file
        does not appear then.
    :raises DataError: when a file cannot be read.
    """
    counts = ReadCounts()
    rejects = _Rejects()
    path = batch_path(batch)
    with target.open_write(path) as file:
        with pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=[
                "segments",
                "removed_segments",
                "destination",
                "mode",
                "batch",
                "batch_time",
                "id_dpid",
            ],
        ) as writer:
            for table in _tables(
                read_batch(
                    inbox,
                    batch,
                    counts,
                    header_lines=header_lines,
                    separator_spaces=separator_spaces,
                ),
                batch,
                rejects,
            ):
                writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)
            report = LoadReport(
                batch_id=batch.batch_id,
                destination=name_destination(batch),
                version=batch.version,
                url=f"{target.url}/{path}",
                counts=counts,
            )
            writer.add_key_value_metadata({METADATA_KEY: json.dumps(report.to_json()).encode()})
        # Before the file appears, so that no loaded batch is without its rejects.
        rejects.write(target, f"{path.removesuffix('.parquet')}.rejects.csv")
    return report


def _tables(blocks: Iterator[BatchLines], batch: Batch, rejects: _Rejects) -> Iterator[pa.Table]:
    """Tables of about a row group, so that each is written at once."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for block in blocks:
        rejects.add(block)
        held.append(_record_batch(block, batch))
        rows += held[-1].num_rows
        if rows >= _ROW_GROUP_ROWS:
            yield pa.Table.from_batches(held, SCHEMA)
            held, rows = [], 0
    if rows:
        yield pa.Table.from_batches(held, SCHEMA)


def _record_batch(block: BatchLines, batch: Batch) -> pa.RecordBatch:
    lines, name = block.lines, batch.name
    count = len(lines.ids)

    def same(value: object, field: str) -> pa.Array:
        return pa.repeat(pa.scalar(value, SCHEMA.field(field).type), count)

    return pa.record_batch(
        [
            lines.ids,
            same(name.master_dpid, "id_dpid"),
            lines.segments,
            lines.removed,
            same(name.destination, "destination"),
            same(batch.mode, "mode"),
            same(batch.timestamp, "batch_time"),
            same(batch.batch_id, "batch"),
        ],
        schema=SCHEMA,
    )


class _Rejects:
    """Which lines were set aside and why, without what stood in them."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._count = 0

    def add(self, block: BatchLines) -> None:
        for bad in block.lines.bad:
            if self._count < MOST_REJECTS:
                self._count += 1
                self._rows.writerow((block.file.path, block.first_line + bad.number, bad.reason))

    def write(self, target: Folder, path: str) -> None:
        if not self._count:
            target.delete(path)  # of the batch as it came before
            return
        header = ",".join(_REJECTS_HEADER) + "\n"
        target.write_bytes(path, (header + self._text.getvalue()).encode())
