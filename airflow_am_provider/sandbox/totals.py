"""What reading files came to, in the words of a receipt.

Page: inbound-receipt-message.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.receipts import Receipt

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(kw_only=True, slots=True)
class Totals:
    """Counts of a receipt that add up over files; stored records follow from the others.

    :param records: lines, read or not.
    :param format_errors: lines that could not be read or are over a limit.
    :param invalid_aam_ids: lines with an AAM UUID that is not 38 digits.
    :param invalid_device_ids: lines with a platform's device ID of the wrong form.
    :param unmatched: lines of users who were never synchronised.
    :param without_trait: lines of which nothing maps to a trait.
    :param devices: devices behind the users for whom something was stored.
    :param signals: items of the lines that could be read.
    :param unused_signals: signals that no rule makes a trait of.
    :param realized_traits: traits given, whether or not the user had them.
    :param removed_traits: traits that users had and have no more.
    :param failed_traits: traits that are not of the target data source.
    :param users_with_failed_traits: lines that have such traits.
    """

    records: int = 0
    format_errors: int = 0
    invalid_aam_ids: int = 0
    invalid_device_ids: int = 0
    unmatched: int = 0
    without_trait: int = 0
    devices: int = 0
    signals: int = 0
    unused_signals: int = 0
    realized_traits: int = 0
    removed_traits: int = 0
    failed_traits: int = 0
    users_with_failed_traits: int = 0

    @property
    def stored(self) -> int:
        """Lines that data was loaded from."""
        lost = self.format_errors + self.invalid_aam_ids + self.invalid_device_ids
        return self.records - lost - self.unmatched - self.without_trait

    def __add__(self, other: Totals) -> Totals:
        names = [item.name for item in fields(self)]
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def to_json(self) -> dict[str, int]:
        """The counts by name, the stored records with them."""
        return asdict(self) | {"stored": self.stored}

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
        return Receipt(
            paths=paths,
            partner_id=partner_id,
            records_received=self.records,
            format_errors=self.format_errors,
            invalid_aam_id=self.invalid_aam_ids,
            # Adobe's published e-mail does not have this line; it is printed where it says more.
            invalid_device_id=self.invalid_device_ids or None,
            no_matching_aam_id=self.unmatched,
            no_trait_realized=self.without_trait,
            records_processed=self.records,
            stored_records=self.stored,
            total_devices=self.devices,
            total_signals=self.signals,
            total_unused_signals=self.unused_signals,
            total_realized_traits=self.realized_traits,
            total_removed_traits=self.removed_traits,
            total_traits_failed_validation=self.failed_traits,
            total_users_failed_validation=self.users_with_failed_traits,
            job_start=job_start.replace(microsecond=0),
            job_end=job_end.replace(microsecond=0),
        )
