"""Reconciliation: what receipts say of one delivery, and what they leave open.

Page: inbound-receipt-message.md. A receipt's counts are totals over every file it lists, and a
delivery's files may be spread over several receipts. So a delivery's own counts are known when the
receipts that list its files list no others; otherwise only totals shared with others are. A file
that comes back in pieces is there when its records are, see :mod:`.accounts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.receipts.accounts import Listing, accounts_of
from airflow_am_provider.audience_manager.receipts.copies import without_copies
from airflow_am_provider.audience_manager.receipts.findings import (
    MAX_NAMED_FILES,
    differences_of,
    findings_of,
    warnings_of,
)
from airflow_am_provider.audience_manager.receipts.listed_names import ListedNames, SentNames
from airflow_am_provider.audience_manager.receipts.no_match import (
    NoMatch,
    read_no_match,
    together,
)
from airflow_am_provider.audience_manager.receipts.receipt import COUNT_LABELS, Receipt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


class Verdict(StrEnum):
    """What is known of a delivery."""

    PENDING = "pending"  # some of its files are in no receipt yet
    RECONCILED = "reconciled"  # as many records received as lines sent, of each file or group
    DISCREPANT = "discrepant"  # more or fewer of any
    SHARED = "shared"  # all files are acknowledged; counts are totals shared with other files
    UNCOUNTED = "uncounted"  # receipts list all files; one of them does not say how many records


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciliation:
    """One delivery held against receipts.

    :param verdict: what is known.
    :param exact: whether receipts list the delivery's files and no others.
    :param files: names as sent.
    :param covered: those that receipts list.
    :param missing: those that receipts do not list, or list in pieces that are not all there.
    :param in_part: those of the missing ones that receipts list in pieces.
    :param uncounted: those of the covered ones whose receipts do not say how many records they are
        about.
    :param receipts: the receipts that list any of them, copies left out; of each the names of this
        delivery alone.
    :param receipt_digests: identities of the whole receipts.
    :param shared_with: the other names on those receipts, sorted.
    :param counts: sums over those receipts, by field of :class:`Receipt`, when exact; empty
        otherwise. A count that one of them does not have is left out: it is unknown, not 0.
    :param shared_counts: the same sums when they are shared with other files; empty otherwise.
    :param no_match: how the count of records without a matching AAM ID is read; None when a
        receipt does not have it.
    :param lines_sent: lines of all files.
    :param discrepancy: records received less lines sent, when exact and nothing is missing. It may
        be 0 although files differ: one has lost what another one has too many.
    :param differences: where records received and lines sent do not fit, in sentences.
    :param rows_read: rows the source gave, if known.
    :param rows_written: rows that are in the files, if known.
    :param rows_set_aside: rows that are not, if known.
    :param findings: the same in sentences with figures.
    :param warnings: that all of it came to nothing, though it arrived, in sentences.
    """

    verdict: Verdict
    exact: bool
    files: tuple[str, ...]
    covered: tuple[str, ...]
    missing: tuple[str, ...]
    in_part: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...]
    receipt_digests: tuple[str, ...]
    shared_with: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)
    shared_counts: dict[str, int] = field(default_factory=dict)
    no_match: NoMatch | None = None
    lines_sent: int
    discrepancy: int | None
    differences: tuple[str, ...] = ()
    rows_read: int | None = None
    rows_written: int | None = None
    rows_set_aside: int | None = None
    findings: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether receipts cover every file."""
        return not self.missing

    def to_json(self) -> dict[str, object]:
        """Give it as plain JSON, with null for what is unknown.

        Names of other files are cut to the first `MAX_NAMED_FILES`; their number is given.
        """
        return {
            "verdict": str(self.verdict),
            "exact": self.exact,
            "files": list(self.files),
            "covered": list(self.covered),
            "missing": list(self.missing),
            "in_part": list(self.in_part),
            "uncounted": list(self.uncounted),
            "receipts": len(self.receipts),
            "receipt_digests": list(self.receipt_digests),
            "receipts_said": [receipt.to_json() for receipt in self.receipts],
            "shared_with": list(self.shared_with[:MAX_NAMED_FILES]),
            "shared_with_count": len(self.shared_with),
            "lines_sent": self.lines_sent,
            "counts": _all_counts(self.counts) if self.exact else None,
            "shared_counts": _all_counts(self.shared_counts) if self.shared_with else None,
            "no_match": None if self.no_match is None else str(self.no_match.reading),
            "no_match_lost": None if self.no_match is None else self.no_match.lost,
            "discrepancy": self.discrepancy,
            "differences": list(self.differences),
            "rows_read": self.rows_read,
            "rows_written": self.rows_written,
            "rows_set_aside": self.rows_set_aside,
            "findings": list(self.findings),
            "warnings": list(self.warnings),
        }


