"""Fills the index: what has changed in staging since the last look, and nothing else.

A look costs a listing of the targets and one read for each, one or two small reads for each
delivery that is open, and for targets that have changed the pages of history that are new: fifty
deliveries a page, each page read once.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError, DataError
from airflow_am_provider.deliveries.expiry import TTL_DAYS
from airflow_am_provider.deliveries.standing import Notes, notes_beside
from airflow_am_provider.deliveries.target.document import from_text, whose
from airflow_am_provider.deliveries.target.history import read_page
from airflow_am_provider.deliveries.target.target import TARGETS
from airflow_am_provider.plugins.page.batches import forget_notes, read_notes
from airflow_am_provider.plugins.page.index import note, noted, upsert
from airflow_am_provider.plugins.page.places import Place, Problem, places, sentence_of
from airflow_am_provider.plugins.page.rows import row_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

    from airflow_am_provider.deliveries.target.homes import Home, Loaded
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState
    from airflow_am_provider.plugins.page.index import Index
    from airflow_am_provider.storage.folder import Folder

INDEXED_AT: Final = "indexed_at"
PROBLEMS: Final = "problems"
# Nobody looks at the page: staging is left alone until somebody does.
_IDLE_S: Final = 600
_PAGES_AT_ONCE: Final = 20
# Of so many open deliveries of a target, the newest, notes are read at each look: of those that a
# DAG formats and nobody ever sends there is one more each day.
_NOTES_READ: Final = 200
_BY_SPACE: Final = ("deliveries", "targets", "connections", "expiry")
_NO_NOTES: Final = Notes()
_logger = logging.getLogger(__name__)


class Refresher:
    """Keeps an index new for as long as somebody looks at it.

    Several workers of the API server share one index; one of them at a time fills it.

    :param index: the index.
    :param find: gives the places where deliveries lie.
    :param every_s: seconds between two looks.
    """

    def __init__(
        self,
        index: Index,
        find: Callable[[], Iterable[Place | Problem]] = places,
        *,
        every_s: float,
    ) -> None:
        self._index = index
        self._find = find
        self._every_s = every_s
        self._asked_at = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_filled = threading.Event()

    def ask(self, wait_s: float = 0.0) -> None:
        """Somebody looks at the page: have the index kept new from now on.

        :param wait_s: how long to wait at most for an index that was never filled.
        """
        self._asked_at = time.monotonic()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="audience-manager-page", daemon=True
                )
                self._thread.start()
        if wait_s and not self._is_filled.is_set():
            self._is_filled.wait(wait_s)

    def refresh(self) -> bool:
        """Look once; False where another worker is at it or has been of late."""
        with self._alone() as is_alone:
            if not is_alone or self._is_new():
                return False
            problems = list(self._look())
            with self._index.open() as connection:
                note(connection, PROBLEMS, json.dumps([[p.conn_id, p.sentence] for p in problems]))
                note(connection, INDEXED_AT, datetime.now(UTC).isoformat(timespec="seconds"))
            return True

    def _run(self) -> None:
        while time.monotonic() - self._asked_at < _IDLE_S:
            try:
                self.refresh()
            except Exception:
                _logger.exception("The index of the page Audience Manager could not be filled")
            self._is_filled.set()
            time.sleep(self._every_s)

    def _is_new(self) -> bool:
        with self._index.open() as connection:
            known = noted(connection, INDEXED_AT)
        if known is None:
            return False
        age = (datetime.now(UTC) - datetime.fromisoformat(known)).total_seconds()
        return 0 <= age < self._every_s / 2

    def _look(self) -> Iterator[Problem]:
        seen: set[str] = set()
        is_whole = True
        for place in self._find():
            if isinstance(place, Problem):
                is_whole = False
                yield place
                continue
            try:
                with self._index.open() as connection:
                    _note_connection(connection, place)
                if place.space not in seen:
                    seen.add(place.space)
                    yield from self._look_at(place)
                    yield from read_notes(self._index, place)
            except Exception as error:
                _logger.warning("Deliveries of %s cannot be read", place.conn_id, exc_info=True)
                yield Problem(conn_id=place.conn_id, sentence=sentence_of(place.conn_id, error))
        if is_whole:
            with self._index.open() as connection:
                _forget_spaces_but(connection, seen)

    def _look_at(self, place: Place) -> Iterator[Problem]:
        home, known = place.targets.home, self._versions(place.space)
        has_open = self._with_open_deliveries(place.space)
        found = []
        problems: dict[str, None] = {}
        for key in home.keys(f"{TARGETS}/"):
            loaded = home.load(key)
            if loaded is None:
                continue
            found.append(key)
            is_new = known.get(key) != loaded.version
            if not (is_new or key in has_open):
                continue
            try:
                problem = self._write(place, key, loaded, is_new=is_new)
            except DataError as error:
                # One that is damaged does not hide the others.
                problem = error
            if problem is not None:
                problems[sentence_of(place.conn_id, problem)] = None
        for sentence in problems:
            yield Problem(conn_id=place.conn_id, sentence=sentence)
        gone = known.keys() - set(found)
        if known and not found:
            yield Problem(
                conn_id=place.conn_id,
                sentence=f"Connection {place.conn_id}: nothing is found in {home.url}, where "
                f"{len(known):,} targets were. What was known is shown. Is the disk mounted?",
            )
            return
        with self._index.open() as connection:
            for key in gone:
                _forget_target(connection, place.space, key)

    def _write(
        self, place: Place, key: str, loaded: Loaded, *, is_new: bool
    ) -> AudienceManagerError | None:
        """Write down what a target says, or of a known one what has changed beside it.

        :return: why notes of its deliveries could not be read.
        """
        where = f"{place.targets.home.url}/{key}"
        destination, target = whose(loaded.content, where)
        writer = _TargetWriter(self._index, place, key, destination, target)
        state = from_text(loaded.content, where)
        if is_new:
            writer.write(state, loaded.version)
        else:
            writer.write_open(state)
        return writer.problem

    def _versions(self, space: str) -> dict[str, str]:
        with self._index.open() as connection:
            query = "SELECT key, version FROM targets WHERE space = ?"
            return {row[0].partition(":")[2]: row[1] for row in connection.execute(query, (space,))}

    def _with_open_deliveries(self, space: str) -> set[str]:
        """Targets, by their keys, of which something is not done with."""
        query = (
            "SELECT key FROM targets WHERE (space, target, destination) IN "
            "(SELECT space, target, destination FROM deliveries WHERE is_outstanding = 1) "
            "AND space = ?"
        )
        with self._index.open() as connection:
            return {row[0].partition(":")[2] for row in connection.execute(query, (space,))}

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other worker is at it; the operating system's lock ends with its process."""
        handle = os.open(self._index.folder / "refresh.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)


class _TargetWriter:
    """Writes what a target has to say into the index."""

    def __init__(self, index: Index, place: Place, key: str, destination: str, target: str) -> None:
        self._index = index
        self._home: Home = place.targets.home
        self._staging: Folder = place.targets.staging
        #: Why notes could not be read.
        self.problem: AudienceManagerError | None = None
        self._space = place.space
        self._key = key
        self._destination = destination
        self._target = target

    def write(self, state: TargetState, version: str) -> None:
        """The document, then pages that are new; last its version, so that a break is made up."""
        rows = self._open(state)
        with self._index.open() as connection:
            upsert(connection, rows, state.sequence)
            self._done(connection, state.done)
            self._expiry(connection, state)
        self._pages(state.history)
        with self._index.open() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?, ?)",
                (
                    f"{self._space}:{self._key}",
                    self._space,
                    self._target,
                    self._destination,
                    version,
                ),
            )

    def write_open(self, state: TargetState) -> None:
        """What is open: notes beside it may have changed, although its target has not."""
        rows = self._open(state) if state.entries else []
        # What was known stays where notes cannot be read.
        if rows and self.problem is None:
            with self._index.open() as connection:
                upsert(connection, rows, state.sequence)

    def _open(self, state: TargetState) -> list[dict[str, object]]:
        newest = sorted(state.entries.values(), key=lambda entry: -entry.staged)
        return [
            self._row(entry, self._notes(entry) if place < _NOTES_READ else _NO_NOTES)
            for place, entry in enumerate(newest)
        ]

    def _notes(self, entry: DeliveryEntry) -> Notes:
        if self.problem is None:
            try:
                return notes_beside(self._staging, entry)
            except AudienceManagerError as error:
                self.problem = error
        return _NO_NOTES

    def _pages(self, newest: str | None) -> None:
        """Each page once; those before a page that is complete are all known."""
        name, walked = newest, []
        while name is not None:
            with self._index.open() as connection:
                for _ in range(_PAGES_AT_ONCE):
                    known = connection.execute(
                        "SELECT before, is_complete FROM pages WHERE name = ?", (self._name(name),)
                    ).fetchone()
                    if known is not None and known["is_complete"]:
                        name = None
                        break
                    walked.append(name)
                    if known is not None:
                        name = known["before"]
                    else:
                        page = read_page(self._home, name)
                        self._done(connection, page.entries)
                        connection.execute(
                            "INSERT OR REPLACE INTO pages VALUES (?, ?, 0)",
                            (self._name(name), page.before),
                        )
                        name = page.before
                    if name is None:
                        break
        with self._index.open() as connection:
            connection.executemany(
                "UPDATE pages SET is_complete = 1 WHERE name = ?",
                [(self._name(one),) for one in walked],
            )

    def _done(self, connection: sqlite3.Connection, entries: Iterable[DeliveryEntry]) -> None:
        upsert(connection, ({**self._row(one), "rank": one.decided} for one in entries))

    def _expiry(self, connection: sqlite3.Connection, state: TargetState) -> None:
        """When what was said first begins to expire; a difference says everything again in time."""
        where = (self._space, self._destination, self._target)
        connection.execute(
            "DELETE FROM expiry WHERE space = ? AND destination = ? AND target = ?", where
        )
        newest = {entry.series: entry for entry in (*state.done, *state.entries.values())}
        for series, since in state.said_since.items():
            entry = newest.get(series)
            if series in state.snapshots or entry is None:
                continue
            connection.execute(
                "INSERT INTO expiry VALUES (?, ?, ?, ?, ?, ?)",
                (
                    self._space,
                    self._target,
                    self._destination,
                    self._row(entry)["dag_id"],
                    series,
                    (date.fromisoformat(since) + timedelta(days=TTL_DAYS)).isoformat(),
                ),
            )

    def _row(self, entry: DeliveryEntry, notes: Notes = _NO_NOTES) -> dict[str, object]:
        return row_of(
            entry,
            space=self._space,
            destination=self._destination,
            target=self._target,
            notes=notes,
        )

    def _name(self, page: str) -> str:
        return f"{self._space}:{page}"


