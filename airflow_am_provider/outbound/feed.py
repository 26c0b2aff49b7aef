"""Customer Data Feeds: complete hours into Parquet by the time of their events, and their ID pairs.

Adobe puts an hour's files into ``day=YYYY-MM-DD/hour=HH/``, with a control file. The folder's hour
is when Adobe began to prepare it: a late event lies in a later folder, so rows are put by the time
of the event. What comes of an hour has names that follow from the hour, so that an hour that is
made again, or read again after a task was killed, replaces its own rows: each event is there once.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.feeds import PAGE, feed_folder, is_feed_file
from airflow_am_provider.audience_manager.outbound.names import SegmentFileName
from airflow_am_provider.outbound.batches import Batch, BatchFile
from airflow_am_provider.outbound.counts import ReadCounts
from airflow_am_provider.outbound.feed_lines import PAIRS, SCHEMA, id_pairs, read_events
from airflow_am_provider.outbound.inbox import ControlFiles
from airflow_am_provider.outbound.reading import file_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_am_provider.audience_manager.outbound.control_files import (
        ControlFile,
        ControlledFile,
    )
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.storage.folder import Folder, ListedFile

EVENTS: Final = "events"
HOUR_PAIRS: Final = "id_pairs/hours"
HOURS: Final = "hours"
_UNKNOWN_DAY: Final = "unknown"
_KEYS: Final = ["device", "dpid", "code", "dpuuid"]


@dataclass
class HourReport:
    """What became of an hour: events read = events written + events set aside.

    :param hour: the folder's, ISO 8601.
    :param version: of its files.
    :param counts: lines.
    :param pairs: ID pairs found, each once.
    :param broken_ids: IDs that pages declared and that are not UTF-8, so that they are in no pair.
    :param files: Parquet files, relative to the target.
    """

    hour: str
    version: str
    counts: ReadCounts = field(default_factory=ReadCounts)
    pairs: int = 0
    broken_ids: int = 0
    files: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        counts = self.counts
        return {
            "hour": self.hour,
            "version": self.version,
            "events_read": counts.lines_read,
            "events_written": counts.lines_loaded,
            "events_set_aside": counts.lines_set_aside,
            "set_aside": dict(counts.set_aside),
            "id_pairs": self.pairs,
            "ids_set_aside": self.broken_ids,
            "files": self.files,
        }


@dataclass(frozen=True, kw_only=True)
class Hours:
    """What a look at a feed has shown.

    :param complete: hours of which each listed file is there, oldest first.
    :param waiting: hours of which something is missing, with what.
    """

    complete: tuple[tuple[datetime, Batch], ...]
    waiting: tuple[tuple[datetime, str], ...]


def hours_of(inbox: Inbox, since: datetime, until: datetime) -> Hours:
    """Look at the folders of some hours; hours without a folder are normal (cdf-files.md).

    :param inbox: the feed's folder, above ``day=…``.
    :param since: the first hour, in UTC.
    :param until: the first hour that is none of them.
    :raises TransientError: when the inbox fails.
    """
    complete: list[tuple[datetime, Batch]] = []
    waiting: list[tuple[datetime, str]] = []
    controls = ControlFiles(inbox)
    day = since.replace(hour=0, minute=0, second=0, microsecond=0)
    while day < until:
        listing = list(inbox.list(f"day={day:%Y-%m-%d}/"))
        by_hour: dict[datetime, list[ListedFile]] = {}
        for file in listing:
            hour = feed_folder(file.path)
            if hour is not None and since <= hour < until:
                by_hour.setdefault(hour, []).append(file)
        said = controls.read(file for files in by_hour.values() for file in files)
        for hour in sorted(by_hour):
            batch, why = hour_batch(f"{hour:%Y-%m-%dT%H}", by_hour[hour], said)
            if batch is None:
                waiting.append((hour, why))
            else:
                complete.append((hour, batch))
        day += timedelta(days=1)
    return Hours(complete=tuple(complete), waiting=tuple(waiting))


def hour_batch(
    name: str,
    files: list[ListedFile],
    controls: Mapping[str, ControlFile | DataError],
) -> tuple[Batch | None, str]:
    """An hour's files as a batch, or why it is not complete.

    :param name: what the batch is called: its hour, such as ``2026-01-31T14``.
    :param files: what lies in its folder.
    :param controls: each control file by its path, or why it cannot be read yet.
    """
    here = sorted((file for file in files if file.path in controls), key=_age)
    if not here:
        return None, "its control file has not come"
    by_name = {file.path.rpartition("/")[2]: file for file in files}
    # Of a file that two of them list, the newer says how it is: the hour was made again.
    entries: dict[str, ControlledFile] = {}
    for file in here:
        control = controls[file.path]
        if isinstance(control, DataError):
            return None, str(control)
        entries |= {entry.name: entry for entry in control.files}
    found = []
    for text in sorted(entries):
        entry, listed = entries[text], by_name.get(text)
        if not is_feed_file(text):
            return None, (
                f"its control file lists {printable(text)}, which is no name of a feed's file "
                f"({PAGE})"
            )
        if listed is None or listed.size != entry.size:
            return None, f"{printable(text)} has not come, or not whole"
        found.append(
            BatchFile(
                path=listed.path,
                name=SegmentFileName(text=text, root=text, packing="gz"),
                size=entry.size,
                checksum=_checksum(entry, listed),
                found=listed,
            )
        )
    batch = Batch(
        batch_id=name,
        files=tuple(found),
        control_path=here[-1].path,
        remarks=tuple(
            f"{printable(text)}: its control file does not list it"
            for text in sorted(by_name)
            if is_feed_file(text) and text not in entries
        ),
    )
    return batch, ""


def _age(file: ListedFile) -> tuple[datetime, str]:
    return file.modified, file.path


def _checksum(entry: ControlledFile, listed: ListedFile) -> str | None:
    """What the file is held against while it is read; None where S3 has done the sum already.

    An ETag that differs proves nothing: a copy in another bucket has another one, when it was
    uploaded in other parts or is encrypted with KMS.
    """
    if not entry.is_checkable:
        return None
    is_same = listed.etag is not None and listed.etag.lower() == str(entry.checksum).lower()
    return None if is_same else entry.checksum


def extracted(inbox: Inbox, batch: Batch, target: Folder) -> dict[str, Any] | None:
    """What was extracted of an hour, as its files are now; None when it was not.

    :raises ConfigurationError: when the target has the hours of another feed.
    """
    document = _noted(inbox, batch, target)
    return document if document.get("version") == batch.version else None


def extract(inbox: Inbox, batch: Batch, target: Folder, max_set_aside: float = 1.0) -> HourReport:
    """Write an hour's events and ID pairs.

    :param inbox: the feed's folder.
    :param batch: a complete hour.
    :param target: gets ``events/DAY/HOUR.parquet``, ``id_pairs/hours/HOUR.parquet`` and, at the
        end, ``hours/HOUR.json``.
    :param max_set_aside: how many events may break the layout: a whole number is a count, a
        fraction a share.
    :raises ConfigurationError: when the target has the hours of another feed.
    :raises NotAsListed: when a file is not, or not yet, what its control file says.
    :raises DataError: when a file cannot be read, or too many events break the layout.
    """
    report = HourReport(batch.batch_id, batch.version)
    before = _noted(inbox, batch, target).get("files", [])
    pairs: list[pa.RecordBatch] = []
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for rows in read_hour(inbox, batch, report.counts):
            _write(rows, batch, target, writers, stack, report)
            found = id_pairs(rows)
            pairs.append(found.rows)
            report.broken_ids += found.broken
        report.counts.check_set_aside(max_set_aside, lines="events", whole="hour", settings="")
        # Before the first file appears: whoever is killed among them leaves none that nobody knows.
        if not set(report.files) <= set(before):
            _note(inbox, batch, target, {"files": sorted({*before, *report.files})})
    once = latest_pairs(pairs)
    report.pairs = once.group_by(_KEYS).aggregate([]).num_rows
    path = f"{HOUR_PAIRS}/{batch.batch_id}.parquet"
    with target.open_write(path) as opened:
        pq.write_table(once, opened)
    # An hour made again may have no event of a day that it had before.
    for gone in set(before) - set(report.files):
        target.delete(gone)
    # Last: what has no marker is extracted again.
    _note(inbox, batch, target, report.to_json())
    return report


def read_hour(inbox: Inbox, batch: Batch, counts: ReadCounts) -> Iterator[pa.RecordBatch]:
    """The events of an hour, block by block; its files are known to be right at the end.

    :param inbox: where its files lie.
    :param batch: a complete hour.
    :param counts: are counted up.
    :raises NotAsListed: when a file is not, or not yet, what its control file says.
    :raises DataError: when a file cannot be read.
    """
    for file in batch.files:
        number = 1
        for block, _ in file_blocks(inbox, file, counts, 0):
            events = read_events(block)
            counts.add(events.lines, events.bad, file.path, number)
            number += events.lines
            yield events.rows


def latest_pairs(batches: Iterable[pa.RecordBatch | pa.Table]) -> pa.Table:
    """Each pair of a device and an ID once in each state, with its last time; the latest first."""
    tables = [
        pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        for batch in batches
    ]
    if not tables:
        return PAIRS.empty_table()
    whole = pa.concat_tables(tables)
    keys = [*_KEYS, "authentication"]
    grouped = whole.group_by(keys, use_threads=False).aggregate([("event_time", "max")])
    named = grouped.rename_columns([name.removesuffix("_max") for name in grouped.column_names])
    return named.select(PAIRS.names).cast(PAIRS).sort_by([("event_time", "descending")])


def pairs_of_hours(target: Folder, hours: Iterable[str]) -> pa.Table:
    """The pairs of some hours, each once in each state, the latest first."""
    tables = []
    for hour in hours:
        path = f"{HOUR_PAIRS}/{hour}.parquet"
        if target.exists(path):
            with target.open_read(path) as opened:
                tables.append(pq.read_table(opened))
    return latest_pairs(tables)


def _marker(batch: Batch) -> str:
    return f"{HOURS}/{batch.batch_id}.json"


def _noted(inbox: Inbox, batch: Batch, target: Folder) -> dict[str, Any]:
    """What is noted of an hour; nothing when it was never read."""
    path = _marker(batch)
    document: dict[str, Any] = json.loads(target.read_bytes(path) or b"{}")
    feed = document.get("feed", inbox.url)
    if feed != inbox.url:
        raise ConfigurationError(
            f"into: {target.url}/{path} is of another feed, {printable(str(feed))}, and not of "
            f"{inbox.url}; hours of two feeds would replace each other. Give each feed a folder of "
            f"its own"
        )
    return document


def _note(inbox: Inbox, batch: Batch, target: Folder, document: dict[str, Any]) -> None:
    noted = {"feed": inbox.url, **document}
    target.write_bytes(_marker(batch), json.dumps(noted).encode())


def _write(
    rows: pa.RecordBatch,
    batch: Batch,
    target: Folder,
    writers: dict[str, pq.ParquetWriter],
    stack: ExitStack,
    report: HourReport,
) -> None:
    """Each row into the file of its day."""
    days = pc.strftime(rows["event_time"], format="%Y-%m-%d")
    for day in pc.unique(days).to_pylist():
        path = f"{EVENTS}/{day or _UNKNOWN_DAY}/{batch.batch_id}.parquet"
        if path not in writers:
            opened = stack.enter_context(target.open_write(path))
            writers[path] = stack.enter_context(
                pq.ParquetWriter(opened, SCHEMA, compression="zstd")
            )
            report.files.append(path)
        writers[path].write_batch(rows.filter(pc.equal(days, day)))


def hour_in_utc(moment: datetime) -> datetime:
    """The hour that a moment is in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