def reconcile(
    delivery: Mapping[str, int],
    receipts: Iterable[Receipt],
    *,
    rows_read: int | None = None,
    rows_written: int | None = None,
    rows_set_aside: int | None = None,
    other_files: Collection[str] = (),
    cross_device: Collection[int] = (),
) -> Reconciliation:
    """Hold a delivery against receipts.

    :param delivery: lines of each file, by the name under which it was sent, without folders.
    :param receipts: any receipts, in any order, copies and those of other deliveries among them.
    :param rows_read: rows the source gave.
    :param rows_written: rows that are in the files.
    :param rows_set_aside: rows that are not; with it, rows read = rows written + rows set aside.
    :param other_files: names sent in other deliveries; never taken for pieces of this one's files.
    :param cross_device: numbers of the data sources that are known to be cross-device.
    :raises DataError: when there is no file, a number of lines is none, names cannot be told apart
        or the rows do not add up.

    >>> receipt = Receipt(paths=("s3n://b/ftp_dpm_7_1368806402.sync",), records_received=1000)
    >>> found = reconcile({"ftp_dpm_7_1368806402.sync.gz": 1000}, [receipt, receipt])
    >>> found.verdict.value, found.exact, found.counts
    ('reconciled', True, {'records_received': 1000})
    """
    _check_delivery(delivery, rows_read, rows_written, rows_set_aside)
    sent = SentNames.of(delivery, other_files)
    relevant = without_copies(one for one in receipts if any(map(sent.match, one.files)))
    listed = ListedNames.of(sent, (name for receipt in relevant for name in set(receipt.files)))
    listings = [Listing.of(sent, receipt) for receipt in relevant]
    accounts = accounts_of(delivery, listings)
    totals = _sums(relevant)
    received, lines = totals.get("records_received"), sum(delivery.values())
    exact = bool(relevant) and not listed.others
    in_part = _files(one.outstanding for one in accounts)
    covered = _files(one.files - one.outstanding for one in accounts)
    uncounted = _files(one.files for one in accounts if not one.is_counted) & covered
    missing = [name for name in delivery if name not in covered]
    discrepancy = received - lines if exact and not missing and received is not None else None
    differences = tuple(differences_of(accounts))
    # Others' records only add to ours: a shared total below what was sent is short for sure.
    is_short = not missing and received is not None and received < lines
    result = Reconciliation(
        verdict=_verdict(
            missing, uncounted, exact=exact, is_discrepant=bool(differences) or is_short
        ),
        exact=exact,
        files=tuple(delivery),
        covered=tuple(name for name in delivery if name in covered),
        missing=tuple(missing),
        in_part=tuple(name for name in delivery if name in in_part),
        uncounted=tuple(name for name in delivery if name in uncounted),
        receipts=_own(sent, relevant),
        receipt_digests=tuple(sorted(receipt.digest for receipt in relevant)),
        shared_with=tuple(sorted(listed.others)),
        counts=totals if exact else {},
        shared_counts={} if exact else totals,
        no_match=together(
            read_no_match(one, own=_own_names(sent, one), cross_device=cross_device)
            for one in relevant
        ),
        lines_sent=lines,
        discrepancy=discrepancy,
        differences=differences,
        rows_read=rows_read,
        rows_written=rows_written,
        rows_set_aside=rows_set_aside,
        findings=(),
    )
    return replace(
        result,
        findings=tuple(findings_of(result, listed, relevant)),
        warnings=tuple(warnings_of(result)),
    )


def _verdict(
    missing: Collection[str], uncounted: Collection[str], *, exact: bool, is_discrepant: bool
) -> Verdict:
    if missing:
        return Verdict.PENDING
    if is_discrepant:
        return Verdict.DISCREPANT
    if uncounted:
        return Verdict.UNCOUNTED
    return Verdict.RECONCILED if exact else Verdict.SHARED


def _own(sent: SentNames, receipts: Iterable[Receipt]) -> tuple[Receipt, ...]:
    """Receipts without the names of other deliveries, in an order that is always the same."""
    ordered = sorted(receipts, key=lambda one: one.digest)
    return tuple(one.about(_own_names(sent, one)) for one in ordered)


def _own_names(sent: SentNames, receipt: Receipt) -> list[str]:
    """Those of a receipt's names that mean this delivery's files."""
    return [name for name in receipt.files if sent.match(name)]


def _files(groups: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*groups)


def _sums(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Add counts up; one that a receipt does not have is unknown for all of them."""
    counts = [receipt.counts for receipt in receipts]
    known = [name for name in COUNT_LABELS if counts and all(name in one for one in counts)]
    return {name: sum(one[name] for one in counts) for name in known}


def _all_counts(known: dict[str, int]) -> dict[str, int | None]:
    return {name: known.get(name) for name in COUNT_LABELS}


def _check_delivery(
    delivery: Mapping[str, int], read: int | None, written: int | None, set_aside: int | None
) -> None:
    if not delivery:
        raise DataError("delivery: no files, so there is nothing to reconcile")
    for name, lines in delivery.items():
        if lines < 0:
            raise DataError(
                f"delivery[{printable(name)!r}]: {lines!r} is not a number of lines from 0"
            )
    if read is None or written is None or set_aside is None:
        return
    if read != written + set_aside:
        raise DataError(
            f"delivery: {read} rows read are not {written} written + {set_aside} set aside"
        )
