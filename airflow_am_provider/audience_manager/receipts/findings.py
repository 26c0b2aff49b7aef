"""Says in sentences what a reconciliation found, with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.names import IdSyncPrefix, printable
from airflow_am_provider.audience_manager.receipts.no_match import Reading
from airflow_am_provider.audience_manager.receipts.text import (
    COUNT_LABELS,
    MAX_WARNINGS,
    RECEIPT_PAGE,
)
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from airflow_am_provider.audience_manager.receipts.accounts import Account
    from airflow_am_provider.audience_manager.receipts.listed_names import ListedNames
    from airflow_am_provider.audience_manager.receipts.no_match import NoMatch
    from airflow_am_provider.audience_manager.receipts.receipt import Receipt

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
_ID_SYNCS: Final = tuple(f"{prefix}_" for prefix in IdSyncPrefix)
# Those that count records; others count traits. And why all records may end so.
_CAUSES: Final = {
    "format_errors": "look at a file with airflow-am check",
    "invalid_aam_id": "the IDs are no AAM UUIDs of 38 digits",
    "invalid_device_id": "the IDs are of another platform than the file name says",
    "no_matching_aam_id": "was the ID sync of this data source sent, and are these its IDs?",
    "no_trait_realized": "are the traits of this data source, and is there a rule for the signals?",
    "total_users_failed_validation": "the traits are of another data source than the file name",
}
#: Counts of records that did not end as data, each record under one of them.
FAILED_RECORDS: Final = tuple(_CAUSES)
# A sentence or a JSON document names so many files and then says how many more there are.
MAX_NAMED_FILES: Final = 20


class Counted(Protocol):
    """What a reconciliation counted; see its own fields."""

    @property
    def exact(self) -> bool:
        """Whether receipts list the delivery's files and no others."""
        ...

    @property
    def files(self) -> Sequence[str]:
        """Names as sent."""
        ...

    @property
    def missing(self) -> Sequence[str]:
        """Those that receipts do not list, or not whole."""
        ...

    @property
    def in_part(self) -> Sequence[str]:
        """Those of them that receipts list in pieces."""
        ...

    @property
    def uncounted(self) -> Sequence[str]:
        """Files whose receipts do not say how many records they are about."""
        ...

    @property
    def differences(self) -> Sequence[str]:
        """Where records received and lines sent do not fit, in sentences."""
        ...

    @property
    def shared_with(self) -> Sequence[str]:
        """The other names on those receipts."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Sums over the receipts, when exact."""
        ...

    @property
    def shared_counts(self) -> Mapping[str, int]:
        """The same sums when they are shared with other files."""
        ...

    @property
    def no_match(self) -> NoMatch | None:
        """How the count of records without a matching AAM ID is read."""
        ...

    @property
    def lines_sent(self) -> int:
        """Lines of all files."""
        ...

    @property
    def discrepancy(self) -> int | None:
        """Records received less lines sent, where that is known."""
        ...


def differences_of(accounts: Iterable[Account]) -> Iterator[str]:
    """Say of which files more or fewer records came back than were sent."""
    for account in accounts:
        for one in account.contradictions():
            of, sent = _names(sorted(one.files)), f"{one.sent:,} lines sent"
            apart = abs(one.received - one.sent)
            more = "more" if one.received > one.sent else "fewer"
            if one.is_shared:
                yield (
                    f"{of}: {one.received:,} records received in all, other deliveries' among "
                    f"them, but {sent}: at least {apart:,} are lost"
                )
            elif one.is_bound:
                bound = "at most" if one.received > one.sent else "at least"
                yield (
                    f"{of}: {one.received:,} records received, where {bound} {one.sent:,} fit to "
                    f"the lines sent: {apart:,} {more}"
                )
            else:
                yield f"{of}: {one.received:,} records received, {sent}: {apart:,} {more}"


def findings_of(found: Counted, listed: ListedNames, receipts: Sequence[Receipt]) -> Iterator[str]:
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
            note = _reading(found) if name == "no_matching_aam_id" else ""
            yield f"{COUNT_LABELS[name]}: {totals[name]:,}{of}{note}{shared_note(found)}"
    if found.no_match is not None and found.no_match.finding:
        yield found.no_match.finding
    warnings = sorted({warning for receipt in receipts for warning in receipt.warnings})
    yield from (f"receipt: {warning}" for warning in warnings[:MAX_WARNINGS])
    if len(warnings) > MAX_WARNINGS:
        yield f"receipts: {len(warnings) - MAX_WARNINGS:,} more warnings"


