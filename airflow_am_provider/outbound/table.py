"""A batch as rows of a database table: all of them or none, in one transaction.

The rows of a batch are those with its name in the column ``batch``; a batch that comes again
replaces them. A second table, on request, holds what is current: a row for each user and segment,
with ``since`` and ``until``.

**Order.** A batch's place is the time in its name, which Adobe gives, and not when it is loaded. A
batch that is newer than all others is merged into the current table. One that is older, or that was
loaded before with other content, makes the current table of its destination anew, from the rows of
all its batches in their order; so that loading days in any order gives the same table. A full batch
says something of every user of its destination: who is not in it is in no segment from then on.
"""

from __future__ import annotations

import json
import re
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.outbound.counts import ReadCounts
from airflow_am_provider.outbound.csv_stream import CsvStream, csv_of
from airflow_am_provider.outbound.layout import BASIC, Layout
from airflow_am_provider.outbound.load_report import LoadReport
from airflow_am_provider.outbound.reading import read_batch
from airflow_am_provider.outbound.rows import SCHEMA, Rows, as_text, time_as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa

    from airflow_am_provider.audience_manager.api.answers import Mapping
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.sources.database_hook import DbApiHook

_TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,2}")
# SQLite takes 999 values in a statement unless it is built otherwise.
_MOST_VALUES: Final = 500
_SAID: Final = "airflow_am_said"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What differs between databases.

    :param placeholder: of a value in a statement.
    :param moment: the type of a time.
    :param lock: what keeps other loads out until the transaction ends; ``{table}`` is the table.
    :param numbers: a FROM item that gives each number of a column of text, as ``part.value``.
    """

    placeholder: str
    moment: str
    lock: str
    numbers: str


POSTGRES: Final = Dialect(
    placeholder="%s",
    moment="TIMESTAMPTZ",
    lock="LOCK TABLE {table} IN EXCLUSIVE MODE",
    numbers="unnest(string_to_array(nullif({column}, ''), ',')::bigint[]) AS part(value)",
)
SQLITE: Final = Dialect(
    placeholder="?",
    moment="TEXT",
    # Any write takes the lock of the whole database.
    lock="DELETE FROM {table} WHERE 1 = 0",
    numbers="json_each('[' || {column} || ']') AS part",
)
_DIALECTS: Final = {"postgresql": POSTGRES, "postgres": POSTGRES, "sqlite": SQLITE}


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


def load_into_table(
    inbox: Inbox,
    batch: Batch,
    hook: DbApiHook,
    tables: Tables,
    layout: Layout = BASIC,
    mappings: Sequence[Mapping] | None = None,
) -> LoadReport:
    """Load a complete batch in one transaction.

    :param inbox: where the batch lies.
    :param hook: the database's.
    :param tables: where rows go.
    :param layout: how its lines are made.
    :param mappings: the destination's, for the table of segments' names; None for none.
    :raises ConfigurationError: when the database is none of those that are known here.
    :raises TransientError: when a file is not, or not yet, what its control file says.
    :raises DataError: when a file cannot be read.
    """
    counts = ReadCounts()
    rows = Rows(batch, layout.more)
    with _statements(hook, tables) as statements:
        statements.make_tables(rows.schema)
        statements.lock()
        is_next = statements.is_next(batch)
        statements.forget(batch)
        blocks = read_batch(inbox, batch, counts, layout)
        statements.add((rows.of(block) for block in blocks if len(block.lines.ids)), rows.schema)
        report = LoadReport.of(batch, tables.rows, counts)
        statements.note(batch, report)
        if mappings:
            statements.name_segments(batch.destination, mappings)
        if is_next:
            statements.merge(batch.batch_id)
        else:
            statements.make_current_anew(batch)
    return report


def loaded_versions(hook: DbApiHook, tables: Tables, batch_ids: Sequence[str]) -> dict[str, str]:
    """The version in which each batch is loaded; those that are not are left out."""
    with _statements(hook, tables) as statements:
        statements.make_tables()
        return statements.versions(batch_ids)


@contextmanager
def _statements(hook: DbApiHook, tables: Tables) -> Iterator[_Statements]:
    """One transaction: all of it or nothing."""
    name = str(getattr(hook, "dialect_name", "") or "")
    if name not in _DIALECTS:
        raise ConfigurationError(
            f"conn_id: tables of {name or type(hook).__name__} are not written here; those of "
            f"PostgreSQL and SQLite are. For a warehouse, load into Parquet (into='s3://…') and "
            f"let the warehouse take it from there, by its COPY or an external table"
        )
    with closing(hook.get_conn()) as connection:
        if getattr(connection, "autocommit", None) is True:
            connection.autocommit = False
        try:
            yield _Statements(connection.cursor(), _DIALECTS[name], tables)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


class _Statements:
    """The statements of one load. Names of tables are checked; values are always parameters."""

    def __init__(self, cursor: Any, dialect: Dialect, tables: Tables) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._tables = tables

    def make_tables(self, schema: pa.Schema = SCHEMA) -> None:
        """Make what is not there.

        :param schema: the columns of rows; what is not of every row is text.
        """
        more = "".join(f", {name} TEXT" for name in schema.names[len(SCHEMA) :])
        tables, moment = self._tables, self._dialect.moment
        index = f"{tables.rows.replace('.', '_')}_by_batch"
        self._run(
            f"CREATE TABLE IF NOT EXISTS {tables.rows} (user_id TEXT NOT NULL, id_dpid BIGINT, "
            f"segments TEXT NOT NULL, removed_segments TEXT NOT NULL, destination BIGINT, "
            f"mode TEXT, batch_time {moment}, batch TEXT NOT NULL{more})"
        )
        self._run(f"CREATE INDEX IF NOT EXISTS {index} ON {tables.rows} (batch)")
        self._run(
            f"CREATE TABLE IF NOT EXISTS {tables.batches} (batch TEXT PRIMARY KEY, "
            f"destination BIGINT NOT NULL, mode TEXT, batch_time {moment} NOT NULL, "
            f"version TEXT NOT NULL, report TEXT NOT NULL)"
        )
        if tables.current:
            self._run(
                f"CREATE TABLE IF NOT EXISTS {tables.current} (destination BIGINT NOT NULL, "
                f"user_id TEXT NOT NULL, segment BIGINT NOT NULL, since {moment} NOT NULL, "
                f"until {moment}, PRIMARY KEY (destination, user_id, segment))"
            )

    def lock(self) -> None:
        """Keep other loads into the same tables out until this one is over."""
        self._run(self._dialect.lock.format(table=self._tables.batches))

    def versions(self, batch_ids: Sequence[str]) -> dict[str, str]:
        """The version in which each batch is loaded."""
        found: dict[str, str] = {}
        for start in range(0, len(batch_ids), _MOST_VALUES):
            some = batch_ids[start : start + _MOST_VALUES]
            values = ", ".join("?" for _ in some)
            self._run(
                f"SELECT batch, version FROM {self._tables.batches} WHERE batch IN ({values})",
                *some,
            )
            found |= {str(batch): str(version) for batch, version in self._cursor.fetchall()}
        return found

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
        columns = ", ".join(schema.names)
        copy = f"COPY {self._tables.rows} ({columns}) FROM STDIN WITH (FORMAT csv)"
        if hasattr(self._cursor, "copy_expert"):
            self._cursor.copy_expert(copy, CsvStream(blocks))
        elif self._dialect is POSTGRES and hasattr(self._cursor, "copy"):
            with self._cursor.copy(copy) as stream:
                for block in blocks:
                    stream.write(csv_of(block))
        else:
            values = ", ".join(self._dialect.placeholder for _ in schema.names)
            insert = f"INSERT INTO {self._tables.rows} ({columns}) VALUES ({values})"
            for block in blocks:
                listed = [column.to_pylist() for column in as_text(block).columns]
                self._cursor.executemany(insert, list(zip(*listed, strict=True)))

    def note(self, batch: Batch, report: LoadReport) -> None:
        """Write down that a batch is loaded."""
        self._run(
            f"INSERT INTO {self._tables.batches} (batch, destination, mode, batch_time, version, "
            f"report) VALUES (?, ?, ?, ?, ?, ?)",
            batch.batch_id,
            batch.destination,
            batch.mode,
            time_as_text(_time(batch)),
            batch.version,
            json.dumps(report.to_json()),
        )

    def name_segments(self, destination: int, mappings: Sequence[Mapping]) -> None:
        """Write down what the segments of a destination are called now."""
        names = self._tables.names
        self._run(
            f"CREATE TABLE IF NOT EXISTS {names} (destination BIGINT NOT NULL, segment BIGINT NOT "
            f"NULL, name TEXT NOT NULL, description TEXT, status TEXT, "
            f"PRIMARY KEY (destination, segment))"
        )
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
        moment = self._dialect.moment
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
            f"SELECT CAST(? AS BIGINT), said.user_id, said.segment, CAST(? AS {moment}), "
            f"CAST(NULL AS {moment}) FROM {_SAID} AS said WHERE true "
            f"ON CONFLICT (destination, user_id, segment) DO UPDATE SET "
            f"since = CASE WHEN {_last(current)}.until IS NULL OR {_last(current)}.until = "
            f"excluded.since THEN {_last(current)}.since ELSE excluded.since END, until = NULL",
            destination,
            time,
        )

    def _say(self, column: str, batch_id: str) -> None:
        """Put each user and segment of one of a batch's columns into a table of its own, once.

        As a table it has a key: looking each row of the current table up among the lists of a
        batch would take the product of both.
        """
        numbers = self._dialect.numbers.format(column=f"line.{column}")
        self._run(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_SAID} "
            f"(user_id TEXT, segment BIGINT, PRIMARY KEY (user_id, segment))"
        )
        self._run(f"DELETE FROM {_SAID}")
        self._run(
            f"INSERT INTO {_SAID} SELECT DISTINCT line.user_id, CAST(part.value AS BIGINT) FROM "
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
