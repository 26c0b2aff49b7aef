"""Whether records that match no AAM ID are lost, or stored all the same.

Pages: reporting/onboarding-status-report.md: mobile IDs that match nothing are kept, and counted as
stored; faq/faq-inbound-data-ingestion.md: cross-device data sources always store. For all other
data sources such a record is lost (inbound-receipt-message.md). So the count *No Matching AAM ID*
can be read in two ways:

- lost: stored = processed - format errors - invalid IDs - no match - no trait,
- stored: stored = processed - format errors - invalid IDs - no trait.

The figures tell which one holds, where they fit one of them exactly. Where they do not, the data
source of the file name tells, and where that is not known either, the records count as lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.identifiers import AAM_UUID, is_device_data_source
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS, RECEIPT_PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

# A name on a receipt may have pieces' numbers after it, and there may be many: so no more of it is
# read than is needed (inbound-file-names.md).
_DATA_FILE: Final = re.compile(r"ftp_dpm_([0-9]{1,18})_")
_PAGES: Final = "reporting/onboarding-status-report.md, faq/faq-inbound-data-ingestion.md"
_LABEL: Final = COUNT_LABELS["no_matching_aam_id"]


class Figures(Protocol):
    """What is read of a receipt; see its own fields."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names that it lists, without folders."""
        ...

    @property
    def format_errors(self) -> int | None:
        """Lines Adobe could not read."""
        ...

    @property
    def invalid_aam_id(self) -> int | None:
        """AAM UUIDs that are not 38 digits."""
        ...

    @property
    def invalid_device_id(self) -> int | None:
        """Device IDs of the wrong form."""
        ...

    @property
    def no_matching_aam_id(self) -> int | None:
        """Records of users who were never synchronised."""
        ...

    @property
    def no_trait_realized(self) -> int | None:
        """Lines of which nothing maps to a trait."""
        ...

    @property
    def records_processed(self) -> int | None:
        """Usually equal to the records received."""
        ...

    @property
    def stored_records(self) -> int | None:
        """Records of which data is loaded."""
        ...


class Reading(StrEnum):
    """What became of records that match no AAM ID."""

    LOST = "lost"
    STORED = "stored"
    IN_PART = "in_part"  # some of them are known to be stored
    UNKNOWN = "unknown"  # nothing tells, so they count as lost


@dataclass(frozen=True, kw_only=True, slots=True)
class NoMatch:
    """How the count *No Matching AAM ID* of receipts is read.

    :param reading: see :class:`Reading`.
    :param count: records that match no AAM ID.
    :param lost: how many of them are lost, at most.
    :param finding: that figures and data source do not agree, in a sentence; empty when they do.
    """

    reading: Reading
    count: int
    lost: int
    finding: str = ""

    def __str__(self) -> str:
        if not self.count:
            return "0"
        if self.reading is Reading.IN_PART:
            return f"{self.count:,}, {self.lost:,} lost"
        return f"{self.count:,} {self.reading}"


def kind_of(name: str, cross_device: Collection[int] = ()) -> Reading:
    """Tell by a data file's name what becomes of its records without a match.

    :param name: the name, with or without pieces' numbers; without folders.
    :param cross_device: numbers of the data sources that are known to be cross-device.

    >>> str(kind_of("ftp_dpm_20914_1368806402.sync.gz")), str(kind_of("ftp_dpm_0_1368806402.sync"))
    ('stored', 'lost')
    >>> name = "ftp_dpm_478_1368806402.sync"
    >>> str(kind_of(name)), str(kind_of(name, [478]))
    ('unknown', 'stored')
    """
    dpid = _user_dpid(name)
    if dpid is None:
        return Reading.UNKNOWN
    if dpid == AAM_UUID.dpid:
        return Reading.LOST
    is_stored = is_device_data_source(dpid) or dpid in cross_device
    return Reading.STORED if is_stored else Reading.UNKNOWN


