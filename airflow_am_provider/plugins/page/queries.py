"""What tables ask of the index: filters, pages of rows, facets."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.records import OUTSTANDING, STATES_TO_ASK_FOR
from airflow_am_provider.deliveries.standing import NEEDS_ATTENTION
from airflow_am_provider.plugins.page.index import COLUMNS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from airflow_am_provider.plugins.page.access import Rights

#: Rows that one request gives at most.
MOST_ROWS: Final = 500
_ORDER: Final = "is_outstanding DESC, created_at DESC, delivery_id, space"
_SELECTED: Final = ", ".join(f"deliveries.{name}" for name in COLUMNS if name != "words")
_FROM: Final = "FROM deliveries LEFT JOIN connections USING (space, destination)"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which deliveries; None and empty for all.

    :param states: states and how deliveries stand besides, ``outstanding`` and
        ``needs_attention`` among them.
    :param since: made on this day or later, ``YYYY-MM-DD`` in UTC.
    :param until: made on this day or earlier.
    :param day: whose window begins on this day; without a window, made on it.
    :param text: stands somewhere in ID, data source, destination, DAG, run, task or reason.

    The others are compared with the row's field of the same name.
    """

    states: tuple[str, ...] = ()
    data_source: str | None = None
    environment: str | None = None
    since: str | None = None
    until: str | None = None
    day: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    is_backfill: bool | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        for state in self.states:
            if state not in STATES_TO_ASK_FOR:
                raise ConfigurationError(
                    f"state: {state!r} is none of {', '.join(STATES_TO_ASK_FOR)}"
                )
        for name in ("since", "until", "day"):
            given = getattr(self, name)
            if given:
                day_of(name, given)


class Where:
    """Conditions of a query, with their values. The first one is what the user may see."""

    def __init__(self, rights: Rights) -> None:
        self._conditions: list[str] = []
        self.values: list[object] = []
        self.order = _ORDER
        if not rights.everything:
            dag_ids = json.dumps(sorted(rights.dag_ids))
            # The sign keeps SQLite from going by DAG and sorting all that it finds.
            self.add("+dag_id IN (SELECT value FROM json_each(?))", dag_ids)

    def add(self, condition: str, *values: object) -> None:
        """One more that has to hold."""
        self._conditions.append(condition)
        self.values += values

    def equal(self, **wanted: object) -> None:
        """Fields that have a value; None for any."""
        for name, value in wanted.items():
            if value not in (None, ""):
                self.add(f"{name} = ?", value)

    def of_data_source(self, data_source: str | None) -> None:
        """Whose IDs or whose traits are of a data source; None for any."""
        if data_source:
            self.add("? IN (data_source, target_data_source)", data_source)

    def days(self, field: str, since: str | None, until: str | None) -> None:
        """From one day to another, both included."""
        if since:
            self.add(f"{field} >= ?", since)
        if until:
            self.add(f"{field} < ?", (day_of("until", until) + timedelta(days=1)).isoformat())

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "1"


def where(rights: Rights, filters: Filters) -> Where:
    """The conditions of filters."""
    found = Where(rights)
    if filters.states:
        named = json.dumps(filters.states)
        names = "(SELECT value FROM json_each(?))"
        conditions = [f"state IN {names}", f"standing IN {names}"]
        conditions += ["is_outstanding = 1"] * (OUTSTANDING in filters.states)
        conditions += ["needs_attention = 1"] * (NEEDS_ATTENTION in filters.states)
        found.add(f"({' OR '.join(conditions)})", named, named)
    found.of_data_source(filters.data_source)
    found.equal(
        environment=filters.environment,
        day=filters.day,
        dag_id=filters.dag_id,
        run_id=filters.run_id,
        task_id=filters.task_id,
        map_index=filters.map_index,
        is_backfill=None if filters.is_backfill is None else int(filters.is_backfill),
    )
    found.days("created_at", filters.since, filters.until)
    if filters.text:
        # Much quicker than LIKE, which looks at each character by itself.
        found.add("instr(words, ?) > 0", filters.text.lower())
        # The sign has all rows read one after the other, and those that are found sorted: to look
        # each row up in the order of the table takes ten times as long.
        found.order = f"+{_ORDER}"
    return found


def of_task(connection: sqlite3.Connection, rights: Rights, filters: Filters) -> Filters:
    """The same, without the task where it is one that makes no deliveries, such as an upload.

    Its tab shows those of its run, then.
    """
    if not filters.task_id:
        return filters
    conditions = Where(rights)
    conditions.equal(dag_id=filters.dag_id, task_id=filters.task_id)
    query = f"SELECT 1 FROM deliveries WHERE {conditions} LIMIT 1"
    if connection.execute(query, conditions.values).fetchone():
        return filters
    return replace(filters, task_id=None, map_index=None)


