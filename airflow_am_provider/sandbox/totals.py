"""What reading files came to, in the words of a receipt.

Page: inbound-receipt-message.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(kw_only=True, slots=True)
class Totals:
    """Counts of a receipt that add up over files, by the names that a receipt has for them.

    :param records_received: lines, read or not.
    :param format_errors: lines that could not be read or are over a limit.
    :param invalid_aam_id: lines with an AAM UUID that is not 38 digits.
    :param invalid_device_id: lines with a platform's device ID of the wrong form.
    :param no_matching_aam_id: lines of users who were never synchronised.
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
        return self.records_processed - lost - self.no_matching_aam_id - self.no_trait_realized

    def __add__(self, other: Totals) -> Totals:
        names = [item.name for item in fields(self)]
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def to_json(self) -> dict[str, int]:
        """The counts by name, in a receipt's order."""
        return {name: getattr(self, name) for name in COUNT_LABELS}

    @classmethod
    def from_json(cls, counts: dict[str, int]) -> Totals:
        """Read what :meth:`to_json` gave."""
        return cls(**{item.name: counts[item.name] for item in fields(cls)})

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
