"""What reading files came to, in the words of a receipt.

Page: inbound-receipt-message.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS

if TYPE_CHECKING:
    from datetime import datetime

# How a record can end other than in data, and what is counted beside that.
_ENDINGS: Final = (
    "format_errors",
    "invalid_aam_id",
    "invalid_device_id",
    "no_trait_realized",
    "no_matching_aam_id",
)
_SUMS: Final = (
    # Those that are stored without a match end in data.
    "no_match_stored",
    "total_devices",
    "total_signals",
    "total_unused_signals",
    "total_realized_traits",
    "total_removed_traits",
    "total_traits_failed_validation",
    "total_users_failed_validation",
)


@dataclass(kw_only=True, slots=True)
class Totals:
    """Counts of a receipt that add up over files, by the names that a receipt has for them.

    :param records_received: lines, read or not.
    :param format_errors: lines that could not be read or are over a limit.
    :param invalid_aam_id: lines with an AAM UUID that is not 38 digits.
    :param invalid_device_id: lines with a platform's device ID of the wrong form.
    :param no_matching_aam_id: lines of users who were never synchronised.
    :param no_match_stored: those of them that are stored all the same, as their data source does.
        No receipt has this line (reporting/onboarding-status-report.md).
    :param no_trait_realized: lines of which nothing maps to a trait.
    :param total_devices: devices of the users for whom something was stored.
    :param total_signals: items of the lines that could be read.
    :param total_unused_signals: signals that no rule makes a trait of.
    :param total_realized_traits: traits given, whether or not the user had them.
    :param total_removed_traits: traits that users had and have no more.
    :param total_traits_failed_validation: traits that are not of the target data source.
    :param total_users_failed_validation: lines that have such traits.
    """

    records_received: int = 0
    format_errors: int = 0
    invalid_aam_id: int = 0
    invalid_device_id: int = 0
    no_matching_aam_id: int = 0
    no_match_stored: int = 0
    no_trait_realized: int = 0
    total_devices: int = 0
    total_signals: int = 0
    total_unused_signals: int = 0
    total_realized_traits: int = 0
    total_removed_traits: int = 0
    total_traits_failed_validation: int = 0
    total_users_failed_validation: int = 0

    @property
    def records_processed(self) -> int:
        """All lines: the sandbox leaves none for later."""
        return self.records_received

    @property
    def stored_records(self) -> int:
        """Lines that data was loaded from."""
        lost = self.format_errors + self.invalid_aam_id + self.invalid_device_id
        lost += self.no_matching_aam_id - self.no_match_stored
        return self.records_processed - lost - self.no_trait_realized

    def __add__(self, other: Totals) -> Totals:
        names = [item.name for item in fields(self)]
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def to_json(self) -> dict[str, int]:
        """The counts by name, in a receipt's order."""
        return {name: getattr(self, name) for name in COUNT_LABELS}

    @classmethod
    def from_json(cls, counts: dict[str, int]) -> Totals:
        """Read what :meth:`to_json` gave."""
        read = cls(**{item.name: counts.get(item.name, 0) for item in fields(cls)})
        read.no_match_stored = counts["stored_records"] - read.stored_records
        return read

    def pieces(self, number: int) -> list[Totals]:
        """The same in pieces, each with one record at least where there are so many.

        Every record ends in one way, so the records are laid out by how they ended and cut.

        >>> done = Totals(records_received=5, format_errors=2, total_signals=3)
        >>> [(one.records_received, one.format_errors) for one in done.pieces(2)]
        [(2, 2), (3, 0)]
        """
        number = max(1, min(number, self.records_received))
        bounds = [self.records_received * place // number for place in range(number + 1)]
        return [self._piece(bounds, place, number) for place in range(number)]

    def _piece(self, bounds: list[int], place: int, number: int) -> Totals:
        piece = Totals(**{name: _share(getattr(self, name), place, number) for name in _SUMS})
        piece.records_received = bounds[place + 1] - bounds[place]
        end = 0
        for name in _ENDINGS:
            start, end = end, end + getattr(self, name)
            if name == "no_matching_aam_id":
                end -= self.no_match_stored
            low, high = max(start, bounds[place]), min(end, bounds[place + 1])
            setattr(piece, name, max(0, high - low))
        piece.no_matching_aam_id += piece.no_match_stored
        return piece

    def receipt(
        self, *, paths: tuple[str, ...], partner_id: int, job_start: datetime, job_end: datetime
    ) -> Receipt:
        """The receipt over some files.

        :param paths: the files as printed.
        :param partner_id: the number that is greeted.
        :param job_start: when the first of them was taken, in UTC.
        :param job_end: when the last of them was read, in UTC.
        """
        counts: dict[str, Any] = {
            **self.to_json(),
            # Adobe's published e-mail does not have this line; it is printed where it says more.
            "invalid_device_id": self.invalid_device_id or None,
        }
        return Receipt(
            paths=paths,
            partner_id=partner_id,
            job_start=job_start.replace(microsecond=0),
            job_end=job_end.replace(microsecond=0),
            **counts,
        )


def _share(count: int, place: int, number: int) -> int:
    return count * (place + 1) // number - count * place // number
