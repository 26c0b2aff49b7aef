"""Batches that Audience Manager sends: what several tasks noted of them, as one row each.

A task notes what it knows in a file of its own (:mod:`airflow_am_provider.outbound.notes`). Of what
the tasks of one DAG said of one day, here follows what is so.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.outbound.notes import NOTES, BatchState, read_note
from airflow_am_provider.plugins.page.answers import run_url, task_url
from airflow_am_provider.plugins.page.index import note, noted
from airflow_am_provider.plugins.page.places import Problem, sentence_of
from airflow_am_provider.plugins.page.queries import MOST_ROWS, Where

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_am_provider.outbound.notes import Fact
    from airflow_am_provider.plugins.page.access import Rights
    from airflow_am_provider.plugins.page.index import Index
    from airflow_am_provider.plugins.page.places import Place
    from airflow_am_provider.storage.folder import Folder, ListedFile

# What somebody has to look at comes first.
_ORDER: Final = "CASE state WHEN 'missing' THEN 0 WHEN 'arrived' THEN 1 ELSE 2 END, day DESC, batch"
_SHOWN: Final = ("batch", "day", "made_at", "mode", "files", "bytes", "since", "lacks", "url")
_COUNTED: Final = ("lines_read", "rows_loaded", "lines_set_aside", "set_aside")
_ORIGIN: Final = ("dag_id", "run_id", "task_id", "map_index")


def batches(connection: sqlite3.Connection, rights: Rights, state: str | None) -> dict[str, Any]:
    """Rows of the table, those that are missing first, and how many there are in all.

    :param state: only those; None for all.
    :raises ConfigurationError: when there is no such state.
    """
    if state and state not in (*BatchState,):
        raise ConfigurationError(f"state: {state!r} is none of {', '.join(BatchState)}")
    conditions = Where(rights)
    conditions.equal(state=state)
    (total,) = connection.execute(
        f"SELECT COUNT(*) FROM batches WHERE {conditions}", conditions.values
    ).fetchone()
    rows = connection.execute(
        f"SELECT answer FROM batches WHERE {conditions} ORDER BY {_ORDER} LIMIT {MOST_ROWS}",
        conditions.values,
    )
    return {"batches": [_with_links(json.loads(row["answer"])) for row in rows], "total": total}


def _with_links(answer: dict[str, Any]) -> dict[str, Any]:
    run = (answer["dag_id"], answer["run_id"])
    task = (answer["task_id"], answer["map_index"])
    return {**answer, "run_url": run_url(*run), "task_url": task_url(*run, *task)}


def read_notes(index: Index, place: Place) -> Iterator[Problem]:
    """Take over what is new among the notes of a staging location.

    The first time all of them are read; then what was written this month and the one before, where
    all that changes is.
    """
    staging, space = place.targets.staging, place.space
    once = _read_once(space)
    with index.open() as connection:
        is_known = noted(connection, once) is not None
        versions = {
            row["path"]: row["version"]
            for row in connection.execute(
                "SELECT path, version FROM outbound_notes WHERE space = ?", (space,)
            )
        }
    touched: set[tuple[str, str]] = set()
    is_whole = True
    for file in _listed(staging, this_month_alone=is_known):
        if versions.get(file.path) == _version(file):
            continue
        content = staging.read_bytes(file.path)
        if content is None:
            continue
        try:
            document = read_note(content, f"{staging.url}/{file.path}")
        except DataError as error:
            is_whole = False
            yield Problem(conn_id=place.conn_id, sentence=sentence_of(place.conn_id, error))
            continue
        with index.open() as connection:
            touched |= _write_facts(connection, space, file, document)
    with index.open() as connection:
        for dag_id, day in touched:
            _write_batches(connection, space, dag_id, day)
        if is_whole:
            note(connection, once, "read")


def forget_notes(connection: sqlite3.Connection, space: str) -> None:
    """Forget all of a staging location that no connection leads to any more."""
    for table in ("outbound_notes", "outbound_facts", "batches"):
        connection.execute(f"DELETE FROM {table} WHERE space = ?", (space,))
    connection.execute("DELETE FROM notes WHERE name = ?", (_read_once(space),))


def _read_once(space: str) -> str:
    """The name under which it is kept that all notes were read."""
    return f"{NOTES} {space}"


def _listed(staging: Folder, *, this_month_alone: bool) -> Iterator[ListedFile]:
    if not this_month_alone:
        yield from staging.list(f"{NOTES}/")
        return
    now = datetime.now(UTC)
    for month in (now.replace(day=1) - timedelta(days=1), now):
        yield from staging.list(f"{NOTES}/{month:%Y-%m}/")


def _version(file: ListedFile) -> str:
    # S3 tells whole seconds, in which a note may have been written twice.
    return f"{file.version}:{file.etag}"


def _write_facts(
    connection: sqlite3.Connection, space: str, file: ListedFile, document: dict[str, Any]
) -> set[tuple[str, str]]:
    """Put the facts of a note in the place of what it said before; of which DAG and days."""
    where = (space, file.path)
    days = {
        (row["dag_id"], row["day"])
        for row in connection.execute(
            "SELECT DISTINCT dag_id, day FROM outbound_facts WHERE space = ? AND path = ?", where
        )
    }
    connection.execute("DELETE FROM outbound_facts WHERE space = ? AND path = ?", where)
    origin = {name: document["origin"].get(name) for name in _ORIGIN}
    for fact in document["batches"]:
        day = fact["day"] or ""
        connection.execute(
            "INSERT INTO outbound_facts VALUES (?, ?, ?, ?, ?)",
            (*where, origin["dag_id"], day, json.dumps({**fact, **origin})),
        )
        days.add((origin["dag_id"], day))
    connection.execute(
        "INSERT OR REPLACE INTO outbound_notes VALUES (?, ?, ?)", (*where, _version(file))
    )
    return days


def _write_batches(connection: sqlite3.Connection, space: str, dag_id: str, day: str) -> None:
    where = (space, dag_id, day)
    condition = "WHERE space = ? AND dag_id = ? AND day = ?"
    facts = [
        json.loads(row["fact"])
        for row in connection.execute(f"SELECT fact FROM outbound_facts {condition}", where)
    ]
    connection.execute(f"DELETE FROM batches {condition}", where)
    connection.executemany(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (*where, fact["series"], fact.get("batch") or "", fact["state"], _answer(fact))
            for fact in merged(facts)
        ],
    )


def _answer(fact: Fact) -> str:
    return json.dumps(
        {
            "state": fact["state"],
            "destination": fact["series"].partition("_")[0] or None,
            "series": fact["series"] or None,
            **{name: fact.get(name) for name in (*_SHOWN, *_COUNTED, *_ORIGIN)},
        }
    )


def merged(facts: Iterable[Fact]) -> list[Fact]:
    """What is so of one day, of all that tasks of one DAG have said of it.

    :param facts: as notes have them, each with the task that says it.
    :return: one for each batch, and one for each day without any.
    """
    named: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    days: list[Fact] = []
    for fact in facts:
        if fact.get("batch"):
            named[fact["series"], fact["batch"]].append(fact)
        else:
            days.append(fact)
    found = [_of_batch(one) for one in named.values()]
    # First gaps between days that came: they tell the series, and a day that was asked for may not.
    for day in sorted(days, key=lambda one: (one["is_asked_for"], one["since"])):
        if not any(_is_of(day, other) for other in found):
            found.append(day)
    return found


def _of_batch(facts: Sequence[Fact]) -> Fact:
    """The state of one batch. Sent again under its name, it is loaded when that content is."""
    is_there = [fact for fact in facts if fact["state"] != BatchState.MISSING]
    newest = max(is_there, key=lambda fact: str(fact["since"]))["version"] if is_there else None
    current = [fact for fact in is_there if fact["version"] == newest]
    loaded = [fact for fact in current if fact["state"] == BatchState.LOADED]
    if loaded:
        # Whoever found it loaded already does not know how many rows it was.
        return min(loaded, key=lambda fact: (fact.get("rows_loaded") is None, fact["since"]))
    last = max((fact for fact in facts if fact not in is_there or fact in current), key=_since)
    return min((fact for fact in facts if _is_same(fact, last)), key=_since)


def _is_same(one: Fact, other: Fact) -> bool:
    names = ("state", "version", "lacks")
    return all(one.get(name) == other.get(name) for name in names)


def _since(fact: Fact) -> str:
    return str(fact["since"])


def _is_of(day: Fact, batch: Fact) -> bool:
    """Whether a day without a batch has one after all."""
    if not day["is_asked_for"]:
        return bool(day["series"] == batch["series"])
    return day["series"] in ("", batch["series"], batch["series"].partition("_")[0])
