"""``airflow-am outbound``: which batches Adobe sent, what they lack, and whether they are right."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.sources import S3, folder_at
from airflow_am_provider.cli.text import Colour, coloured, counted, number, print_json, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.outbound.arrival import Look, WantedBatches
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.layout import Layout
    from airflow_am_provider.outbound.sent_history import SentHistory
    from airflow_am_provider.storage import Folder

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
        help="Where Adobe puts its files: s3://bucket/prefix or a folder.",
    )
    if mode != _LIST:
        help_of = "The batch: the name that all of its files share, or that of its control file."
        add("batch", metavar="BATCH", nargs="?" if mode == _CHECK else None, help=help_of)
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
    if mode == _LIST:
        add(
            "--into",
            metavar="PLACE",
            help="Where OutboundLoadOperator puts Parquet files, to say which batches are loaded.",
        )
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
    target = None
    if args.into is not None:
        target = folder_at(args.into, asked_by="--into", may_be_new=True)
    rows = []
    for batch in sorted([*look.complete, *waiting], key=lambda one: one.batch_id):
        row = _facts(batch)
        row["state"] = "waiting" if batch in waiting else "complete"
        row["lacks"] = waiting.get(batch)
        if target is not None:
            row["loaded"] = _is_loaded(target, batch)
        rows.append(row)
    if args.json:
        print_json({"batches": rows, "notes": look.notes, "passed_over": look.passed_over})
        return int(bool(waiting))
    headers = ["batch", "made", "mode", "files", "bytes", "state"]
    headers += ["loaded"] if target is not None else []
    lines = table(headers, [_cells(row, headers) for row in rows], right="files bytes")
    lacks = [f"{row['batch']}: {row['lacks']}" for row in rows if row["lacks"]]
    nothing = [f"{printable(args.location)}: no batch is there"]
    print(*(lines if rows else nothing), *lacks, *look.notes, *look.passed_over, sep="\n")
    return int(bool(waiting))


def _show(args: argparse.Namespace, look: Look) -> int:
    batch = _batch(args.batch, look)
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
        print_json({**_facts(batch), "control_file": batch.control_path, "parts": files})
        return int(bool(batch.lacks))
    print(*(f"{name:13} {value}" for name, value in _facts(batch).items()), sep="\n")
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
    batches = look.complete if args.batch is None else (_batch(args.batch, look),)
    inbox = folder_at(args.location, asked_by=_LOCATION)
    layout = _layout(args)
    found = [_verdict(inbox, batch, layout) for batch in batches]
    if args.json:
        print_json({"batches": found})
    for verdict in () if args.json else found:
        for line in _verdict_lines(verdict):
            print(line)
    return int(any(verdict["problem"] or verdict["set_aside"] for verdict in found))


def _layout(args: argparse.Namespace) -> Layout:
    from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
    from airflow_am_provider.outbound.layout import Layout

    template = args.line_template
    return Layout(
        header_lines=args.header_lines,
        separator_spaces=args.separator_spaces,
        template=None if template is None else LineTemplate.parse(template),
    )


def _verdict(inbox: Folder, batch: Batch, layout: Layout) -> dict[str, Any]:
    from airflow_am_provider.outbound.counts import ReadCounts
    from airflow_am_provider.outbound.reading import read_batch

    counts, problem = ReadCounts(), "; ".join(batch.lacks) or None
    if problem is None:
        try:
            for _ in read_batch(inbox, batch, counts, layout):
                pass
        except AudienceManagerError as error:
            problem = str(error)
    return {
        **_facts(batch),
        "lines_read": counts.lines_read,
        "lines_good": counts.lines_loaded,
        "set_aside": dict(counts.set_aside),
        "examples": counts.examples,
        "reasons": [str(reason) for reason in counts.reasons()],
        "without_checksum": counts.unchecked,
        "problem": problem,
    }


def _verdict_lines(verdict: dict[str, Any]) -> Iterator[str]:
    is_good = not verdict["problem"] and not verdict["set_aside"]
    word = coloured("ok", Colour.GOOD) if is_good else coloured("WRONG", Colour.BAD)
    aside = sum(verdict["set_aside"].values())
    yield (
        f"{verdict['batch']}: {word}: {counted(verdict['lines_read'], 'line')} read = "
        f"{verdict['lines_good']:,} good + {aside:,} to be set aside"
    )
    if verdict["problem"]:
        yield f"  {verdict['problem']}"
    for reason in verdict["reasons"]:
        yield f"  {reason}"
    if verdict["without_checksum"]:
        files = counted(verdict["without_checksum"], "file")
        yield f"  {files} without a checksum that can be one; sizes are right"


def check_control_file(path: str, *, as_json: bool = False) -> int:
    """Check the batch of a control file, as ``airflow-am check`` does.

    :param path: the control file.
    :return: the exit code.
    """
    parser = argparse.ArgumentParser()
    _add_options(parser, _CHECK)
    folder, _, name = path.rpartition("/")
    args = parser.parse_args([folder or ".", name, *(["--json"] if as_json else [])])
    return _check(args, _look(args))


def _look(args: argparse.Namespace) -> Look:
    from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
    from airflow_am_provider.outbound.batches import NameForm

    form = NameForm(
        template=args.name_template,
        timestamp_digits=args.timestamp_digits,
        destination=args.destination,
    )
    wanted = WantedBatches(form=form, needs_control=not args.without_control_files)
    folder = folder_at(args.location, asked_by=_LOCATION)
    look = ArrivalWatch(folder, wanted, _history(args, wanted)).look()
    if args.location.startswith(S3) and next(iter(folder.list()), None) is None:
        # A directory can be empty; of a prefix that has no object, nothing says that it is one.
        raise ConfigurationError(
            f"{_LOCATION}: {printable(args.location)!r}: no object lies below it; check bucket and "
            f"prefix, if Audience Manager has sent something"
        )
    return look


def _history(args: argparse.Namespace, wanted: WantedBatches) -> SentHistory | None:
    conn_id = getattr(args, "api_conn_id", None)
    if conn_id is None:
        return None
    # Airflow takes its time to import, and is needed for connections only.
    from airflow_am_provider.hooks.outbound_inbox import sent_history

    return sent_history(conn_id, wanted)


def _batch(name: str, look: Look) -> Batch:
    wanted = name.rpartition("/")[2]
    for batch in (*look.complete, *(batch for batch, _ in look.waiting)):
        control = (batch.control_path or "").rpartition("/")[2]
        if wanted in (batch.batch_id, control):
            return batch
    raise ConfigurationError(
        f"{printable(name)!r}: there is no such batch; airflow-am outbound list shows all"
    )


def _facts(batch: Batch) -> dict[str, Any]:
    made = batch.timestamp
    return {
        "batch": batch.batch_id,
        "destination": batch.name.destination,
        "made": None if made is None else f"{made:%Y-%m-%d %H:%M:%S}",
        "mode": batch.mode,
        "files": len(batch.files),
        "bytes": batch.size,
    }


def _cells(row: dict[str, Any], headers: list[str]) -> list[str]:
    return [
        f"{row[name]:,}"
        if isinstance(row[name], int) and name != "loaded"
        else str(row[name] or "-")
        for name in headers
    ]


def _is_loaded(target: Folder, batch: Batch) -> str:
    from airflow_am_provider.outbound.parquet import loaded_version

    version = loaded_version(target, batch)
    if version is None:
        return "no"
    return "yes" if version == batch.version else "as it was before"
