"""``airflow-am outbound``: which batches Adobe sent, what they lack, and whether they are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.outbound.names import control_root, is_control_file
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.from_adobe import batch_verdict, facts_of, is_good, verdict_lines
from airflow_am_provider.cli.sources import S3, folder_at
from airflow_am_provider.cli.text import number, print_json, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from airflow_am_provider.outbound.arrival import Look, WantedBatches
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.layout import Layout
    from airflow_am_provider.outbound.sent_history import SentHistory

_LOCATION: Final = "LOCATION"
_LIST, _SHOW, _CHECK = "list", "show", "check"
_DESCRIPTIONS: Final = {
    _LIST: "which batches came, which wait for what, which days are missing, which are loaded",
    _SHOW: "the files of a batch",
    _CHECK: "read batches, and hold them against their control files and the layout",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Look at segment files that Audience Manager sent. "
        "Exit 0: nothing is missing or wrong; 1: something is; 2: wrong use."
    )
    kinds = parser.add_subparsers(dest="outbound_mode", metavar="list|show|check", required=True)
    for name, description in _DESCRIPTIONS.items():
        _add_options(kinds.add_parser(name, help=description), name)


def _add_options(parser: argparse.ArgumentParser, mode: str) -> None:
    add = parser.add_argument
    add(
        "location",
        metavar=_LOCATION,
        help="Where Adobe puts its files: s3://bucket/prefix or a folder; with --source-conn-id "
        "also sftp:///directory, ftps:///directory and ftp:///directory.",
    )
    if mode != _LIST:
        help_of = "The batch: the name that all of its files share, or that of its control file."
        add("batch", metavar="BATCH", nargs="?" if mode == _CHECK else None, help=help_of)
    add(
        "--source-conn-id",
        metavar="CONN_ID",
        help="Airflow connection that leads there; without it, S3 is reached by boto3's usual "
        "settings.",
    )
    add("--destination", type=int, help="ID of the destination whose batches count.")
    add(
        "--without-control-files",
        action="store_true",
        help="The account gets none: files are batches by their names.",
    )
    add(
        "--name-template",
        metavar="TEMPLATE",
        help="How names are made, in Adobe's macros; by default any form that its pages show.",
    )
    add(
        "--timestamp-digits",
        type=int,
        choices=(10, 13, 14),
        help="Digits of the timestamp, where names do not say which.",
    )
    if mode != _CHECK:
        add(
            "--into",
            metavar="PLACE",
            help="Where OutboundLoadOperator puts Parquet files, to say which batches are loaded.",
        )
        add(
            "--table",
            metavar="TABLE",
            help="The table that it loads batches into, for the same; with --conn-id.",
        )
        add("--conn-id", metavar="CONN_ID", help="Airflow connection of the table's database.")
    if mode == _LIST:
        add(
            "--api-conn-id",
            metavar="CONN_ID",
            help="Airflow connection of Adobe's REST API, whose outbound history is asked for what "
            "was sent and is not there; with --destination.",
        )
    if mode == _CHECK:
        add(
            "--header-lines",
            type=int,
            default=0,
            help="Lines at the begin of each file that are none of data.",
        )
        add(
            "--separator-spaces",
            type=int,
            help="Spaces between fields; by default what the lines show.",
        )
        add(
            "--line-template",
            metavar="TEMPLATE",
            help="How lines are made, in Adobe's macros; by default the basic layout.",
        )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look, and print what is there."""
    look = _look(args)
    if args.outbound_mode == _LIST:
        return _list(args, look)
    return _show(args, look) if args.outbound_mode == _SHOW else _check(args, look)