def warnings_of(found: Counted) -> Iterator[str]:
    """Say that a whole delivery came to nothing, which no limit need be set for.

    Receipts have no count for ID syncs, so that theirs say nothing of this kind. What matched no
    AAM ID may be stored all the same, see :mod:`.no_match`.
    """
    totals = found.counts if found.exact else found.shared_counts
    received, stored = totals.get("records_received"), totals.get("stored_records")
    id_syncs = [name for name in found.files if name.startswith(_ID_SYNCS)]
    if found.missing or not received or len(id_syncs) == len(found.files):
        return
    if stored == 0:
        yield f"nothing was stored: 0 of {received:,} records received{shared_note(found)}"
    may_be_stored = bool(stored) or found.no_match is None or found.no_match.lost < received
    for name, cause in _CAUSES.items():
        if totals.get(name, 0) >= received and not (name == "no_matching_aam_id" and may_be_stored):
            yield (
                f"{COUNT_LABELS[name]}: all {received:,} records received{shared_note(found)}; "
                f"{cause}"
            )


def shared_note(found: Counted) -> str:
    """Say, after a figure, that it is a total shared with other files; nothing when it is not."""
    if not found.shared_with:
        return ""
    return f" (a total shared with {counted(len(found.shared_with), 'file')} of other deliveries)"


def _reading(found: Counted) -> str:
    """What became of records without a match, to be read after their number."""
    if found.no_match is None:
        return ""
    lost = found.no_match.lost
    return {
        Reading.LOST: ", lost",
        Reading.STORED: ", stored all the same",
        Reading.IN_PART: f", of which at most {lost:,} are lost",
        Reading.UNKNOWN: ", counted as lost, since nothing shows whether they were stored",
    }[found.no_match.reading]


def _coverage(found: Counted, listed: ListedNames) -> Iterator[str]:
    unlisted = [name for name in found.missing if name not in listed.pieces]
    if unlisted:
        yield (
            f"in no receipt yet: {len(unlisted)} of {counted(len(found.files), 'file')}: "
            f"{_names(unlisted)}"
        )
    for name in found.in_part:
        numbers = sorted(listed.pieces[name])
        pieces = ", ".join(map(str, numbers[:MAX_NAMED_FILES]))
        more = ", …" if len(numbers) > MAX_NAMED_FILES else ""
        yield (
            f"{printable(name)} is acknowledged in pieces ({pieces}{more}), and {_not_shown(found)}"
        )
    if found.shared_with:
        yield (
            f"counts are totals shared with {counted(len(found.shared_with), 'file')} of other "
            f"deliveries: {_names(found.shared_with)} ({RECEIPT_PAGE})"
        )


def _not_shown(found: Counted) -> str:
    """Why pieces that are listed do not show that all of them are there."""
    totals = found.counts if found.exact else found.shared_counts
    received = totals.get("records_received")
    if found.shared_with:
        return (
            "its records cannot be told from those of other deliveries, so it is not shown that "
            "all pieces are there"
        )
    if received is None:
        return (
            "a receipt has no count of records received, so it is not shown that all pieces are "
            "there"
        )
    return (
        f"{received:,} records of {found.lines_sent:,} lines sent are accounted for so far: more "
        f"pieces are awaited"
    )


def _lines(found: Counted) -> Iterator[str]:
    received = found.counts.get("records_received")
    if found.discrepancy:
        more = "more" if found.discrepancy > 0 else "fewer"
        yield (
            f"{received:,} records received, {found.lines_sent:,} lines sent: "
            f"{abs(found.discrepancy):,} {more} ({RECEIPT_PAGE})"
        )
    shared = found.shared_counts.get("records_received")
    is_short = not found.missing and shared is not None and shared < found.lines_sent
    # For a single group of files that has been said, or is said below.
    if len(found.differences) > 1 or not (found.discrepancy or is_short):
        yield from found.differences
    if found.uncounted:
        yield (
            f"no count of records received for {_names(found.uncounted)}: that it was processed is "
            f"shown, that its lines arrived is not"
        )
    if is_short and shared is not None:
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


def _names(names: Collection[str]) -> str:
    some = ", ".join(printable(name) for name in list(names)[:MAX_NAMED_FILES])
    more = len(names) - MAX_NAMED_FILES
    return f"{some} and {more:,} more" if more > 0 else some
