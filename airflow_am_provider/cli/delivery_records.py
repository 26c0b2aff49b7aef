"""``airflow-am deliveries``: what was sent, how far it came, and what to do about it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.text import Colour, as_json, coloured, number, table
from airflow_am_provider.deliveries.records import (
    STATES_TO_ASK_FOR,
    DeliveryRecord,
    DeliveryRecords,
    DeliveryState,
)
from airflow_am_provider.deliveries.target.state import ON_ITS_WAY
from airflow_am_provider.hooks.process_context import connections_of_the_database

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.storage import Folder

_HEADERS: Final = (
    "delivery",
    "target",
    "window",
    "state",
    "since",
    "read",
    "written",
    "aside",
    "received",
    "stored",
)
_COLOURS: Final = {
    DeliveryState.RECONCILED: Colour.GOOD,
    DeliveryState.ACKNOWLEDGED: Colour.GOOD,
    DeliveryState.FAILED: Colour.BAD,
    DeliveryState.ABANDONED: Colour.BAD,
}
# What these do depends on the destination, which a staging location alone does not tell.
_AT_THE_DESTINATION: Final = ("resend", "confirm", "rename")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Show the records of deliveries in staging, and act on them. Exit 0: done; 1: not done, "
        "something has to be processed first; 2: wrong use, there is no such delivery, or it is "
        "refused."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary, add in (
        ("list", "list deliveries, the newest last", _add_list),
        ("show", "show one delivery, and what went before and after it", _add_id),
        ("resend", "send the very same bytes again under the same names", _add_resend),
        ("abandon", "give a delivery up: it is neither sent nor waited for", _add_abandon),
        ("confirm", "say that a file at the destination is the delivery's own", _add_confirm),
        ("rename", "say that a file at the destination is somebody else's", _add_id),
        ("clean", "delete parts of what was acknowledged long enough ago", _add_clean),
    ):
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        add(action)
        where = action.add_mutually_exclusive_group(required=True)
        where.add_argument(
            "--conn-id",
            metavar="ID",
            help="Airflow connection of the type audience_manager. Airflow looks for it in "
            "AIRFLOW_CONN_…, in a secrets backend and in its database.",
        )
        if name not in _AT_THE_DESTINATION:
            where.add_argument(
                "--staging",
                metavar="URL",
                help="Staging location, in place of the connection: s3://bucket/prefix or a path.",
            )
        add_json(action)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for, and print what came of it."""
    # Airflow logs to standard output, which is for the answer.
    with redirect_stdout(sys.stderr), connections_of_the_database():
        printed = _answer(args)
    print(printed)
    return 0


def _answer(args: argparse.Namespace) -> str:
    actions: dict[str, Callable[[argparse.Namespace], str]] = {
        "list": _list,
        "show": _show,
        "resend": _resend,
        "abandon": _abandon,
        "confirm": _confirm,
        "rename": _rename,
        "clean": _clean,
    }
    return actions[args.action](args)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "delivery_id",
        metavar="DELIVERY",
        help="ID of the delivery, as in the output of list and in the task logs.",
    )


def _add_resend(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="Send it although newer data of its target was sent. Send the newer data again "
        "afterwards.",
    )


def _add_abandon(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument(
        "--reason",
        required=True,
        help="Why the delivery is given up, in a sentence for those who look later.",
    )


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        action="append",
        choices=STATES_TO_ASK_FOR,
        help="Only deliveries in this state. May be repeated. outstanding stands for sending, sent"
        " and picked_up.",
    )
    parser.add_argument(
        "--target", metavar="DPID", help="Only deliveries that set traits of this data source."
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="At most so many deliveries of each target, the newest ones. By default all.",
    )


def _list(args: argparse.Namespace) -> str:
    targets = _targets(args)
    _check_used(targets.staging)
    records = DeliveryRecords(targets).matching(
        states=args.state or (), target=args.target, limit=args.limit
    )
    if args.json:
        return as_json({"deliveries": [record.to_json() for record in records]})
    if not records:
        return "No such delivery."
    outstanding = sum(record.state in ON_ITS_WAY for record in records)
    total = f"{number(len(records))} in all, {number(outstanding)} outstanding"
    return "\n".join([*_table(records), total])


def _show(args: argparse.Namespace) -> str:
    record = DeliveryRecords(_targets(args)).find(args.delivery_id)
    document = {
        **record.to_json(),
        "files": record.manifest.lines_by_file,
        "queue": _queue(record),
        **_said(record),
    }
    if args.json:
        return as_json(document)
    lines = _table([record])
    lines += _signs(document["signs"], document["disagreements"])
    for name in ("reason", "begun_at", "sent_at", "verdict", "location"):
        if document[name]:
            lines.append(f"{name}: {document[name]}")
    for file_name, count in record.manifest.lines_by_file.items():
        lines.append(f"file: {file_name}, {counted(count, 'line')}")
    for entry in document["queue"]:
        mark = "this one" if entry["delivery_id"] == args.delivery_id else entry["delivery_id"]
        lines.append(f"queue {entry['number']}: {mark}, {entry['state']}, {entry['window']}")
    return "\n".join(lines)


def _said(record: DeliveryRecord) -> dict[str, Any]:
    """What each sign said of the last sending, when its sensor looked last."""
    found = record.reconciliation or {}
    return {name: found.get(name) or [] for name in ("signs", "disagreements")}


def _signs(signs: Iterable[dict[str, Any]], disagreements: Iterable[str]) -> Iterator[str]:
    for sign in signs:
        said = [
            f"{sign[name]} {name.replace('_', ' ')}"
            for name in ("counted", "processed", "picked_up")
        ]
        figures = [f"{name} {number(count)}" for name, count in sign["figures"].items()]
        yield f"{sign['sign']}: files {', '.join([*said, *figures])}"
    for sentence in disagreements:
        yield f"signs disagree: {sentence}"


