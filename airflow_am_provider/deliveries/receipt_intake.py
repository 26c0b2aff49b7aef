"""Which messages count as receipts of some deliveries, and what is told of those that do not."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.receipts.copies import may_be_a_copy
from airflow_am_provider.audience_manager.receipts.listed_names import SentNames
from airflow_am_provider.audience_manager.receipts.mail import (
    Authentication,
    ForeignMessage,
    ForgedMessage,
    UnreadableReceipt,
    read_receipt_mail,
)
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.audience_manager.receipts.receipt import Receipt
    from airflow_am_provider.deliveries.connection import Mail, Settings
    from airflow_am_provider.deliveries.uploads.result import UploadResult

_logger = logging.getLogger(__name__)

# A mailbox is open to the world: what it holds must fill neither the log nor the memory.
MAX_TOLD: Final = 20
MAX_LISTED_NAMES: Final = 500_000
# How far a worker's clock may be ahead of Adobe's when it notes that a sending began.
_MARGIN: Final = timedelta(hours=1)
# No page states the zone of a job's times: farther apart than any zones are, it is another day's.
_ZONES: Final = timedelta(days=1)


class ReceiptIntake:
    """Reads messages and keeps the receipts of some deliveries.

    :param settings: say what a message must be to count.
    :param deliveries: what was sent; receipts of others are not kept.
    """

    def __init__(self, settings: Settings, deliveries: Sequence[UploadResult]) -> None:
        self._settings = settings
        self._names = [(delivery, SentNames.of(delivery.files)) for delivery in deliveries]
        self._receipts: defaultdict[str, list[Receipt]] = defaultdict(list)
        self._listed_names = 0
        self._told: set[str] = set()
        self.refused_count = 0
        self._last_reason = ""

    def receipts_of(self, delivery: UploadResult) -> list[Receipt]:
        """The receipts that can be of this sending, in the order in which they came.

        There are none when they greet several partners and no setting says which of them is ours:
        then one of them is not of this delivery, whatever it lists.
        """
        receipts = self._receipts[delivery.delivery_id]
        partners = sorted({one.partner_id for one in receipts if one.partner_id is not None})
        if len(partners) < 2:
            return receipts
        self._tell_once(
            f"Receipts of delivery {delivery.delivery_id} greet different partners, "
            f"{', '.join(map(str, partners[:3]))}, so none of them counts; fill in "
            f"receipts_partner_id in the connection"
        )
        return []

    @property
    def refusals(self) -> str:
        """How many messages claimed to be receipts and were not taken, and why the last was not."""
        if not self.refused_count:
            return ""
        messages = counted(self.refused_count, "message")
        return f"{messages} not taken as a receipt, at last: {self._last_reason}"

    def take(self, mail: Mail) -> None:
        """Read a message, and keep it if it is a receipt of one of the deliveries."""
        settings = self._settings
        try:
            found = read_receipt_mail(
                mail.raw,
                sender=settings.receipts_sender,
                authentication=settings.receipts_authentication,
                authserv_id=settings.authserv_id,
            )
        except ForeignMessage:
            return
        except (ForgedMessage, UnreadableReceipt) as error:
            self._refuse(mail, str(error))
            return
        receipt, wanted = found.receipt, settings.partner_id
        if wanted is not None and receipt.partner_id not in (None, wanted):
            self._refuse(
                mail, f"receipt of partner {receipt.partner_id}; receipts_partner_id is {wanted}"
            )
            return
        deliveries = [
            delivery
            for delivery, names in self._names
            if any(map(names.match, receipt.files)) and self._is_about(receipt, delivery)
        ]
        if not deliveries:
            return
        if self._listed_names + len(receipt.paths) > MAX_LISTED_NAMES:
            self._refuse(mail, f"receipts list more than {MAX_LISTED_NAMES:,} files in all")
            return
        self._listed_names += len(receipt.paths)
        doubts = [found.doubt] if found.doubt else []
        if wanted is not None and receipt.partner_id is None:
            doubts.append(f"it greets no partner, and receipts_partner_id is {wanted}")
        if receipt.job_end is not None:
            begun = min(delivery.begun_at for delivery in deliveries)
            if receipt.job_end < begun - _ZONES:
                doubts.append(
                    f"its job ended at {receipt.job_end:%Y-%m-%d %H:%M} UTC, before sending began"
                )
        for doubt in doubts:
            self._tell_once(f"Taken as a receipt, but {doubt}")
        self._advise(receipt)
        receipt = replace(receipt, warnings=(*doubts, *receipt.warnings))
        for delivery in deliveries:
            self._receipts[delivery.delivery_id].append(receipt)

    def _is_about(self, receipt: Receipt, delivery: UploadResult) -> bool:
        doubt = _doubt_of_sending(receipt, delivery)
        if doubt is not None:
            self._tell_once(
                f"A receipt of delivery {delivery.delivery_id} does not count for its sending "
                f"{delivery.sending}: {doubt}"
            )
        return doubt is None

    def _refuse(self, mail: Mail, reason: str) -> None:
        self.refused_count += 1
        self._last_reason = reason
        if self.refused_count <= MAX_TOLD:
            _logger.warning("Not taken as a receipt: %s: %s", mail.identity, reason)
        if self.refused_count == MAX_TOLD:
            _logger.warning("Further messages of this kind are only counted")

    def _advise(self, receipt: Receipt) -> None:
        """Say what in the connection is left open, and what to fill in."""
        settings = self._settings
        is_judged = settings.receipts_authentication != Authentication.IGNORE
        if is_judged and settings.authserv_id is None:
            self._tell_once(
                "receipts_authserv_id of the connection is empty, so a header that a forger wrote "
                "would be believed; fill in the name of your mail server"
            )
        if settings.partner_id is None and receipt.partner_id is not None:
            self._tell_once(
                f"receipts_partner_id of the connection is empty, so receipts of any partner "
                f"count; this one greets {receipt.partner_id}"
            )

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(sentence)
            _logger.warning("%s", sentence)


def _doubt_of_sending(receipt: Receipt, delivery: UploadResult) -> str | None:
    """Why a receipt may be of an earlier sending, which had the same names; None when it is not.

    Adobe's times are held against each other where that is possible, since the clocks of workers
    may be wrong.
    """
    if delivery.sending == 1:
        return None
    names = SentNames.of(delivery.files)
    own = receipt.about({name for name in receipt.files if names.match(name)})
    if any(may_be_a_copy(own, known) for known in delivery.counted):
        return "it may be a copy of a receipt that an earlier sending got"
    if receipt.job_start is None:
        return "it does not say when its job started, so it may be of an earlier sending"
    before = [one.job_start for one in delivery.counted if one.job_start is not None]
    if before and receipt.job_start <= max(before):
        return "its job started no later than one that read an earlier sending"
    # Where nothing of an earlier sending came back, a worker's clock is all there is to go by.
    earliest = delivery.begun_at - _MARGIN if before else delivery.begun_at
    if receipt.job_start < earliest:
        return "its job started before this sending began"
    return None