def _list(args: argparse.Namespace, look: Look) -> int:
    waiting = dict(look.waiting)
    batches = _by_name(look)
    loaded = _loaded(args, batches)
    rows = []
    for batch in batches:
        row = facts_of(batch)
        row["state"] = "waiting" if batch in waiting else "complete"
        row["lacks"] = waiting.get(batch)
        if loaded is not None:
            row["loaded"] = loaded[batch.batch_id]
        rows.append(row)
    is_whole = not (waiting or look.missing or look.not_here or look.in_no_batch)
    code = int(not (batches and is_whole))
    if args.json:
        print_json({"batches": rows, "notes": look.notes, "passed_over": look.passed_over})
        return code
    headers = ["batch", "made", "mode", "files", "bytes", "state"]
    headers += ["loaded"] if loaded is not None else []
    lines = table(headers, [_cells(row, headers) for row in rows], right="files bytes")
    lacks = [f"{row['batch']}: {row['lacks']}" for row in rows if row["lacks"]]
    print(*(lines if rows else [_nothing(args)]), *lacks, *look.notes, *look.passed_over, sep="\n")
    return code


def _show(args: argparse.Namespace, look: Look) -> int:
    batch = _batch(args.batch, look)
    loaded = _loaded(args, [batch])
    facts = facts_of(batch) | ({} if loaded is None else {"loaded": loaded[batch.batch_id]})
    files: list[dict[str, Any]] = [
        {
            "file": file.path,
            "lines": file.lines,
            "bytes": file.size,
            "there": None if file.found is None else file.found.size,
            "checksum": file.checksum,
        }
        for file in batch.files
    ]
    if args.json:
        print_json({**facts, "control_file": batch.control_path, "parts": files})
        return int(bool(batch.lacks))
    print(*(f"{name:13} {value}" for name, value in facts.items()), sep="\n")
    print(f"{'control file':13} {batch.control_path or 'none'}")
    headers = ["file", "lines", "bytes", "there", "checksum"]
    rows = [
        [
            str(file["file"]),
            number(file["lines"]),
            number(file["bytes"]),
            number(file["there"]),
            file["checksum"] or "-",
        ]
        for file in files
    ]
    print("", *table(headers, rows, right="lines bytes there"), sep="\n")
    print(*batch.lacks, *batch.remarks, sep="\n")
    return int(bool(batch.lacks))


def _check(args: argparse.Namespace, look: Look) -> int:
    batches, others = _checked(args, look)
    inbox = _inbox(args)
    layout = _layout(args)
    found = [batch_verdict(inbox, batch, layout) for batch in batches]
    if args.json:
        print_json({"batches": found, "passed_over": others})
    else:
        lines = [line for verdict in found for line in verdict_lines(verdict)]
        print(*([*lines, *others] or [_nothing(args)]), sep="\n")
    return int(not found or bool(others) or not all(map(is_good, found)))


def _checked(args: argparse.Namespace, look: Look) -> tuple[list[Batch], list[str]]:
    """The batches that are to be read, and what is in none of them though Adobe sent it."""
    if args.batch is not None:
        return [_batch(args.batch, look)], []
    return _by_name(look), list(look.in_no_batch)


def _by_name(look: Look) -> list[Batch]:
    return sorted(look.batches, key=lambda one: one.batch_id)


def _nothing(args: argparse.Namespace) -> str:
    return f"{printable(args.location)}: no batch is there"


def _layout(args: argparse.Namespace) -> Layout:
    from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
    from airflow_am_provider.outbound.layout import Layout

    template, spaces = args.line_template, args.separator_spaces
    if args.header_lines < 0:
        raise ConfigurationError(f"--header-lines {args.header_lines}: 0 or more is expected")
    if spaces is not None and spaces < 1:
        raise ConfigurationError(f"--separator-spaces {spaces}: 1 or more is expected")
    return Layout(
        header_lines=args.header_lines,
        separator_spaces=spaces,
        template=None if template is None else LineTemplate.parse(template),
    )


