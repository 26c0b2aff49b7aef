"""``airflow-am receipt``: what receipts say, and what they say of a delivery."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.receipts.no_match import Reading, read_no_match
from airflow_am_provider.audience_manager.receipts.reconciliation import (
    Reconciliation,
    Verdict,
    reconcile,
)
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS, TIME_LABELS
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.cli.receipt_files import read_receipt_file
from airflow_am_provider.cli.sources import place_of
from airflow_am_provider.cli.text import Colour, coloured, number, print_json, table
from airflow_am_provider.deliveries.manifest import Manifest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_am_provider.audience_manager.receipts.receipt import Receipt

_COLOURS: Final = {
    Verdict.RECONCILED: Colour.GOOD,
    Verdict.SHARED: Colour.DOUBTFUL,
    Verdict.UNCOUNTED: Colour.BAD,
    Verdict.PENDING: Colour.BAD,
    Verdict.DISCREPANT: Colour.BAD,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Read receipts, and with a manifest hold a delivery against them. Exit 0: all read, and "
        "the delivery is acknowledged without a discrepancy; 1: a file holds no receipt, or the "
        "delivery is not wholly acknowledged and counted; 2: wrong use."
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="A raw message (.eml), or its text or HTML saved by hand: a path or s3://bucket/key.",
    )
    parser.add_argument(
        "--manifest",
        metavar="M",
        help="Manifest of the delivery: manifest.json of a format task, or NAME.manifest.json of "
        "airflow-am format.",
    )
    parser.add_argument(
        "--cross-device",
        type=int,
        action="append",
        default=[],
        metavar="DPID",
        help="Number of a cross-device data source: it stores records that match no AAM ID. May "
        "be repeated.",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read the receipts and print what they say."""
    manifest = None if args.manifest is None else _read_manifest(args.manifest)
    receipts: list[Receipt] = []
    unreadable = False
    for path in args.files:
        try:
            receipts.append(read_receipt_file(place_of(path).at(path)))
        except DataError as error:
            print(f"airflow-am: {error}", file=sys.stderr)
            unreadable = True
    result = None if manifest is None else _reconciled(manifest, receipts, args.cross_device)
    if args.json:
        print_json(
            {
                "receipts": [receipt.to_json() for receipt in receipts],
                "reconciliation": None if result is None else result.to_json(),
            }
        )
    else:
        print(*_report(receipts, result, args.cross_device), sep="\n")
    is_bad = result is not None and _COLOURS[result.verdict] is Colour.BAD
    return 1 if unreadable or is_bad else 0


def _read_manifest(path: str) -> Manifest:
    with place_of(path).at(path).open() as file:
        return Manifest.from_json(file.read())


def _reconciled(
    manifest: Manifest, receipts: list[Receipt], cross_device: list[int]
) -> Reconciliation:
    return reconcile(
        manifest.lines_by_file,
        receipts,
        rows_read=manifest.rows_read,
        rows_written=manifest.rows_written,
        rows_set_aside=manifest.rows_set_aside,
        cross_device=cross_device,
    )


def _report(
    receipts: list[Receipt], result: Reconciliation | None, cross_device: list[int]
) -> Iterator[str]:
    for receipt in receipts:
        yield f"Receipt of partner {'-' if receipt.partner_id is None else receipt.partner_id}"
        yield from (f"  {path}" for path in receipt.paths)
        yield from (f"  {line}" for line in _figures(receipt, cross_device))
        no_match = read_no_match(receipt, cross_device=cross_device)
        doubts = [no_match.finding] if no_match is not None and no_match.finding else []
        for warning in (*receipt.warnings, *doubts):
            yield f"  {coloured('warning', Colour.DOUBTFUL)} {warning}"
        yield ""
    if result is not None:
        verdict = coloured(result.verdict.value, _COLOURS[result.verdict])
        yield (
            f"Delivery of {counted(len(result.files), 'file')}, "
            f"{counted(result.lines_sent, 'line')}: {verdict}"
        )
        for warning in result.warnings:
            yield f"  {coloured('warning', Colour.DOUBTFUL)} {warning}"
        yield from (f"  {finding}" for finding in result.findings)


def _figures(receipt: Receipt, cross_device: list[int]) -> list[str]:
    rows = [[COUNT_LABELS[name], number(count), ""] for name, count in receipt.counts.items()]
    no_match = read_no_match(receipt, cross_device=cross_device)
    if no_match is not None and no_match.count:
        place = list(receipt.counts).index("no_matching_aam_id")
        rows[place][2] = (
            f"{no_match.lost:,} lost"
            if no_match.reading is Reading.IN_PART
            else str(no_match.reading)
        )
    for name, label in TIME_LABELS.items():
        time = getattr(receipt, name)
        if time is not None:
            rows.append([label, f"{time:%Y-%m-%d %H:%M:%S} UTC", ""])
    return table(["", "count", ""], rows, right="count")[1:]
