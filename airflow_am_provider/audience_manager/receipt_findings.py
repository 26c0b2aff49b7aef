"""Says in sentences what a reconciliation found, with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.receipt_text import COUNT_LABELS, RECEIPT_PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airflow_am_provider.audience_manager.listed_names import ListedNames
    from airflow_am_provider.audience_manager.receipts import Receipt
    from airflow_am_provider.audience_manager.reconciliation import Reconciliation

# Counts of lines and traits that did not end as data (inbound-receipt-message.md).
LOSSES: Final = (
    "format_errors",
    "invalid_aam_id",
    "invalid_device_id",
    "no_matching_aam_id",
    "no_trait_realized",
    "total_traits_failed_validation",
    "total_users_failed_validation",
)
# A sentence or a JSON document names so many files and then says how many more there are.
MAX_NAMED_FILES: Final = 20


def findings_of(
    found: Reconciliation, listed: ListedNames, receipts: Sequence[Receipt]
) -> Iterator[str]:
    """Give the findings, the weightiest first."""
    yield from _coverage(found, listed)
    yield from _lines(found)
    yield from _twice(listed)
    if listed.strays:
        yield (
            f"receipts list {_names(sorted(listed.strays))}, named like parts of this delivery "
            f"that were never sent"
        )
    totals = found.counts if found.exact else found.shared_counts
    received = totals.get("records_received")
    of = "" if received is None else f" of {received:,} records received"
    for name in LOSSES:
        if totals.get(name):
            yield f"{COUNT_LABELS[name]}: {totals[name]:,}{of}{shared_note(found)}"
    for warning in sorted({warning for receipt in receipts for warning in receipt.warnings}):
        yield f"receipt: {warning}"


def shared_note(found: Reconciliation) -> str:
    """Say, behind a figure, that it is a total shared with other files; nothing when it is not."""
    if not found.shared_with:
        return ""
    return f" (a total shared with {_files(len(found.shared_with))} of other deliveries)"


def _coverage(found: Reconciliation, listed: ListedNames) -> Iterator[str]:
    unlisted = [name for name in found.missing if name not in listed.pieces]
    if unlisted:
        yield (
            f"in no receipt yet: {len(unlisted)} of {_files(len(found.files))}: {_names(unlisted)}"
        )
    for name in found.missing:
        if name in listed.pieces:
            pieces = ", ".join(map(str, sorted(listed.pieces[name])))
            yield f"{printable(name)} is acknowledged in pieces ({pieces}); more are awaited"
    if found.shared_with:
        yield (
            f"counts are totals shared with {_files(len(found.shared_with))} of other deliveries: "
            f"{_names(found.shared_with)} ({RECEIPT_PAGE})"
        )


def _lines(found: Reconciliation) -> Iterator[str]:
    received = found.counts.get("records_received")
    if found.discrepancy:
        more = "more" if found.discrepancy > 0 else "fewer"
        yield (
            f"{received:,} records received, {found.lines_sent:,} lines sent: "
            f"{abs(found.discrepancy):,} {more} ({RECEIPT_PAGE})"
        )
    elif found.exact and not found.missing and received is None:
        yield f"no count of records received, so the {found.lines_sent:,} lines sent are not proven"
    shared = found.shared_counts.get("records_received")
    if not found.missing and shared is not None and shared < found.lines_sent:
        yield (
            f"{shared:,} records received in all, other deliveries' among them, but "
            f"{found.lines_sent:,} lines sent: at least {found.lines_sent - shared:,} are lost"
        )


def _twice(listed: ListedNames) -> Iterator[str]:
    for name, times in sorted(listed.whole.items()):
        if times > 1:
            yield f"{printable(name)} is in {times} different receipts: processed more than once"
    for name, pieces in sorted(listed.pieces.items()):
        again = sorted(number for number, times in pieces.items() if times > 1)
        if again or name in listed.whole:
            yield f"{printable(name)} is in several receipts by pieces: processed more than once"


def _files(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def _names(names: Collection[str]) -> str:
    some = ", ".join(printable(name) for name in list(names)[:MAX_NAMED_FILES])
    more = len(names) - MAX_NAMED_FILES
    return f"{some} and {more:,} more" if more > 0 else some
