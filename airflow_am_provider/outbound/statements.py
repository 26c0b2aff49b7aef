"""The statements of a load into tables."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.outbound.csv_stream import CsvStream, csv_of
from airflow_am_provider.outbound.current_table import CurrentTable, check_mode
from airflow_am_provider.outbound.load_data import load_data
from airflow_am_provider.outbound.load_report import ANNOUNCED
from airflow_am_provider.outbound.rows import SCHEMA, as_text, time_as_text
from airflow_am_provider.outbound.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_am_provider.audience_manager.api.answers import Mapping
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.dialects import Dialect
    from airflow_am_provider.outbound.load_report import LoadReport

_TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,2}")
# SQLite takes 999 values in a statement unless it is built otherwise.
_MOST_VALUES: Final = 500
#: No batch is called so.
PROBE: Final = "airflow-am/probe"


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Where rows go.

    :param rows: the table of batches' rows; it is made when it is not there.
    :param current: the table of what is current; None for none.
    :raises ConfigurationError: when a name is none of a table.
    """

    rows: str
    current: str | None = None

    def __post_init__(self) -> None:
        for parameter, name in (("table", self.rows), ("current_table", self.current)):
            if name is not None and not _TABLE.fullmatch(name):
                raise ConfigurationError(
                    f"{parameter}: {name!r} is no name of a table; letters, digits and _ are "
                    f"expected, with the schema before a dot"
                )
        beside = {one.lower() for one in (self.rows, self.batches, self.names)}
        if self.current is not None and self.current.lower() in beside:
            raise ConfigurationError(
                f"current_table: {self.current!r} is the table of rows, or one beside it; give it "
                f"a name of its own, such as current_{self.rows.rpartition('.')[2]}"
            )

    @property
    def all(self) -> tuple[str, ...]:
        """The tables that tasks name: those beside them go with the rows."""
        return (self.rows,) if self.current is None else (self.rows, self.current)

    @property
    def batches(self) -> str:
        """The table of which batches are loaded, beside the rows."""
        return f"{self.rows}_batches"

    @property
    def names(self) -> str:
        """The table of what segments are called, beside the rows."""
        return f"{self.rows}_names"


