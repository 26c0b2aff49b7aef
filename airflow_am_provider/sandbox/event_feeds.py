r"""Customer Data Feeds from the sandbox's own profiles, sent as Adobe's page allows it.

Page: features/cdf-files.md. Each device that the sandbox knows visits once or more in the hours
that are sent, and so does each customer who logs in. The page with the login declares the
customer's ID: that is how pairs of a device and an ID come about, which an ID sync then carries. A
device of a customer whom no ID sync has named yet gets a UUID that follows from the ID.

What the page leaves open is drawn by a seed: how nulls are written, fields that are new, names of
files and of control files, whether checksums are of parts, late events, and the order of arrival.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from airflow_am_provider.audience_manager.outbound.feeds import (
    ELEMENT,
    FIELD,
    TIME_FORMAT,
    VALUE,
)
from airflow_am_provider.sandbox.database import connect
from airflow_am_provider.sandbox.outboxes import Arrival, Write, send

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from airflow_am_provider.sandbox.outboxes import Outbox

_UUID_DIGITS: Final = 38
#: The least that S3 takes for a part that is not the last.
_PART_BYTES: Final = 5 << 20
_NAMES: Final = ("AAM_CDF_{partner}_0_{number}_0.gz", "AAM_CDF_{partner}_{number:06d}_0.gz")
_CONTROL_NAMES: Final = ("AAM_CDF_{partner}.info", "AAM_CDF_{partner}_000000_0.info")
_REFERERS: Final = ("", "https://www.example.com/", "https%3A%2F%2Fwww.example.com%2Fa%3Fb%3Dc")
_DEVICES: Final = """
SELECT device.id, other.id FROM ids device
LEFT JOIN links ON links.master = device.key
LEFT JOIN ids other ON other.key = links.other AND other.dpid = :dpid
WHERE device.dpid = 0 ORDER BY 1, 2
"""
_TRAITS: Final = """
SELECT device.id, traits.trait FROM ids device
LEFT JOIN links ON links.master = device.key
JOIN traits ON traits.user IN (device.key, links.other)
WHERE device.dpid = 0 ORDER BY 1, 2
"""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What is sent.

    :param dpid: the data source whose IDs pages declare.
    :param since: the first hour, in UTC.
    :param hours: how many hours.
    :param partner_id: stands in the names of files.
    :param code: the data source's integration code, for pages that declare by it; None where they
        say its number.
    :param logins: IDs of customers who log in.
    :param segments: each segment's number, and the traits of which one is enough.
    """

    dpid: int
    since: datetime
    hours: int = 1
    partner_id: int = 7
    code: str | None = None
    logins: Sequence[str] = ()
    segments: Mapping[int, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FeedHabits:
    r"""What Adobe's page leaves open, for one export.

    :param seed: draws who comes when.
    :param files: into how many files an hour is cut.
    :param null: how a null is written: ``\N``, or ``/N`` as the page prints it.
    :param new_fields: how many fields that no page knows stand at the end.
    :param late: the share of events that lie in a later folder.
    :param visits: how often a device comes at most.
    :param by_parameters: whether IDs are declared as ``d_dpid`` with ``d_dpuuid``, and not as
        ``d_cid``.
    :param name: of files.
    :param control_name: of the control file.
    :param control: how often it comes.
    :param is_parted: whether checksums are ETags of uploads in parts.
    :param arrival: in which order and steps files appear.
    """

    seed: int = 0
    files: int = 1
    null: str = "\\N"
    new_fields: int = 0
    late: float = 0.0
    visits: int = 1
    by_parameters: bool = False
    name: str = _NAMES[0]
    control_name: str = _CONTROL_NAMES[0]
    control: int = 1
    is_parted: bool = False
    arrival: Arrival = field(default_factory=Arrival)

    @classmethod
    def drawn(cls, seed: int) -> FeedHabits:
        """Habits by chance."""
        chance = random.Random(seed)  # noqa: S311  # habits, not secrets
        return cls(
            seed=seed,
            files=chance.randrange(1, 4),
            null=chance.choice(("\\N", "/N")),
            new_fields=chance.choice((0, 0, 1, 2)),
            late=chance.choice((0.0, 0.1, 0.5)),
            visits=chance.randrange(1, 4),
            by_parameters=chance.random() < 0.3,
            name=chance.choice(_NAMES),
            control_name=chance.choice(_CONTROL_NAMES),
            control=chance.choice((1, 1, 2)),
            is_parted=chance.random() < 0.5,
            arrival=Arrival(
                begins_half=chance.random() < 0.3,
                order=chance.randrange(1 << 30),
                is_renamed=chance.random() < 0.2,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class SentHour:
    """An hour that was sent.

    :param folder: of the hour, ``day=2026-01-31/hour=14``.
    :param events: how many are in it.
    :param files: how many files.
    """

    folder: str
    events: int
    files: int


def export_feed(
    database: str | Path,
    feed: Feed,
    outbox: Outbox,
    habits: FeedHabits = FeedHabits(),  # frozen
) -> list[SentHour]:
    """Send the events of some hours. An hour in which nobody came has no folder.

    :param database: the sandbox's, or ``:memory:`` for customers who log in alone.
    :param feed: what.
    :param outbox: where it is sent.
    :param habits: what is left open.
    :raises TransientError: when the place cannot be reached.
    """
    connection = connect(database)
    try:
        visitors = list(_visitors(connection, feed))
    finally:
        connection.close()
    chance = random.Random(habits.seed)  # noqa: S311  # visits, not secrets
    hours: dict[datetime, list[str]] = {}
    for visitor in visitors:
        for _ in range(chance.randrange(1, habits.visits + 1)):
            moment = feed.since + timedelta(seconds=chance.randrange(feed.hours * 3600))
            line = _line(visitor, moment, feed, habits, chance)
            hours.setdefault(_folder_hour(moment, feed, habits, chance), []).append(line)
    writes: list[Write] = []
    sent = []
    for hour, lines in sorted(hours.items()):
        folder = f"day={hour:%Y-%m-%d}/hour={hour:%H}"
        files = _files(folder, lines, feed, habits)
        info = f"{folder}/{habits.control_name.format(partner=feed.partner_id)}"
        writes += files
        writes += [Write(path=info, content=_control(hour, files))] * habits.control
        sent.append(SentHour(folder=folder, events=len(lines), files=len(files)))
    send(outbox, writes, habits.arrival)
    return sent


@dataclass(frozen=True, kw_only=True)
class _Visitor:
    """A device, and who uses it as far as anybody says."""

    device: str
    dpuuid: str | None
    traits: Sequence[str] = ()


def _visitors(connection: sqlite3.Connection, feed: Feed) -> Iterator[_Visitor]:
    traits: dict[str, list[str]] = {}
    for device, trait in connection.execute(_TRAITS):
        traits.setdefault(device, []).append(trait)
    known: dict[str, set[str]] = {}
    for device, dpuuid in connection.execute(_DEVICES, {"dpid": feed.dpid}):
        known.setdefault(device, set()).update({dpuuid} - {None})
    for device, users in known.items():
        named: list[str | None] = [*sorted(users)]
        for user in named or [None]:
            yield _Visitor(device=device, dpuuid=user, traits=traits.get(device, ()))
    at_home = set().union(*known.values())
    for user in feed.logins:
        if user not in at_home:
            yield _Visitor(device=device_of(feed.dpid, user), dpuuid=user)


def device_of(dpid: int, dpuuid: str) -> str:
    """The UUID of the device on which a customer logs in who has none by an ID sync."""
    number = int(hashlib.sha256(f"{dpid}:{dpuuid}".encode()).hexdigest(), 16)
    return f"{number % 10**_UUID_DIGITS:0{_UUID_DIGITS}d}"


def _folder_hour(
    moment: datetime, feed: Feed, habits: FeedHabits, chance: random.Random
) -> datetime:
    """The folder that an event lies in: of its hour, or of a later one."""
    late = chance.randrange(1, 4) if chance.random() < habits.late else 0
    hour = (moment - feed.since) // timedelta(hours=1) + late
    return feed.since + timedelta(hours=min(hour, feed.hours - 1))


def _line(
    visitor: _Visitor, moment: datetime, feed: Feed, habits: FeedHabits, chance: random.Random
) -> str:
    traits = visitor.traits
    segments = [
        str(segment) for segment, wanted in feed.segments.items() if not wanted.isdisjoint(traits)
    ]
    realized = [trait for trait in traits if chance.random() < 0.5]  # some say it again
    fields = [
        moment.strftime(TIME_FORMAT),
        visitor.device,
        chance.choice(("", "17")),
        _array(realized),
        _array(segments),
        _parameters(visitor.dpuuid, feed, habits, chance),
        chance.choice(_REFERERS),
        chance.choice(("", "192.0.2.17")),
        chance.choice(("", device_of(0, visitor.device))),
        _array(segments),
        _array(traits),
    ]
    told = [value or habits.null for value in fields]
    return FIELD.join([*told, *(f"new-{number}" for number in range(habits.new_fields))])


def _array(values: Iterable[str]) -> str:
    return ELEMENT.join(values)


def _parameters(dpuuid: str | None, feed: Feed, habits: FeedHabits, chance: random.Random) -> str:
    pairs = [("d_rtbd", "json"), ("c_page", chance.choice(("home", "a%20basket")))]
    if dpuuid is not None:
        # As a page sends it in a URL.
        user = quote(dpuuid, safe="")
        if habits.by_parameters and feed.code is None:
            pairs += [("d_dpid", str(feed.dpid)), ("d_dpuuid", user)]
        else:
            state = chance.choice(("", "%011", "%011", "%010"))
            source = feed.code or str(feed.dpid)
            pairs.append(("d_cid_ic" if feed.code else "d_cid", f"{source}%01{user}{state}"))
    chance.shuffle(pairs)
    return ELEMENT.join(f"{key}{VALUE}{value}" for key, value in pairs)


def _files(folder: str, lines: Sequence[str], feed: Feed, habits: FeedHabits) -> list[Write]:
    files = []
    for number in range(min(habits.files, len(lines))):
        content = "".join(f"{line}\n" for line in lines[number :: habits.files]).encode()
        name = habits.name.format(partner=feed.partner_id, number=number)
        files.append(
            Write(
                path=f"{folder}/{name}",
                content=gzip.compress(content, 6, mtime=0),
                part_bytes=_PART_BYTES if habits.is_parted else None,
            )
        )
    return files


def _control(hour: datetime, files: Sequence[Write]) -> bytes:
    listed = [
        {
            "FileByteSize": len(file.content),
            "FileChecksumMD5": file.etag,
            "FileName": file.path.rpartition("/")[2],
            "FileSequenceNumber": number,
        }
        for number, file in enumerate(files, start=1)
    ]
    totals = {
        "Day": f"{hour:%Y-%m-%d}",
        "Hour": f"{hour:%H}",
        # "For that date", says the page, and its sample has far more than its files.
        "TotalByteSize": sum(len(file.content) for file in files) * 24,
        "TotalNumberFiles": len(files),
    }
    return json.dumps({"Files": listed, "Totals": totals}, indent=4).encode()