def _note_connection(connection: sqlite3.Connection, place: Place) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO connections VALUES (?, ?, ?)",
        (place.space, place.destination, place.conn_id),
    )


def _forget_target(connection: sqlite3.Connection, space: str, key: str) -> None:
    for table in ("deliveries", "expiry"):
        connection.execute(
            f"DELETE FROM {table} WHERE (space, target, destination) IN "
            "(SELECT space, target, destination FROM targets WHERE key = ?)",
            (f"{space}:{key}",),
        )
    connection.execute("DELETE FROM targets WHERE key = ?", (f"{space}:{key}",))
    # Pages of history are read again when the target comes back.
    connection.execute("DELETE FROM pages WHERE name LIKE ?", (f"{space}:%",))


def _forget_spaces_but(connection: sqlite3.Connection, seen: set[str]) -> None:
    """What no connection leads to any more."""
    known = {
        row[0]
        for row in connection.execute(
            "SELECT space FROM targets UNION SELECT space FROM outbound_notes"
        )
    }
    for space in known - seen:
        for table in _BY_SPACE:
            connection.execute(f"DELETE FROM {table} WHERE space = ?", (space,))
        forget_notes(connection, space)
        connection.execute("DELETE FROM pages WHERE name LIKE ?", (f"{space}:%",))