def page(
    connection: sqlite3.Connection, conditions: Where, *, limit: int, cursor: str | None
) -> tuple[list[sqlite3.Row], str | None]:
    """Rows from a place on, outstanding ones first, then the newest; and where to go on.

    :param cursor: where the page before ended; None for the first.
    :raises ConfigurationError: when the cursor is none.
    """
    text, values = str(conditions), list(conditions.values)
    if cursor:
        outstanding, created_at, delivery_id, space = _read_cursor(cursor)
        text += (
            " AND (is_outstanding < ? OR (is_outstanding = ? AND (created_at < ? OR "
            "(created_at = ? AND (delivery_id, deliveries.space) > (?, ?)))))"
        )
        values += [outstanding, outstanding, created_at, created_at, delivery_id, space]
    limit = max(1, min(limit, MOST_ROWS))
    query = f"SELECT {_SELECTED}, conn_id {_FROM} WHERE {text} ORDER BY {conditions.order} LIMIT ?"
    rows = connection.execute(query, [*values, limit + 1]).fetchall()
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    key = [last["is_outstanding"], last["created_at"], last["delivery_id"], last["space"]]
    return rows[:limit], base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def all_rows(
    connection: sqlite3.Connection, conditions: Where
) -> Generator[sqlite3.Row, None, None]:
    """All of them, in the order of pages."""
    query = f"SELECT {_SELECTED}, conn_id {_FROM} WHERE {conditions} ORDER BY {_ORDER}"
    yield from connection.execute(query, conditions.values)


def counts(connection: sqlite3.Connection, conditions: Where) -> tuple[int, int, int]:
    """How many there are, how many of them are outstanding, and how many need attention."""
    query = (
        "SELECT COUNT(*), SUM(is_outstanding), SUM(needs_attention) FROM deliveries "
        f"WHERE {conditions}"
    )
    total, outstanding, attention = connection.execute(query, conditions.values).fetchone()
    return total, outstanding or 0, attention or 0


def one(connection: sqlite3.Connection, rights: Rights, delivery_id: str) -> sqlite3.Row | None:
    """A delivery that the user may see, or None."""
    conditions = Where(rights)
    conditions.add("delivery_id = ?", delivery_id)
    query = f"SELECT {_SELECTED}, conn_id {_FROM} WHERE {conditions} LIMIT 1"
    found: sqlite3.Row | None = connection.execute(query, conditions.values).fetchone()
    return found


def connection_to(connection: sqlite3.Connection, row: sqlite3.Row) -> str | None:
    """A connection that leads to a delivery's staging location: its own, or another one."""
    if row["conn_id"] is not None:
        return str(row["conn_id"])
    query = "SELECT MIN(conn_id) FROM connections WHERE space = ?"
    (found,) = connection.execute(query, (row["space"],)).fetchone()
    return None if found is None else str(found)


def facets(connection: sqlite3.Connection, rights: Rights) -> dict[str, list[str]]:
    """What there is to filter by."""
    conditions = Where(rights)

    def distinct(*names: str) -> list[str]:
        found: set[str] = set()
        for name in names:
            query = f"SELECT DISTINCT {name} FROM deliveries WHERE {conditions}"
            found.update(row[0] for row in connection.execute(query, conditions.values))
        return sorted(found - {None}, key=_numbers_first)

    return {
        "data_sources": distinct("data_source", "target_data_source"),
        "environments": distinct("environment"),
        "states": distinct("state", "standing"),
        "dags": distinct("dag_id"),
    }


def _numbers_first(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 62, name)


def _read_cursor(cursor: str) -> tuple[int, str, str, str]:
    try:
        outstanding, created_at, delivery_id, space = json.loads(
            base64.urlsafe_b64decode(cursor.encode())
        )
        return int(outstanding), str(created_at), str(delivery_id), str(space)
    except (TypeError, ValueError, binascii.Error):
        raise ConfigurationError(
            f"cursor: {cursor[:40]!r} is none that this page gave; begin without one"
        ) from None


def day_of(name: str, text: str) -> date:
    """A day as it was asked for; a time of day is passed over.

    :param name: the parameter, for the message.
    :raises ConfigurationError: when it is none.
    """
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise ConfigurationError(f"{name}: {text[:40]!r} is no day, as 2026-11-28") from None