def _look(args: argparse.Namespace) -> Look:
    from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
    from airflow_am_provider.outbound.batches import NameForm

    form = NameForm(
        template=args.name_template,
        timestamp_digits=args.timestamp_digits,
        destination=args.destination,
    )
    wanted = WantedBatches(form=form, needs_control=not args.without_control_files)
    inbox = _inbox(args)
    look = ArrivalWatch(inbox, wanted, _history(args, wanted)).look()
    if args.location.startswith(S3) and next(iter(inbox.list()), None) is None:
        # A directory can be empty; of a prefix that has no object, nothing says that it is one.
        raise ConfigurationError(
            f"{_LOCATION}: {printable(args.location)!r}: no object lies below it; check bucket and "
            f"prefix, if Audience Manager has sent something"
        )
    return look


def _inbox(args: argparse.Namespace) -> Inbox:
    if args.source_conn_id is None:
        return folder_at(args.location, asked_by=_LOCATION)
    # Airflow takes its time to import, and is needed for connections only.
    from airflow_am_provider.hooks.outbound_inbox import open_inbox

    return open_inbox(args.location, args.source_conn_id, asked_by="--source-conn-id")


def _history(args: argparse.Namespace, wanted: WantedBatches) -> SentHistory | None:
    conn_id = getattr(args, "api_conn_id", None)
    if conn_id is None:
        return None
    from airflow_am_provider.hooks.outbound_inbox import sent_history

    return sent_history(conn_id, wanted)


def _batch(name: str, look: Look) -> Batch:
    wanted = name.rpartition("/")[2]
    for batch in look.batches:
        control = (batch.control_path or "").rpartition("/")[2]
        if wanted in (batch.batch_id, control):
            return batch
    for one in look.undecided:
        roots = {found.root for found in one.names}
        if control_root(wanted) in roots | {one.path.rpartition("/")[2]}:
            raise DataError(f"{printable(name)!r}: it is no batch yet: {one.why}")
    # A control file that cannot be read, and whose own name says no batch either.
    for why in look.passed_over:
        if is_control_file(wanted) and printable(wanted) in why:
            raise DataError(why)
    raise ConfigurationError(
        f"{printable(name)!r}: there is no such batch; airflow-am outbound list shows all"
    )


def _cells(row: dict[str, Any], headers: list[str]) -> list[str]:
    return [
        f"{row[name]:,}"
        if isinstance(row[name], int) and name != "loaded"
        else str(row[name] or "-")
        for name in headers
    ]


def _loaded(args: argparse.Namespace, batches: Sequence[Batch]) -> dict[str, str] | None:
    """Whether each batch is loaded, in a word or a few; None where nobody asks."""
    if args.table is None and args.conn_id is not None:
        raise ConfigurationError("--conn-id: it goes with --table")
    if args.into is None and args.table is None:
        return None
    found = _in_table(args, batches) if args.table is not None else _in_folder(args, batches)
    states: dict[str, str] = {}
    for batch in batches:
        version = found.get(batch.batch_id, {}).get("version")
        is_as_now = version == batch.version
        states[batch.batch_id] = "yes" if is_as_now else "as it was before" if version else "no"
    return states


def _in_folder(args: argparse.Namespace, batches: Sequence[Batch]) -> Mapping[str, dict[str, Any]]:
    from airflow_am_provider.outbound.parquet import loaded_report

    folder = folder_at(args.into, asked_by="--into", may_be_new=True)
    return {batch.batch_id: loaded_report(folder, batch) for batch in batches}


def _in_table(args: argparse.Namespace, batches: Sequence[Batch]) -> Mapping[str, dict[str, Any]]:
    if args.conn_id is None or args.into is not None:
        raise ConfigurationError("--table: it goes with --conn-id, and without --into")
    from airflow_am_provider.outbound.statements import Tables
    from airflow_am_provider.outbound.table import loaded_reports
    from airflow_am_provider.sources.database_hook import database_hook

    hook, tables = database_hook(args.conn_id, asked_by="--conn-id"), Tables(rows=args.table)
    names = [batch.batch_id for batch in batches]
    try:
        return loaded_reports(hook, tables, names, makes_table=False)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"--table: {tables.batches} cannot be read; OutboundLoadOperator makes it with its "
            f"first load. {error}"
        ) from None
