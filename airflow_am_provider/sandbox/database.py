"""The one SQLite file that a sandbox keeps everything in: profiles, files seen, answers due."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Another process may hold the file while it reads a large delivery.
_BUSY_TIMEOUT_S: Final = 600.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS ids (
    key INTEGER PRIMARY KEY, dpid INTEGER NOT NULL, id TEXT NOT NULL,
    synchronised INTEGER NOT NULL, UNIQUE (dpid, id));
CREATE TABLE IF NOT EXISTS links (
    master INTEGER NOT NULL, other INTEGER NOT NULL, PRIMARY KEY (master, other)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_by_other ON links (other, master);
CREATE TABLE IF NOT EXISTS hashed_emails (
    user INTEGER NOT NULL, dpid INTEGER NOT NULL, hash TEXT NOT NULL,
    PRIMARY KEY (user, dpid, hash)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traits (
    user INTEGER NOT NULL, dpid INTEGER NOT NULL, trait TEXT NOT NULL, delivery INTEGER NOT NULL,
    said_at REAL NOT NULL DEFAULT 0, PRIMARY KEY (user, dpid, trait)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signals (
    user INTEGER NOT NULL, dpid INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    delivery INTEGER NOT NULL, PRIMARY KEY (user, dpid, key, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (key INTEGER PRIMARY KEY, stem TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS files (
    key INTEGER PRIMARY KEY, inbox TEXT NOT NULL, path TEXT NOT NULL, version TEXT NOT NULL,
    name TEXT NOT NULL, delivery TEXT NOT NULL, partner TEXT NOT NULL, printed TEXT NOT NULL,
    verdict TEXT NOT NULL, reason TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    totals TEXT NOT NULL, findings TEXT NOT NULL, taken_at REAL NOT NULL, ended_at REAL NOT NULL,
    marked INTEGER NOT NULL DEFAULT 0, answered INTEGER NOT NULL DEFAULT 0,
    UNIQUE (path, version));
CREATE TABLE IF NOT EXISTS mails (
    key INTEGER PRIMARY KEY, message_id TEXT NOT NULL, mailbox TEXT NOT NULL, files TEXT NOT NULL,
    genuine INTEGER NOT NULL, raw BLOB NOT NULL, due_at REAL NOT NULL,
    attempted INTEGER NOT NULL DEFAULT 0, sent_at REAL);
"""


def connect(path: str | Path) -> sqlite3.Connection:
    """Open the database, and make it when there is none.

    Two connections may use it at the same time, also from two processes; one connection is for
    one thread at a time.

    :param path: the file; its folder must exist. Made for its owner alone.
    :raises ConfigurationError: when it is no such database or cannot be opened.
    """
    try:
        # It has IDs of customers in it. SQLite gives the files beside it the mode of this one.
        if path != ":memory:":
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigurationError(f"sandbox database {str(path)!r}: {error.strerror}") from error
    try:
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # Readers go on while a delivery is being read; a crash of the machine may cost the last
        # transactions, which are then read again.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        _add_what_is_new(connection)
    except sqlite3.Error as error:
        raise ConfigurationError(f"sandbox database {str(path)!r}: {error}") from error
    return connection


def _add_what_is_new(connection: sqlite3.Connection) -> None:
    """Bring a database of an earlier version up to date."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(traits)")]
    if "said_at" not in columns:
        connection.execute("ALTER TABLE traits ADD COLUMN said_at REAL NOT NULL DEFAULT 0")
        # When was not kept: the time of what is there begins now.
        connection.execute("UPDATE traits SET said_at = strftime('%s', 'now')")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; no other writer comes in between."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
