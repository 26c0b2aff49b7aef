"""The index: a SQLite file that answers requests, so that none of them reads staging.

It is a cache. Whoever deletes it loses nothing: it is filled again from targets' documents and
their pages of history.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

# The number of the layout; another one makes a file of its own.
_LAYOUT: Final = 3
COLUMNS: Final = (
    "space",
    "target",
    "delivery_id",
    "created_at",
    "day",
    "kind",
    "window_start",
    "window_end",
    "environment",
    "destination",
    "data_source",
    "target_data_source",
    "mode",
    "state",
    "standing",
    "state_words",
    "since",
    "is_outstanding",
    "needs_attention",
    "reason",
    "rows_read",
    "rows_written",
    "rows_set_aside",
    "set_aside",
    "lines",
    "parts",
    "bytes",
    "received",
    "stored",
    "failed",
    "limits",
    "times_sent",
    "hours_to_acknowledgement",
    "location",
    "series",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "is_backfill",
    "words",
)
_NAMES: Final = ", ".join(COLUMNS)
# What is newer takes the place of what is older, however often and in which order pages are read.
_UPSERT: Final = (
    f"INSERT INTO deliveries ({_NAMES}, rank) "
    f"VALUES ({', '.join(':' + name for name in COLUMNS)}, :rank) "
    "ON CONFLICT (delivery_id, space) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*COLUMNS, "rank"))
    + " WHERE excluded.rank >= deliveries.rank"
)
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS deliveries (
    {_NAMES}, rank INTEGER NOT NULL, PRIMARY KEY (delivery_id, space)
) WITHOUT ROWID;
-- In the order of the table, with all that is filtered by, so that only rows to show are read.
CREATE INDEX IF NOT EXISTS in_order ON deliveries (
    is_outstanding DESC, created_at DESC, delivery_id, space, dag_id, data_source,
    target_data_source, environment, state, standing, needs_attention, is_backfill, day);
CREATE INDEX IF NOT EXISTS by_run ON deliveries (dag_id, run_id, task_id, is_outstanding);
CREATE INDEX IF NOT EXISTS by_creation ON deliveries (created_at, dag_id);
CREATE INDEX IF NOT EXISTS by_day ON deliveries (
    day, data_source, state, needs_attention, environment, dag_id);
CREATE TABLE IF NOT EXISTS pages (name PRIMARY KEY, before, is_complete INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS targets (key PRIMARY KEY, space, target, destination, version)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS connections (space, destination, conn_id,
    PRIMARY KEY (space, destination)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expiry (space, target, destination, dag_id, series, day,
    PRIMARY KEY (space, destination, target, series)) WITHOUT ROWID;
-- What tasks have noted of batches, note by note; and what is so of each batch.
CREATE TABLE IF NOT EXISTS outbound_notes (space, path, version, PRIMARY KEY (space, path))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbound_facts (space, path, dag_id, day, fact);
CREATE INDEX IF NOT EXISTS facts_by_note ON outbound_facts (space, path);
CREATE INDEX IF NOT EXISTS facts_by_day ON outbound_facts (space, dag_id, day);
CREATE TABLE IF NOT EXISTS batches (space, dag_id, day, series, batch, state, answer,
    PRIMARY KEY (space, dag_id, day, series, batch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name PRIMARY KEY, value) WITHOUT ROWID;
"""


class Index:
    """The file, and what is written to it.

    :param folder: where it lies; made for its owner alone.
    :raises ConfigurationError: when the folder is another user's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _make_private(folder)
        self._path = folder / f"deliveries-{_LAYOUT}.sqlite"
        with self.open() as connection:
            connection.executescript(_TABLES)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection, committed when the block is left without an error."""
        # A long answer is read piece by piece, each in whichever thread is free.
        connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")  # it is a cache
            with connection:
                yield connection
        finally:
            connection.close()


def upsert(
    connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]], rank: int | None = None
) -> None:
    """Put deliveries in; one that is known as it was later stays.

    :param rows: see :func:`~airflow_am_provider.plugins.page.rows.row_of`; each with a ``rank``,
        the sequence number that it is known at, unless all have the same.
    """
    if rank is not None:
        rows = ({**row, "rank": rank} for row in rows)
    connection.executemany(_UPSERT, rows)


def note(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a text under a name."""
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))


def noted(connection: sqlite3.Connection, name: str) -> str | None:
    """What is kept under a name, or None."""
    row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _make_private(folder: Path) -> None:
    """Make a folder that nobody else can write to or read: it lies where everybody may write."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigurationError(
            f"{folder}: is not a folder of this user's; delete it, or name another one in "
            f"[audience_manager] page_index_folder"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
