"""``airflow-am deliveries``: what was sent, how far it came, and what to do about it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.bars import bar
from airflow_am_provider.cli.delivery_text import (
    deliveries_table,
    delivery_document,
    delivery_lines,
)
from airflow_am_provider.cli.text import as_json, number
from airflow_am_provider.deliveries.records import (
    STATES_TO_ASK_FOR,
    DeliveryRecords,
    DeliveryState,
)
from airflow_am_provider.deliveries.target.state import ON_ITS_WAY
from airflow_am_provider.hooks.process_context import connections_of_the_database

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow_am_provider.deliveries.record import DeliveryRecord
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.storage import Folder

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
        " and picked_up; needs_attention for all in which nothing goes on before somebody has "
        "looked.",
    )
    parser.add_argument(
        "--target", metavar="DPID", help="Only deliveries that set traits of this data source."
    )
    parser.add_argument(
        "--dag", metavar="ID", help="Only deliveries that tasks of this DAG have formatted."
    )
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="Only deliveries that were staged on this day or later: a date, or a date and time, "
        "in ISO 8601; UTC where it names no zone.",
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
        states=args.state or (),
        target=args.target,
        dag=args.dag,
        since=None if args.since is None else _moment("--since", args.since),
        limit=args.limit,
    )
    if args.json:
        return as_json({"deliveries": [record.to_json() for record in records]})
    if not records:
        return "No such delivery."
    outstanding = sum(record.state in ON_ITS_WAY for record in records)
    total = f"{number(len(records))} in all, {number(outstanding)} outstanding"
    attention = sum(record.standing.needs_attention for record in records)
    if attention:
        total += f", {number(attention)} in need of attention (show DELIVERY says why)"
    return "\n".join([*deliveries_table(records), total])


def _show(args: argparse.Namespace) -> str:
    record = DeliveryRecords(_targets(args)).find(args.delivery_id)
    document = delivery_document(record)
    return as_json(document) if args.json else "\n".join(delivery_lines(record, document))


def _moment(option: str, text: str) -> datetime:
    """A date, or a date and time, in UTC where it names no zone.

    :raises ConfigurationError: when it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{option}: {text!r} is no date in ISO 8601, such as 2026-11-01"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _resend(args: argparse.Namespace) -> str:
    with bar():
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
    if args.json:
        return as_json(record.to_json())
    return "\n".join([*deliveries_table([record]), *more])


def _targets(args: argparse.Namespace) -> Targets:
    if args.conn_id:
        return _hook(args).targets()
    from airflow_am_provider.cli.sources import folder_at
    from airflow_am_provider.deliveries.targets import Targets

    return Targets(folder_at(args.staging, asked_by="--staging"))


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