class Statements:
    """The statements of one load. Names of tables are checked; values are always parameters."""

    def __init__(self, cursor: Any, dialect: Dialect, tables: Tables) -> None:
        self._in = Transaction(cursor, dialect)
        self._tables = tables
        self._current = (
            CurrentTable(self._in, name=tables.current, rows=tables.rows, batches=tables.batches)
            if tables.current
            else None
        )

    @property
    def last(self) -> str:
        """The statement that was run last, without its values."""
        return self._in.last

    def make_tables(self, schema: pa.Schema = SCHEMA) -> None:
        """Make what is not there.

        :param schema: the columns of rows; what is not of every row is text.
        """
        more = "".join(f", {name} {self._in.dialect.text}" for name in schema.names[len(SCHEMA) :])
        self.make_batches_table()
        tables, moment, key = self._tables, self._in.dialect.moment, self._in.dialect.key
        text = self._in.dialect.text
        index = f"{tables.rows.replace('.', '_')}_by_batch"
        inline = f", INDEX {index} (batch)" if self._in.dialect.index == "inline" else ""
        self._in.run(
            f"CREATE TABLE IF NOT EXISTS {tables.rows} (user_id {key} NOT NULL, id_dpid BIGINT, "
            f"segments {text} NOT NULL, removed_segments {text} NOT NULL, destination BIGINT, "
            f"mode {text}, batch_time {moment}, batch {key} NOT NULL{more}{inline})"
        )
        if self._in.dialect.index == "statement":
            self._in.run(f"CREATE INDEX IF NOT EXISTS {index} ON {tables.rows} (batch)")
        if self._current:
            self._current.make()

    def make_batches_table(self) -> None:
        """Make the table of which batches are loaded, unless it is there."""
        dialect, batches = self._in.dialect, self._tables.batches
        self._in.run(
            f"CREATE TABLE IF NOT EXISTS {batches} (batch {dialect.key} PRIMARY KEY, "
            f"destination BIGINT NOT NULL, mode {dialect.text}, "
            f"batch_time {dialect.moment} NOT NULL, version {dialect.text} NOT NULL, "
            f"report {dialect.text} NOT NULL, id_dpid BIGINT, current_table {dialect.text})"
        )
        # Where an earlier version has made it.
        known = self._in.columns(batches)
        for name, type_ in (("id_dpid", "BIGINT"), ("current_table", dialect.text)):
            if known and name not in known:
                self._in.run(f"ALTER TABLE {batches} ADD COLUMN {name} {type_}")

    def lock_first(self) -> None:
        """Keep other loads into the same tables out, before anything of them is touched."""
        for table in sorted({one.lower() for one in self._tables.all}):
            self._in.lock(_filled(self._in.dialect.first_lock, table))

    def lock(self) -> None:
        """Keep other loads into the same tables out until this one is over, where that is known."""
        self._in.lock(_filled(self._in.dialect.lock, self._tables.batches))

    def reports(self, batch_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What was written down of each batch when it was loaded."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(batch_ids), _MOST_VALUES):
            some = batch_ids[start : start + _MOST_VALUES]
            values = ", ".join("?" for _ in some)
            rows = self._in.rows(
                f"SELECT batch, report FROM {self._tables.batches} WHERE batch IN ({values})",
                *some,
            )
            found |= {str(batch): json.loads(report) for batch, report in rows}
        return found

    def note_announced(self, kept: dict[str, Any], teller: dict[str, Any] | None) -> None:
        """Write down who tells Airflow of a batch; None for nobody.

        :param kept: what :meth:`reports` gives of it.
        """
        self._in.run(
            f"UPDATE {self._tables.batches} SET report = ? WHERE batch = ?",
            json.dumps({**kept, ANNOUNCED: teller}),
            kept["batch"],
        )

    def why_anew(self, batch: Batch) -> str | None:
        """Why the current table has to be made anew for a batch; None where it is added to.

        :raises DataError: when it is not known of the batch whether it is full.
        """
        if self._current is None:
            return None
        check_mode(batch.batch_id, batch.mode, self._tables.batches)
        return self._current.why_anew(batch, time_as_text(_time(batch)))

    def take_in(self, batch: Batch, why_anew: str | None) -> None:
        """Take a loaded batch over into the current table.

        :param why_anew: what :meth:`why_anew` has said before it was loaded.
        """
        if self._current is not None:
            self._current.take_in(batch, why_anew)

    def catch_up(self, destination: int | None) -> None:
        """Take over into the current table what it lacks of batches that are loaded."""
        if self._current is not None:
            self._current.catch_up(destination)

    def has_batches(self) -> bool:
        """Whether anything is loaded."""
        return self._in.row(f"SELECT 1 FROM {self._tables.batches} LIMIT 1") is not None

    def forget(self, batch: Batch) -> None:
        """Delete what is there of a batch: it came before."""
        for table in (self._tables.rows, self._tables.batches):
            self._in.run(f"DELETE FROM {table} WHERE batch = ?", batch.batch_id)

    def add(self, blocks: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        """Add rows: by COPY where the driver has it.

        :param schema: their columns.
        """
        columns, bulk = ", ".join(schema.names), self._in.dialect.bulk
        copy = f"COPY {self._tables.rows} ({columns}) FROM STDIN WITH (FORMAT csv)"
        self._in.last = copy
        if bulk == "load_data":
            load_data(self._in.cursor, self._tables.rows, schema, blocks)
        elif bulk == "copy" and hasattr(self._in.cursor, "copy_expert"):
            stream = CsvStream(blocks)
            try:
                self._in.cursor.copy_expert(copy, stream)
            except Exception:
                # What read() raises comes out as the driver's own error, with its words alone: a
                # broken file would pass for a database that fails.
                if stream.error is not None:
                    raise stream.error from None
                raise
        elif bulk == "copy" and hasattr(self._in.cursor, "copy"):
            with self._in.cursor.copy(copy) as copying:
                for block in blocks:
                    copying.write(csv_of(block))
        else:
            values = ", ".join(self._in.dialect.placeholder for _ in schema.names)
            insert = f"INSERT INTO {self._tables.rows} ({columns}) VALUES ({values})"
            for block in blocks:
                listed = [column.to_pylist() for column in as_text(block).columns]
                self._in.cursor.executemany(insert, list(zip(*listed, strict=True)))

    def copy(self, statement: str) -> None:
        """Have the database read a file."""
        self._in.last = statement
        self._in.cursor.execute(statement)

    def check_count(self, batch: Batch, expected: int) -> None:
        """See that all rows of a batch are there.

        :raises TransientError: when it is another number.
        """
        counted = self._in.rows(
            f"SELECT COUNT(*) FROM {self._tables.rows} WHERE batch = ?", batch.batch_id
        )
        found = int(counted[0][0])
        if found != expected:
            raise TransientError(
                f"batch {batch.batch_id}: copy_sql gave {found:,} rows, and its file has "
                f"{expected:,}. Nothing of the batch is loaded; does the statement read the file "
                f"that {{url}} or {{path}} names, and all of it?"
            )

    def note(self, batch: Batch, report: LoadReport) -> None:
        """Write down that a batch is loaded."""
        self._note(
            batch.batch_id,
            batch.destination,
            batch.mode,
            time_as_text(_time(batch)),
            batch.version,
            json.dumps(report.to_kept_json()),
            batch.name.master_dpid or 0,
        )

    def note_probe(self) -> None:
        """Write down what is to be rolled back."""
        self._note(PROBE, 0, None, time_as_text(datetime.now(UTC)), "", "{}", 0)

    def forget_probe(self) -> None:
        """Delete it, where it could not be."""
        self._in.run(f"DELETE FROM {self._tables.batches} WHERE batch = ?", PROBE)

    def _note(self, *values: object) -> None:
        self._in.run(
            f"INSERT INTO {self._tables.batches} (batch, destination, mode, batch_time, version, "
            f"report, id_dpid) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *values,
        )

    def make_names_table(self) -> None:
        """Make the table of what segments are called, unless it is there."""
        text = self._in.dialect.text
        self._in.run(
            f"CREATE TABLE IF NOT EXISTS {self._tables.names} (destination BIGINT NOT NULL, "
            f"segment BIGINT NOT NULL, name {text} NOT NULL, description {text}, status {text}, "
            f"PRIMARY KEY (destination, segment))"
        )

    def name_segments(self, destination: int, mappings: Sequence[Mapping]) -> None:
        """Write down what the segments of a destination are called now."""
        names = self._tables.names
        self._in.run(f"DELETE FROM {names} WHERE destination = ?", destination)
        for one in mappings:
            self._in.run(
                f"INSERT INTO {names} (destination, segment, name, description, status) "
                f"VALUES (?, ?, ?, ?, ?)",
                destination,
                one.sid,
                one.name,
                one.description,
                one.status,
            )


def _time(batch: Batch) -> datetime:
    if batch.timestamp is None:
        raise ConfigurationError(
            f"batch {batch.batch_id}: its name has no timestamp, by which batches are put in order"
        )
    return batch.timestamp


def _filled(lock: str | None, table: str) -> str | None:
    return None if lock is None else lock.format(table=table)