def read_no_match(
    receipt: Figures, *, own: Sequence[str] | None = None, cross_device: Collection[int] = ()
) -> NoMatch | None:
    """Tell what became of one receipt's records without a match; None when it has no such count.

    :param own: the names on it that are meant, when it lists others' files too. Then the figures
        are not theirs alone, and cannot speak against their data source.
    :param cross_device: numbers of the data sources that are known to be cross-device.

    >>> from airflow_am_provider.audience_manager.receipts.receipt import Receipt
    >>> receipt = Receipt(paths=("ftp_dpm_478_1368806402.sync",), records_processed=100,
    ...     format_errors=0, invalid_aam_id=0, no_matching_aam_id=30, no_trait_realized=10,
    ...     stored_records=90)
    >>> str(read_no_match(receipt))
    '30 stored'
    """
    count = receipt.no_matching_aam_id
    if count is None:
        return None
    kinds = {kind_of(name, cross_device) for name in (receipt.files if own is None else own)}
    kind = kinds.pop() if len(kinds) == 1 else Reading.UNKNOWN
    if not count:
        return NoMatch(reading=kind, count=0, lost=0)
    is_alone = {kind_of(name, cross_device) for name in receipt.files} == {kind}
    figures, lost = _by_figures(receipt)
    if kind is Reading.STORED and not is_alone:
        return NoMatch(reading=kind, count=count, lost=0)
    if figures is Reading.UNKNOWN:
        return NoMatch(reading=kind, count=count, lost=0 if kind is Reading.STORED else count)
    finding = ""
    if is_alone and kind is not Reading.UNKNOWN and kind is not figures:
        finding = (
            f"{_LABEL}: the figures fit only if {lost:,} of {count:,} records were lost, but by "
            f"the data source all would be {kind}: the figures count ({_PAGES})"
        )
    return NoMatch(reading=figures, count=count, lost=lost, finding=finding)


def together(found: Iterable[NoMatch | None]) -> NoMatch | None:
    """Add up what several receipts say; None when one of them has no such count, or there is none.

    >>> one = NoMatch(reading=Reading.LOST, count=3, lost=3)
    >>> str(together([one, NoMatch(reading=Reading.STORED, count=2, lost=0)]))
    '5, 3 lost'
    """
    every = list(found)
    said = [one for one in every if one is not None]
    if not said or len(said) < len(every):
        return None
    readings = {one.reading for one in said if one.count} or {one.reading for one in said}
    return NoMatch(
        reading=readings.pop() if len(readings) == 1 else Reading.IN_PART,
        count=sum(one.count for one in said),
        lost=sum(one.lost for one in said),
        finding="; ".join(dict.fromkeys(one.finding for one in said if one.finding)),
    )


def stored_contradictions(receipt: Figures) -> Iterator[str]:
    """Say that *Stored Records* fits no formula: a warning, as the published sample is 7 off."""
    stored, computed = receipt.stored_records, _formulas(receipt)
    if stored is None or not computed or _by_figures(receipt)[0] is not Reading.UNKNOWN:
        return
    kinds = {kind_of(name) for name in receipt.files}
    candidates = [
        value
        for reading, values in computed.items()
        for value in values
        if kinds in ({reading}, {Reading.UNKNOWN}) or len(kinds) > 1
    ]
    # Where one reading fits as well as the other, there is nothing to say.
    if stored in candidates:
        return
    nearest = min(candidates, key=lambda value: abs(value - stored))
    yield (
        f"'Stored Records' is {stored:,}, but 'Records processed' less errors and misses is "
        f"{nearest:,}: {abs(nearest - stored):,} apart ({RECEIPT_PAGE})"
    )


def _by_figures(receipt: Figures) -> tuple[Reading, int]:
    """The reading that the figures fit, and the records lost by it; UNKNOWN when none or both do.

    Between the two formulas figures are right where a receipt covers several data sources: some
    of them store such records.
    """
    stored, count, formulas = (
        receipt.stored_records,
        receipt.no_matching_aam_id,
        _formulas(receipt),
    )
    if stored is None or not count or not formulas:
        return Reading.UNKNOWN, count or 0
    fitting = [reading for reading, values in formulas.items() if stored in values]
    if len(fitting) == 1:
        return fitting[0], count if fitting[0] is Reading.LOST else 0
    lowest, highest = formulas[Reading.LOST][0], formulas[Reading.STORED][0]
    if not fitting and lowest < stored < highest and _is_of_several_sources(receipt.files):
        return Reading.IN_PART, highest - stored
    return Reading.UNKNOWN, count


def _formulas(receipt: Figures) -> dict[Reading, tuple[int, ...]]:
    """The records stored by each formula; empty when a term of it is not known.

    The formula on the page knows invalid AAM IDs only, as its e-mail has no invalid device IDs;
    where the receipt has both, with and without the latter are right.
    """
    terms = (receipt.format_errors, receipt.invalid_aam_id, receipt.no_trait_realized)
    known = [count for count in terms if count is not None]
    processed, no_match = receipt.records_processed, receipt.no_matching_aam_id
    if processed is None or no_match is None or len(known) < len(terms):
        return {}
    kept = processed - sum(known)
    devices = (receipt.invalid_device_id, 0) if receipt.invalid_device_id else (0,)
    return {
        Reading.LOST: tuple(kept - no_match - invalid for invalid in devices),
        Reading.STORED: tuple(kept - invalid for invalid in devices),
    }


def _is_of_several_sources(names: Iterable[str]) -> bool:
    return len({_user_dpid(name) for name in names}) > 1


def _user_dpid(name: str) -> int | None:
    """The data source of a data file's IDs; None for other files."""
    found = _DATA_FILE.match(name)
    return None if found is None else int(found[1])
