"""The statements of a load into tables, and their order.

**Order.** A batch's place is the time in its name, which Adobe gives, and not when it is loaded. A
batch that is newer than all others is merged into the current table. One that is older, or that was
loaded before with other content, makes the current table of its destination anew, from the rows of
all its batches in their order; so that loading days in any order gives the same table. A full batch
says something of every user of its destination: who is not in it is in no segment from then on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.outbound.csv_stream import CsvStream, csv_of
from airflow_am_provider.outbound.dialects import POSTGRES
from airflow_am_provider.outbound.load_data import load_data
from airflow_am_provider.outbound.load_report import ANNOUNCED
from airflow_am_provider.outbound.rows import SCHEMA, as_text, time_as_text

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
_SAID: Final = "airflow_am_said"
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

    @property
    def batches(self) -> str:
        """The table of which batches are loaded, beside the rows."""
        return f"{self.rows}_batches"

    @property
    def names(self) -> str:
        """The table of what segments are called, beside the rows."""
        return f"{self.rows}_names"


class Statements:
    """The statements of one load. Names of tables are checked; values are always parameters.

    ``last`` is the statement that was run last, without its values.
    """

    def __init__(self, cursor: Any, dialect: Dialect, tables: Tables) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._tables = tables
        self.last = ""

    def make_tables(self, schema: pa.Schema = SCHEMA) -> None:
        """Make what is not there.

        :param schema: the columns of rows; what is not of every row is text.
        """
        more = "".join(f", {name} {self._dialect.text}" for name in schema.names[len(SCHEMA) :])
        self.make_batches_table()
        tables, moment, key = self._tables, self._dialect.moment, self._dialect.key
        text = self._dialect.text
        index = f"{tables.rows.replace('.', '_')}_by_batch"
        inline = f", INDEX {index} (batch)" if self._dialect.index == "inline" else ""
        self._run(
            f"CREATE TABLE IF NOT EXISTS {tables.rows} (user_id {key} NOT NULL, id_dpid BIGINT, "
            f"segments {text} NOT NULL, removed_segments {text} NOT NULL, destination BIGINT, "
            f"mode {text}, batch_time {moment}, batch {key} NOT NULL{more}{inline})"
        )
        if self._dialect.index == "statement":
            self._run(f"CREATE INDEX IF NOT EXISTS {index} ON {tables.rows} (batch)")
        if tables.current:
            self._run(
                f"CREATE TABLE IF NOT EXISTS {tables.current} (destination BIGINT NOT NULL, "
                f"user_id {key} NOT NULL, segment BIGINT NOT NULL, since {moment} NOT NULL, "
                f"until {moment}, PRIMARY KEY (destination, user_id, segment))"
            )

    def make_batches_table(self) -> None:
        """Make the table of which batches are loaded, unless it is there."""
        dialect = self._dialect
        self._run(
            f"CREATE TABLE IF NOT EXISTS {self._tables.batches} (batch {dialect.key} PRIMARY KEY, "
            f"destination BIGINT NOT NULL, mode {dialect.text}, "
            f"batch_time {dialect.moment} NOT NULL, version {dialect.text} NOT NULL, "
            f"report {dialect.text} NOT NULL)"
        )

    def lock(self) -> None:
        """Keep other loads into the same tables out until this one is over, where that is known."""
        if self._dialect.lock is not None:
            self._run(self._dialect.lock.format(table=self._tables.batches))
            if self._cursor.description is not None:
                self._cursor.fetchall()

    def reports(self, batch_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What was written down of each batch when it was loaded."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(batch_ids), _MOST_VALUES):
            some = batch_ids[start : start + _MOST_VALUES]
            values = ", ".join("?" for _ in some)
            self._run(
                f"SELECT batch, report FROM {self._tables.batches} WHERE batch IN ({values})",
                *some,
            )
            found |= {str(batch): json.loads(report) for batch, report in self._cursor.fetchall()}
        return found

    def note_announced(self, kept: dict[str, Any], teller: dict[str, Any] | None) -> None:
        """Write down who tells Airflow of a batch; None for nobody.

        :param kept: what :meth:`reports` gives of it.
        """
        self._run(
            f"UPDATE {self._tables.batches} SET report = ? WHERE batch = ?",
            json.dumps({**kept, ANNOUNCED: teller}),
            kept["batch"],
        )

    def is_next(self, batch: Batch) -> bool:
        """Whether a batch is newer than all that are loaded of its destination."""
        self._run(
            f"SELECT batch, batch_time FROM {self._tables.batches} WHERE destination = ? "
            f"ORDER BY batch_time DESC, batch DESC LIMIT 1",
            batch.destination,
        )
        row = self._cursor.fetchone()
        ours = (time_as_text(_time(batch)), batch.batch_id)
        return row is None or (_as_text(row[1]), row[0]) < ours

    def forget(self, batch: Batch) -> None:
        """Delete what is there of a batch: it came before."""
        for table in (self._tables.rows, self._tables.batches):
            self._run(f"DELETE FROM {table} WHERE batch = ?", batch.batch_id)

    def add(self, blocks: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        """Add rows: by COPY where the driver has it.

        :param schema: their columns.
        """
        columns, bulk = ", ".join(schema.names), self._dialect.bulk
        copy = f"COPY {self._tables.rows} ({columns}) FROM STDIN WITH (FORMAT csv)"
        self.last = copy
        if bulk == "load_data":
            load_data(self._cursor, self._tables.rows, schema, blocks)
        elif bulk == "copy" and hasattr(self._cursor, "copy_expert"):
            stream = CsvStream(blocks)
            try:
                self._cursor.copy_expert(copy, stream)
            except Exception:
                # The driver has words of its own for what went wrong with the rows.
                if stream.error is not None:
                    raise stream.error from None
                raise
        elif bulk == "copy" and hasattr(self._cursor, "copy"):
            with self._cursor.copy(copy) as copying:
                for block in blocks:
                    copying.write(csv_of(block))
        else:
            values = ", ".join(self._dialect.placeholder for _ in schema.names)
            insert = f"INSERT INTO {self._tables.rows} ({columns}) VALUES ({values})"
            for block in blocks:
                listed = [column.to_pylist() for column in as_text(block).columns]
                self._cursor.executemany(insert, list(zip(*listed, strict=True)))

    def copy(self, statement: str) -> None:
        """Have the database read a file."""
        self.last = statement
        self._cursor.execute(statement)

    def check_count(self, batch: Batch, expected: int) -> None:
        """See that all rows of a batch are there.

        :raises TransientError: when it is another number.
        """
        self._run(f"SELECT COUNT(*) FROM {self._tables.rows} WHERE batch = ?", batch.batch_id)
        found = int(self._cursor.fetchone()[0])
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
        )

    def note_probe(self) -> None:
        """Write down what is to be rolled back."""
        self._note(PROBE, 0, None, time_as_text(datetime.now(UTC)), "", "{}")

    def forget_probe(self) -> None:
        """Delete it, where it could not be."""
        self._run(f"DELETE FROM {self._tables.batches} WHERE batch = ?", PROBE)

    def _note(self, *values: object) -> None:
        self._run(
            f"INSERT INTO {self._tables.batches} (batch, destination, mode, batch_time, version, "
            f"report) VALUES (?, ?, ?, ?, ?, ?)",
            *values,
        )

    def make_names_table(self) -> None:
        """Make the table of what segments are called, unless it is there."""
        text = self._dialect.text
        self._run(
            f"CREATE TABLE IF NOT EXISTS {self._tables.names} (destination BIGINT NOT NULL, "
            f"segment BIGINT NOT NULL, name {text} NOT NULL, description {text}, status {text}, "
            f"PRIMARY KEY (destination, segment))"
        )

    def name_segments(self, destination: int, mappings: Sequence[Mapping]) -> None:
        """Write down what the segments of a destination are called now."""
        names = self._tables.names
        self._run(f"DELETE FROM {names} WHERE destination = ?", destination)
        for one in mappings:
            self._run(
                f"INSERT INTO {names} (destination, segment, name, description, status) "
                f"VALUES (?, ?, ?, ?, ?)",
                destination,
                one.sid,
                one.name,
                one.description,
                one.status,
            )

    def merge(self, batch_id: str) -> None:
        """Take a batch's rows over into the current table; all older ones are in it."""
        current = self._tables.current
        if not current:
            return
        self._run(
            f"SELECT destination, mode, batch_time FROM {self._tables.batches} WHERE batch = ?",
            batch_id,
        )
        destination, mode, time = self._cursor.fetchone()
        integer, moment = self._dialect.integer, self._dialect.as_moment
        # A user who is added to a segment and removed from it by one batch is in it: what is
        # removed goes first.
        if mode == "full":
            self._say("segments", batch_id)
            self._close(destination, time, "NOT EXISTS")
        else:
            self._say("removed_segments", batch_id)
            self._close(destination, time, "EXISTS")
            self._say("segments", batch_id)
        self._run(
            f"INSERT INTO {current} (destination, user_id, segment, since, until) "
            f"SELECT CAST(? AS {integer}), said.user_id, said.segment, CAST(? AS {moment}), "
            f"CAST(NULL AS {moment}) FROM {_SAID} AS said WHERE true "
            + self._dialect.upsert.format(own=_last(current)),
            destination,
            time,
        )

    def _say(self, column: str, batch_id: str) -> None:
        """Put each user and segment of one of a batch's columns into a table of its own, once.

        As a table it has a key: looking each row of the current table up among the lists of a
        batch would take the product of both.
        """
        numbers = str(self._dialect.numbers).format(column=f"line.{column}")
        self._run(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_SAID} "
            f"(user_id {self._dialect.key}, segment BIGINT, PRIMARY KEY (user_id, segment))"
        )
        self._run(f"DELETE FROM {_SAID}")
        self._run(
            f"INSERT INTO {_SAID} SELECT DISTINCT line.user_id, "
            f"CAST(part.value AS {self._dialect.integer}) FROM "
            f"{self._tables.rows} AS line, {numbers} WHERE line.batch = ?",
            batch_id,
        )
        if self._dialect is POSTGRES:
            self._run(f"ANALYZE {_SAID}")

    def _close(self, destination: object, time: object, whether: str) -> None:
        """End what holds of a destination, for the pairs that were said, or that were not."""
        current = self._tables.current
        self._run(
            f"UPDATE {current} SET until = ? WHERE destination = ? AND until IS NULL AND {whether} "
            f"(SELECT 1 FROM {_SAID} AS said WHERE said.user_id = {_last(str(current))}.user_id "
            f"AND said.segment = {_last(str(current))}.segment)",
            time,
            destination,
        )

    def make_current_anew(self, batch: Batch) -> None:
        """Put the current table together from the rows of all batches of a destination."""
        if not self._tables.current:
            return
        self._run(f"DELETE FROM {self._tables.current} WHERE destination = ?", batch.destination)
        self._run(
            f"SELECT batch FROM {self._tables.batches} WHERE destination = ? "
            f"ORDER BY batch_time, batch",
            batch.destination,
        )
        for (batch_id,) in self._cursor.fetchall():
            self.merge(batch_id)

    def _run(self, statement: str, *values: object) -> None:
        self.last = statement
        self._cursor.execute(statement.replace("?", self._dialect.placeholder), values)


def _last(table: str) -> str:
    """A table's name as ON CONFLICT knows it."""
    return table.rpartition(".")[2]


def _time(batch: Batch) -> datetime:
    if batch.timestamp is None:
        raise ConfigurationError(
            f"batch {batch.batch_id}: its name has no timestamp, by which batches are put in order"
        )
    return batch.timestamp


def _as_text(moment: datetime | str) -> str:
    """A time as text that sorts as it does."""
    if isinstance(moment, str):
        return moment
    return time_as_text(moment)
