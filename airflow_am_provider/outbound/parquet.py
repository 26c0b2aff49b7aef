"""A batch as one Parquet file: it appears whole or not at all, and replaces the same batch's."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_am_provider.outbound.batches import day_of
from airflow_am_provider.outbound.counts import ReadCounts
from airflow_am_provider.outbound.layout import BASIC, Layout
from airflow_am_provider.outbound.load_report import ANNOUNCED, LoadReport, is_free
from airflow_am_provider.outbound.reading import read_batch
from airflow_am_provider.outbound.rows import NAMES, SCHEMA, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_am_provider.audience_manager.api.answers import Mapping as SegmentMapping
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.reading import BatchLines
    from airflow_am_provider.storage.folder import Folder

_ROW_GROUP_ROWS: Final = 256 * 1024
_REJECTS_HEADER: Final = ("file", "line_number", "reason")
#: Of each batch so many rejected lines are listed; all are counted.
MOST_REJECTS: Final = 1_000_000
#: Under this key the file's own metadata says what was loaded.
METADATA_KEY: Final = b"airflow_am_provider"


def batch_path(batch: Batch) -> str:
    """Where a batch's Parquet file lies: its name says all, so that it is there once."""
    day = day_of(batch.name)
    return f"{batch.destination}/{day or 'unknown'}/{batch.batch_id}.parquet"


def loaded_report(target: Folder, batch: Batch) -> dict[str, Any]:
    """What became of a batch when it was loaded; nothing when it was not."""
    return _report_at(target, batch_path(batch))


def find_report(target: Folder, batch_id: str) -> dict[str, Any]:
    """The same of a batch whose files are gone: its name alone does not say where it lies."""
    ending = f"/{batch_id}.parquet"
    found = (file.path for file in target.list() if f"/{file.path}".endswith(ending))
    path = next(found, None)
    return {} if path is None else _report_at(target, path)


def _report_at(target: Folder, path: str) -> dict[str, Any]:
    if not target.exists(path):
        return {}
    with target.open_read(path) as file:
        metadata = pq.read_metadata(file).metadata or {}
    report: dict[str, Any] = json.loads(metadata.get(METADATA_KEY, b"{}"))
    if ANNOUNCED in report:
        note = json.loads(target.read_bytes(_beside(path, "announced.json")) or b"{}")
        if note.get("version") == report["version"]:
            report[ANNOUNCED] = note[ANNOUNCED]
    return report


def note_announced(
    target: Folder, report: Mapping[str, Any], teller: dict[str, Any], *, tells: bool = True
) -> bool:
    """Write down, beside its file, who tells Airflow of a loaded batch.

    :param report: what became of the batch when it was loaded.
    :param teller: as for :func:`~airflow_am_provider.outbound.load_report.is_free`.
    :param tells: False to take back what an earlier try of the same task has noted.
    :return: False when it is not theirs to tell, or it is loaded in another version by now.
    """
    # As batch_path() has made it.
    path = "/".join(str(report["url"]).split("/")[-3:])
    kept = _report_at(target, path)
    is_theirs = kept.get("version") == report["version"] and is_free(kept, teller)
    if is_theirs:
        note = {"version": report["version"], ANNOUNCED: teller if tells else None}
        target.write_bytes(_beside(path, "announced.json"), json.dumps(note).encode())
    return is_theirs


def _beside(path: str, ending: str) -> str:
    """A file beside a batch's."""
    return f"{path.removesuffix('.parquet')}.{ending}"


def load_into_parquet(
    inbox: Inbox,
    batch: Batch,
    target: Folder,
    layout: Layout = BASIC,
    mappings: Sequence[SegmentMapping] | None = None,
) -> LoadReport:
    """Write a complete batch into a Parquet file.

    :param inbox: where the batch lies.
    :param target: the folder that gets the file.
    :param layout: how its lines are made.
    :param mappings: the destination's, for the names of segments; None for no names.
    :raises TransientError: when a file is not, or not yet, what its control file says; the file
        does not appear then.
    :raises DataError: when a file cannot be read.
    """
    counts = ReadCounts()
    rejects = _Rejects()
    rows = Rows(batch, layout.more, mappings)
    path = batch_path(batch)
    with target.open_write(path) as file:
        with pq.ParquetWriter(
            file,
            rows.schema,
            compression="zstd",
            compression_level=1,
            # What comes again and again; an ID comes once.
            use_dictionary=[
                *(name for name in SCHEMA.names if name != "user_id"),
                *(field.name for field in NAMES if field.name in rows.schema.names),
            ],
        ) as writer:
            blocks = read_batch(inbox, batch, counts, layout)
            _write(writer, _tables(blocks, rows, rejects))
            report = LoadReport.of(batch, f"{target.url}/{path}", counts)
            kept = json.dumps(report.to_kept_json()).encode()
            writer.add_key_value_metadata({METADATA_KEY: kept})
        # Before the file appears, so that no loaded batch is without its rejects, and none passes
        # for one that Airflow has heard of.
        rejects.write(target, _beside(path, "rejects.csv"))
        target.delete(_beside(path, "announced.json"))
    return report


def _write(writer: pq.ParquetWriter, tables: Iterable[pa.Table]) -> None:
    """Write one table while the next one is read: each takes about as long."""
    with ThreadPoolExecutor(1, "parquet") as beside:
        writing: Future[None] = Future()
        writing.set_result(None)
        for table in tables:
            writing.result()
            writing = beside.submit(writer.write_table, table, row_group_size=_ROW_GROUP_ROWS)
        writing.result()


def _tables(blocks: Iterator[BatchLines], rows: Rows, rejects: _Rejects) -> Iterator[pa.Table]:
    """Tables of about a row group, so that each is written at once."""
    held: list[pa.RecordBatch] = []
    count = 0
    for block in blocks:
        rejects.add(block)
        held.append(rows.of(block))
        count += held[-1].num_rows
        if count >= _ROW_GROUP_ROWS:
            yield pa.Table.from_batches(held, rows.schema)
            held, count = [], 0
    if count:
        yield pa.Table.from_batches(held, rows.schema)


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
