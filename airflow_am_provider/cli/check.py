"""``airflow-am check``: do files follow Adobe's contract, by name and by content?"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.lines import Finding, Severity
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.outbound.names import is_control_file
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.deliveries import find_sources
from airflow_am_provider.cli.outbound import check_control_file
from airflow_am_provider.cli.shared_users import note_shared_users
from airflow_am_provider.cli.text import Colour, coloured, number, print_json, table
from airflow_am_provider.cli.verdict import Verdict, judge_all

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_LINES_SHOWN: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Say whether files follow Adobe's contract, by name and by content. "
        "Exit 0: no file has an error; 1: one has; 2: wrong use."
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="A file, a folder, the manifest of a delivery, s3://bucket/key or s3://bucket/prefix. "
        "The control file (.info) of a batch that Adobe sent stands for all of its files.",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look at the files and print the verdicts."""
    controls = [path for path in args.paths if is_control_file(path)]
    if not controls:
        return _check_files(args)
    # A control file stands for its batch of segment files from Audience Manager.
    codes = [check_control_file(path, as_json=args.json) for path in controls]
    args.paths = [path for path in args.paths if path not in controls]
    return max([*codes, *([_check_files(args)] if args.paths else [])])


def _check_files(args: argparse.Namespace) -> int:
    verdicts = judge_all(find_sources(args.paths))
    note_shared_users(verdicts)
    if args.json:
        print_json({"files": [verdict.to_json() for verdict in verdicts]})
    else:
        print(*_report(verdicts), sep="\n")
    return 0 if all(verdict.ok for verdict in verdicts) else 1


def _report(verdicts: list[Verdict]) -> Iterator[str]:
    lines = table(
        ["file", "kind", "lines", "bytes", "errors", "warnings", "verdict"],
        (_row(verdict) for verdict in verdicts),
        right="lines bytes errors warnings",
    )
    yield lines[0]
    for verdict, line in zip(verdicts, lines[1:], strict=True):
        yield coloured(line, _colour(verdict))
    for verdict in verdicts:
        if verdict.findings:
            yield ""
            yield printable_path(verdict)
            yield from _findings(verdict)


def _row(verdict: Verdict) -> list[str]:
    counts = {Severity.ERROR: 0, Severity.WARNING: 0}
    for rule, count in verdict.counts.items():
        counts[Finding(rule=rule).severity] += count
    return [
        printable_path(verdict),
        verdict.kind,
        number(verdict.lines),
        number(verdict.bytes),
        number(counts[Severity.ERROR]),
        number(counts[Severity.WARNING]),
        "ok" if verdict.ok else "not ok",
    ]


def _findings(verdict: Verdict) -> Iterator[str]:
    """One line for each rule: how often, on which lines, and what it says."""
    ordered = sorted(verdict.findings, key=lambda finding: (finding.severity, finding.rule))
    for rule, group in groupby(ordered, key=lambda finding: finding.rule):
        findings = list(group)
        severity = findings[0].severity
        numbers = [number(finding.line) for finding in findings if finding.line is not None]
        where = ""
        if numbers:
            more = ", …" if verdict.counts[rule] > _LINES_SHOWN else ""
            where = f" on {number(verdict.counts[rule])} lines ({', '.join(numbers[:5])}{more})"
            if verdict.counts[rule] == 1:
                where = f" on line {numbers[0]}"
        colour = Colour.BAD if severity is Severity.ERROR else Colour.DOUBTFUL
        yield f"  {coloured(severity.value, colour)} {rule.value}{where}: {findings[0].message}"


def printable_path(verdict: Verdict) -> str:
    """A file's path, and the name it is sent under where that is another one."""
    path, name = verdict.source.path, verdict.source.file_name
    return printable(path) if path.endswith(name) else f"{printable(path)} as {printable(name)}"


def _colour(verdict: Verdict) -> Colour:
    if not verdict.ok:
        return Colour.BAD
    return Colour.DOUBTFUL if verdict.findings else Colour.GOOD
