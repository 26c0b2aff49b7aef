"""``airflow-am check``: do files follow Adobe's contract, by name and by content?"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.lines import Finding, Severity
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.deliveries import find_sources
from airflow_am_provider.cli.from_adobe import is_from_adobe, is_good, verdict_lines, verdicts_on
from airflow_am_provider.cli.shared_users import note_shared_users
from airflow_am_provider.cli.sources import Source
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
        "What Adobe sent counts, too: segment files and feeds, and the control file (.info) of a "
        "batch or an hour stands for all of its files.",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look at the files and print the verdicts."""
    sent, ours = list[Source](), list[Source]()
    for source in find_sources(args.paths):
        (sent if is_from_adobe(source.file_name) else ours).append(source)
    batches = list(verdicts_on(sent))
    verdicts = judge_all(ours)
    note_shared_users(verdicts)
    if args.json:
        files = {"files": [verdict.to_json() for verdict in verdicts]} if ours else {}
        print_json(files | ({"batches": batches} if sent else {}))
    else:
        print(*(_report(verdicts) if ours else ()), *_lines(batches), sep="\n")
    is_right = all(map(is_good, batches)) and all(verdict.ok for verdict in verdicts)
    return 0 if is_right else 1


def _lines(batches: list[dict[str, Any]]) -> Iterator[str]:
    for batch in batches:
        yield from verdict_lines(batch)


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
