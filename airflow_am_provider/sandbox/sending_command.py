"""``airflow-am sandbox segments`` and ``feed``: what Audience Manager sends."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sandbox.event_feeds import Feed, FeedHabits, export_feed
from airflow_am_provider.sandbox.outboxes import (
    HOST_KEY_VARIABLE,
    PASSWORD_VARIABLE,
    Arrival,
    open_outbox,
)
from airflow_am_provider.sandbox.segment_files import (
    FULL,
    ITER,
    Destination,
    Habits,
    export_segments,
)

if TYPE_CHECKING:
    import argparse

_MOST_HOURS = 8 * 24


def add_segments(parser: argparse.ArgumentParser, late: str) -> None:
    """Add the options of ``airflow-am sandbox segments``.

    :param parser: of the subcommand.
    :param late: the default of what may stand before its name.
    """
    add = parser.add_argument
    add(
        "--database",
        type=Path,
        default=late,
        metavar="FILE",
        help="The sandbox's SQLite file, whose profiles are exported.",
    )
    _add_into(parser)
    add("--destination", type=int, required=True, help="ID of the destination.")
    add("--dpid", type=int, required=True, help="Data source whose IDs are in the files.")
    add(
        "--segment",
        action="append",
        required=True,
        metavar="SEGMENT:TRAIT,…",
        help="A segment, and the traits of which one is enough. May be repeated.",
    )
    add(
        "--sync-mode",
        choices=[FULL, ITER],
        default=FULL,
        help="full: everybody; iter: what has changed since the last export.",
    )
    add(
        "--time",
        metavar="TIME",
        help="The time in the files' names, such as 2026-01-31T14:00, in UTC unless it says "
        "something else. With one that was before, the same names come again, with what is so now. "
        "By default now.",
    )
    add(
        "--no-control-files",
        action="store_true",
        help="Send none, as to an account that gets none.",
    )
    add(
        "--seed",
        type=int,
        help="Draws what Adobe's pages leave open: parts, their numbers and order, spaces, control "
        "files. By default one gzip file, and its control file.",
    )
    _add_pause(parser)


def add_feed(parser: argparse.ArgumentParser, late: str) -> None:
    """Add the options of ``airflow-am sandbox feed``; parameters as for :func:`add_segments`."""
    add = parser.add_argument
    add(
        "--database",
        type=Path,
        default=late,
        metavar="FILE",
        help="The sandbox's SQLite file, whose devices come. Without it only --logins do.",
    )
    _add_into(parser)
    add("--dpid", type=int, required=True, help="Data source whose IDs pages declare.")
    add(
        "--integration-code",
        metavar="CODE",
        help="Its integration code, for pages that declare IDs by it and not by its number.",
    )
    add(
        "--logins",
        type=Path,
        metavar="FILE",
        help="IDs of customers who log in, one a line. Who has no device by an ID sync gets a UUID "
        "that follows from the ID.",
    )
    add(
        "--hour",
        required=True,
        metavar="TIME",
        help="The first hour that is sent, such as 2026-01-31T14, in UTC.",
    )
    add(
        "--hours",
        type=int,
        default=1,
        metavar="N",
        help="How many hours. Everybody comes at least once in them. (default: %(default)s)",
    )
    add(
        "--segment",
        action="append",
        default=[],
        metavar="SEGMENT:TRAIT,…",
        help="As for segments: what stands in the events. May be repeated.",
    )
    add(
        "--partner-id",
        type=int,
        default=late,
        metavar="N",
        help="Partner ID in the names of files.",
    )
    add(
        "--seed",
        type=int,
        help="Draws what Adobe's page leaves open: files and their names, nulls, new fields, "
        "checksums of parts, late events, how often the control file comes, the order. By default "
        "one file an hour, and its control file.",
    )
    _add_pause(parser)


def run_segments(args: argparse.Namespace) -> int:
    """Send segment files.

    :raises ConfigurationError: when an option is wrong.
    """
    if args.database is None or not args.database.is_file():
        raise ConfigurationError(f"--database {args.database}: there is no such file")
    destination = Destination(
        number=args.destination,
        dpid=args.dpid,
        segments=dict(traits_of(text, "--segment", "SEGMENT") for text in args.segment),
    )
    habits = Habits() if args.seed is None else Habits.drawn(args.seed)
    if args.no_control_files:
        habits = replace(habits, control=0)
    habits = replace(habits, arrival=_paused(habits.arrival, args))
    moment = datetime.now(UTC) if args.time is None else _moment("--time", args.time)
    with open_outbox(args.into) as outbox:
        root = export_segments(args.database, destination, args.sync_mode, moment, outbox, habits)
    sys.stdout.write(f"{root}\n")
    return 0


def run_feed(args: argparse.Namespace) -> int:
    """Send an event feed.

    :raises ConfigurationError: when an option is wrong.
    """
    if args.database is not None and not args.database.is_file():
        raise ConfigurationError(f"--database {args.database}: there is no such file")
    if not 1 <= args.hours <= _MOST_HOURS:
        raise ConfigurationError(
            f"--hours {args.hours}: 1 to {_MOST_HOURS} are possible; Adobe keeps feeds for 8 days"
        )
    feed = Feed(
        dpid=args.dpid,
        since=_moment("--hour", args.hour).replace(minute=0, second=0, microsecond=0),
        hours=args.hours,
        partner_id=args.partner_id,
        code=args.integration_code,
        logins=_lines(args.logins),
        segments=dict(traits_of(text, "--segment", "SEGMENT") for text in args.segment),
    )
    habits = FeedHabits() if args.seed is None else FeedHabits.drawn(args.seed)
    habits = replace(habits, arrival=_paused(habits.arrival, args))
    with open_outbox(args.into) as outbox:
        for hour in export_feed(args.database or ":memory:", feed, outbox, habits):
            sys.stdout.write(f"{hour.folder}: events {hour.events:,}, files {hour.files}\n")
    return 0


def traits_of(text: str, option: str = "--traits", of: str = "DPID") -> tuple[int, frozenset[str]]:
    """Read ``NUMBER:TRAIT,TRAIT,…``.

    :param option: the option that has it, for messages.
    :param of: what the number is, for messages.
    :raises ConfigurationError: when it is not written so.
    """
    number, _, traits = text.partition(":")
    numbers = [trait.strip() for trait in traits.split(",")]
    if not all(one.isascii() and one.isdigit() for one in (number, *numbers)):
        raise ConfigurationError(f"{option} {text!r}: {of}:TRAIT,TRAIT,… is needed")
    return int(number), frozenset(numbers)


def _add_into(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--into",
        required=True,
        metavar="PLACE",
        help="s3://BUCKET/PREFIX, sftp://USER@HOST:PORT/DIRECTORY, or a folder. For SFTP the "
        f"password stands in {PASSWORD_VARIABLE}, unless ssh has a key, and the host's public key "
        f"in {HOST_KEY_VARIABLE}, unless known_hosts has it.",
    )


def _add_pause(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pause",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="Time between two steps, so that what waits for the files sees each. "
        "(default: %(default)s)",
    )


def _paused(arrival: Arrival, args: argparse.Namespace) -> Arrival:
    if not 0 <= args.pause <= timedelta(days=1).total_seconds():
        raise ConfigurationError(f"--pause {args.pause}: 0 to 86400 seconds are possible")
    return replace(arrival, pause_s=args.pause)


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r}: a time such as 2026-01-31T14:00 is needed"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _lines(path: Path | None) -> list[str]:
    try:
        lines = [] if path is None else path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--logins {path}: {error}") from None
    return list(dict.fromkeys(line for line in lines if line))