def _resend(args: argparse.Namespace) -> str:
    record = _hook(args).resend(args.delivery_id, force=args.force)
    advice = "Clear the task that waits for its receipt: it waits for that of the last sending."
    return _told(record, args, advice)


def _abandon(args: argparse.Namespace) -> str:
    if args.staging is not None:
        # Where it goes is not known, so nothing is tidied up there.
        records = DeliveryRecords(_targets(args))
        return _told(records.end(args.delivery_id, DeliveryState.ABANDONED, args.reason), args)
    return _told(_hook(args).abandon(args.delivery_id, args.reason), args)


def _add_confirm(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument(
        "file_name", metavar="FILE", help="Name of the file, as in the upload's log."
    )


def _confirm(args: argparse.Namespace) -> str:
    from airflow_am_provider.deliveries.uploads.sending import confirm_part

    record = confirm_part(_hook(args), args.delivery_id, args.file_name)
    return _told(record, args, "Clear the upload: it goes on with the other files.")


def _rename(args: argparse.Namespace) -> str:
    from airflow_am_provider.deliveries.uploads.sending import rename_delivery

    hook = _hook(args)
    record = DeliveryRecords(hook.targets()).find(args.delivery_id)
    renamed = rename_delivery(hook.targets(), record.manifest)
    again = DeliveryRecords(hook.targets()).find(args.delivery_id)
    return _told(again, args, f"Clear the upload: it is sent as {renamed.file_name}.")


def _add_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--retention",
        required=True,
        metavar="DAYS",
        help="How long to keep files after the acknowledgement: a number of days, or a text such "
        "as P30D or P4W. At least one day.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Count only, and delete nothing.")


def _clean(args: argparse.Namespace) -> str:
    from airflow_am_provider.deliveries.cleaning import clean, retention_of

    retention = retention_of("--retention", args.retention)
    targets = _targets(args)
    _check_used(targets.staging)
    cleaned = clean(targets, retention, now=datetime.now(UTC), dry_run=args.dry_run)
    return as_json(cleaned.to_json()) if args.json else str(cleaned)


def _told(record: DeliveryRecord, args: argparse.Namespace, *more: str) -> str:
    return as_json(record.to_json()) if args.json else "\n".join([*_table([record]), *more])


def _queue(record: DeliveryRecord) -> list[dict[str, Any]]:
    """The queue of its target: what has its place and is not done with, first come first."""
    return [
        {
            "number": number,
            "delivery_id": entry.delivery_id,
            "sending": 1 if entry.sending is None else entry.sending.number,
            "mode": None if entry.mode is None else str(entry.mode),
            "window": str(entry.window),
            "state": str(entry.state),
            "since": entry.since,
        }
        for number, entry in enumerate(record.target.state().queued(), start=1)
    ]


def _table(records: Iterable[DeliveryRecord]) -> list[str]:
    return table(_HEADERS, list(map(_row, records)), right="read written aside received stored")


def _row(record: DeliveryRecord) -> list[str]:
    facts = record.to_json()
    return [
        facts["delivery_id"],
        facts["target"],
        f"{_short(facts['window_start'])} to {_short(facts['window_end'])}",
        coloured(str(record.state), _COLOURS.get(record.state, Colour.DOUBTFUL)),
        _short(record.since),
        *(number(facts[name]) for name in ("rows_read", "rows_written", "rows_set_aside")),
        *(number(facts[name]) for name in ("records_received", "stored_records")),
    ]


def _short(moment: str | None) -> str:
    """A moment to the minute; midnight as the day.

    >>> _short("2026-03-01T00:00:00+00:00"), _short("2026-03-01T04:05:06+00:00"), _short(None)
    ('2026-03-01', '2026-03-01 04:05', '…')
    """
    if moment is None:
        return "…"
    day, _, time = moment.partition("T")
    return day if time.startswith("00:00:00") else f"{day} {time[:5]}"


def _targets(args: argparse.Namespace) -> Targets:
    if args.conn_id:
        return _hook(args).targets()
    from airflow_am_provider.deliveries.targets import Targets

    return Targets(_staging(args))


def _staging(args: argparse.Namespace) -> Folder:
    from airflow_am_provider.cli.sources import S3, s3_client
    from airflow_am_provider.storage import LocalFolder, S3Folder

    if not args.staging.startswith(S3):
        from pathlib import Path

        folder = Path(args.staging).absolute()
        if not folder.is_dir():
            raise ConfigurationError(f"--staging: {args.staging!r}: there is no such folder")
        return LocalFolder(folder)
    bucket, _, prefix = args.staging.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigurationError(f"--staging: {args.staging!r}: s3://bucket/prefix is expected")
    return S3Folder(s3_client(bucket), bucket, prefix)


def _check_used(staging: Folder) -> None:
    """Tell a mistyped location from one where no delivery is left."""
    if next(iter(staging.list("deliveries/")), None) is None:
        raise ConfigurationError(
            f"{printable(staging.url)!r}: no delivery was ever staged there; the staging location "
            f"is the folder in which deliveries/ lies"
        )


def _hook(args: argparse.Namespace) -> AudienceManagerHook:
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.hooks.connections import get_connection

    try:
        get_connection(args.conn_id, asked_by="--conn-id")
    except ConfigurationError as error:
        from airflow.configuration import AIRFLOW_HOME

        raise ConfigurationError(
            f"{error}. AIRFLOW_HOME is {AIRFLOW_HOME}: is that your Airflow, and is its database "
            f"to be reached from here?"
        ) from None
    return AudienceManagerHook(args.conn_id)
