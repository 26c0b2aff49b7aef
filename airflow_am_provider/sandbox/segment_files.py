"""Segment files from the sandbox's own profiles, sent as Adobe's pages allow it.

Pages: outbound-file-name-contents.md, transfer-control-files.md. A destination has segments, each
by a rule over traits. A full file has everybody, an incremental one what has changed since the last
export; the first incremental one equals a full one. What the pages leave open is drawn by a seed:
how many parts there are and how these are numbered, whether the control file comes first, last,
twice or not at all, whether it is JSON, which mode its name says, and in which order files appear.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sandbox.database import connect, transaction
from airflow_am_provider.sandbox.outboxes import Arrival, Write, send

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from airflow_am_provider.sandbox.outboxes import Outbox

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS exported (
    destination INTEGER NOT NULL, id TEXT NOT NULL, segment INTEGER NOT NULL,
    PRIMARY KEY (destination, id, segment)) WITHOUT ROWID;
"""
FULL, ITER = "full", "iter"
_FORMS: Final = ("number", "hyphen")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """What is exported, and to whom.

    :param number: the destination's ID.
    :param dpid: the data source whose IDs are in the files.
    :param segments: each segment's number, and the traits of which one is enough.
    """

    number: int
    dpid: int
    segments: Mapping[int, frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What Adobe's pages leave open, for one export.

    :param parts: into how many files it is cut.
    :param form: parts are numbered ``number`` (``…000001.sync``) or ``hyphen`` (``…-1.sync``).
    :param spaces: between fields.
    :param is_packed: whether files are gzip.
    :param control: how often the control file comes: 0, 1 or 2 times.
    :param is_json: whether it is JSON; the page's example is not.
    :param says_other_mode: whether its name has another mode than its files.
    :param says_all: whether an incremental line has all segments of a user who has changed, or
        those that came.
    :param arrival: in which order and steps files appear.
    """

    parts: int = 1
    form: str = "number"
    spaces: int = 1
    is_packed: bool = True
    control: int = 1
    is_json: bool = True
    says_other_mode: bool = False
    says_all: bool = True
    arrival: Arrival = field(default_factory=Arrival)

    @classmethod
    def drawn(cls, seed: int) -> Habits:
        """Habits by chance."""
        chance = random.Random(seed)  # noqa: S311  # habits, not secrets
        return cls(
            parts=chance.randrange(1, 5),
            form=chance.choice(_FORMS),
            spaces=chance.choice((1, 2)),
            is_packed=chance.random() < 0.7,  # shares of what pages show
            control=chance.choice((1, 1, 2)),
            is_json=chance.random() < 0.5,
            says_other_mode=chance.random() < 0.3,
            says_all=chance.random() < 0.5,
            arrival=Arrival(
                begins_half=chance.random() < 0.3,
                order=chance.randrange(1 << 30),
                is_renamed=chance.random() < 0.2,
            ),
        )


def export_segments(
    database: str | Path,
    destination: Destination,
    mode: str,
    moment: datetime,
    outbox: Outbox,
    habits: Habits = Habits(),  # frozen
) -> str:
    """Send a destination's segments.

    :param database: the sandbox's.
    :param destination: what, and to whom.
    :param mode: ``full`` or ``iter``.
    :param moment: the time in the names.
    :param outbox: where they are sent.
    :param habits: what is left open.
    :return: the name that all files of the batch share.
    :raises ConfigurationError: when the mode is none.
    """
    if mode not in (FULL, ITER):
        raise ConfigurationError(f"mode: {mode!r} is none of 'full', 'iter'")
    connection = connect(database)
    try:
        connection.executescript(_TABLE)
        with transaction(connection):
            now = _members(connection, destination)
            before = _exported(connection, destination)
            _remember(connection, destination, now)
    finally:
        connection.close()
    lines = list(_lines(now, before, mode, habits))
    stamp = int(moment.timestamp() * 1000)
    root = f"S3_{destination.number}_{destination.dpid}_{mode}_{stamp}"
    files = _files(root, lines, habits)
    other = root.replace(f"_{mode}_", f"_{ITER if mode == FULL else FULL}_")
    info = f"{other if habits.says_other_mode else root}.info"
    writes = [Write(path=name, content=content) for name, (content, _) in files.items()]
    writes += [Write(path=info, content=_control(root, files, habits))] * habits.control
    send(outbox, writes, habits.arrival)
    return root


def _members(connection: sqlite3.Connection, destination: Destination) -> dict[str, frozenset[int]]:
    """Who is in which segment now."""
    of_trait: dict[str, set[int]] = {}
    for segment, traits in destination.segments.items():
        for trait in traits:
            of_trait.setdefault(trait, set()).add(segment)
    found: dict[str, set[int]] = {}
    for user, trait in connection.execute(
        """SELECT ids.id, traits.trait FROM traits JOIN ids ON ids.key = traits.user
        WHERE ids.dpid = ? AND traits.trait IN (SELECT value FROM json_each(?)) ORDER BY 1""",
        (destination.dpid, json.dumps(list(of_trait))),
    ):
        found.setdefault(user, set()).update(of_trait[trait])
    return {user: frozenset(segments) for user, segments in found.items()}


def _exported(
    connection: sqlite3.Connection, destination: Destination
) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for user, segment in connection.execute(
        "SELECT id, segment FROM exported WHERE destination = ? ORDER BY 1", (destination.number,)
    ):
        found.setdefault(user, set()).add(segment)
    return {user: frozenset(segments) for user, segments in found.items()}


def _remember(
    connection: sqlite3.Connection, destination: Destination, now: Mapping[str, frozenset[int]]
) -> None:
    connection.execute("DELETE FROM exported WHERE destination = ?", (destination.number,))
    connection.executemany(
        "INSERT INTO exported VALUES (?, ?, ?)",
        (
            (destination.number, user, segment)
            for user, segments in now.items()
            for segment in segments
        ),
    )


def _lines(
    now: Mapping[str, frozenset[int]],
    before: Mapping[str, frozenset[int]],
    mode: str,
    habits: Habits,
) -> Iterator[str]:
    gap = " " * habits.spaces
    nothing: frozenset[int] = frozenset()
    users = now if mode == FULL else dict.fromkeys([*now, *before])
    for user in users:
        here, there = now.get(user, nothing), before.get(user, nothing)
        removed = there - here
        if mode == ITER and here == there:
            continue
        shown = here if mode == FULL or habits.says_all else here - there
        listed = ",".join(map(str, sorted(shown)))
        line = f"{user}{gap}{listed}"
        # A user who is in no segment any more has an empty list between two gaps.
        yield f"{line}{gap}{','.join(map(str, sorted(removed)))}" if removed else line


def _files(root: str, lines: list[str], habits: Habits) -> dict[str, tuple[bytes, int]]:
    """The parts: name to content and lines."""
    extension = ".sync.gz" if habits.is_packed else ".sync"
    files = {}
    for number in range(habits.parts):
        mine = lines[number :: habits.parts]
        content = "".join(f"{line}\n" for line in mine).encode()
        if habits.form == "hyphen":
            name = f"{root}-{number + 1}{extension}"
        else:
            name = f"{root}{f'{number:03d}' if number else ''}{extension}"
        packed = gzip.compress(content, 6, mtime=0) if habits.is_packed else content
        files[name] = (packed, len(mine))
    return files


def _control(root: str, files: Mapping[str, tuple[bytes, int]], habits: Habits) -> bytes:
    listed = [
        {
            "FileByteSize": len(content),
            "FileLineCount": lines,
            "FileName": name,
            "FileSequenceNumber": number,
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        }
        for number, (name, (content, lines)) in enumerate(files.items(), start=1)
    ]
    totals = {
        "FileName": f"{root}.sync",
        "TotalByteSize": sum(len(content) for content, _ in files.values()),
        "TotalNumberFiles": len(files),
        "TotalNumberLines": sum(lines for _, lines in files.values()),
    }
    text = json.dumps({"Files": listed, "Totals": totals}, indent=2)
    if not habits.is_json:
        for key in ("Files", "Totals", *listed[0], *totals):
            text = text.replace(f'"{key}":', f"{key}:")
    return text.encode()
