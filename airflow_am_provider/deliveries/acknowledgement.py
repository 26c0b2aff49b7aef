"""Waits for what acknowledges deliveries: one round at a time, for sensor and trigger alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.reconciliation import Reconciliation, reconcile
from airflow_am_provider.deliveries.connection import MAKE_ANEW
from airflow_am_provider.deliveries.marker_watch import MarkerWatch
from airflow_am_provider.deliveries.receipt_intake import ReceiptIntake
from airflow_am_provider.deliveries.records import DeliveryRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.uploads.result import UploadResult

_logger = logging.getLogger(__name__)


class AcknowledgedBy(StrEnum):
    """What counts as acknowledged."""

    RECEIPT = "receipt"  # a receipt lists every file
    PROCESSED = "processed"  # every file has its marker
    ANY = "any"  # every file has the one or the other
    ALL = "all"  # every file has both


@dataclass(frozen=True, kw_only=True, slots=True)
class AcknowledgementStatus:
    """What is known of one delivery.

    :param delivery: the delivery.
    :param reconciliation: what receipts say of it.
    :param marked: its files that have a marker.
    :param acknowledged_by: what counts.
    """

    delivery: UploadResult
    reconciliation: Reconciliation
    marked: tuple[str, ...]
    acknowledged_by: AcknowledgedBy

    @property
    def outstanding(self) -> tuple[str, ...]:
        """Files that are not acknowledged yet."""
        covered, marked = set(self.reconciliation.covered), set(self.marked)
        acknowledged = {
            AcknowledgedBy.RECEIPT: covered,
            AcknowledgedBy.PROCESSED: marked,
            AcknowledgedBy.ANY: covered | marked,
            AcknowledgedBy.ALL: covered & marked,
        }[self.acknowledged_by]
        return tuple(name for name in self.delivery.files if name not in acknowledged)

    def __str__(self) -> str:
        count = len(self.delivery.files)
        said = [f"delivery {self.delivery.delivery_id}: "]
        if self.acknowledged_by is not AcknowledgedBy.PROCESSED:
            said.append(f"{len(self.reconciliation.covered)} of {count} files in receipts, ")
        if self.acknowledged_by is not AcknowledgedBy.RECEIPT:
            said.append(f"{len(self.marked)} of {count} marked as processed, ")
        missing = self.outstanding
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        awaited = f"waiting for {', '.join(missing[:3])}{more}" if missing else "acknowledged"
        return "".join(said) + awaited


class ReceiptWatch:
    """Looks for receipts and markers of some deliveries, fetching each message once.

    ``deliveries`` is what was sent, ``marked`` are the files whose markers were seen so far.

    :param hook: leads to the mailbox, the folder of raw mails and the destination.
    :param deliveries: what was sent.
    :param acknowledged_by: what counts.
    :param since: older messages are not looked at.
    :param marked: files whose markers were seen before.
    :raises ConfigurationError: when the connection has nothing to look at, or the deliveries went
        to another destination than the connection's.
    """

    def __init__(
        self,
        hook: Connection,
        deliveries: Sequence[UploadResult],
        *,
        acknowledged_by: AcknowledgedBy,
        since: datetime,
        marked: Iterable[str] = (),
    ) -> None:
        self._hook = hook
        self.deliveries = deliveries
        self._acknowledged_by = acknowledged_by
        self._since = since
        self._sources = (
            [] if acknowledged_by is AcknowledgedBy.PROCESSED else hook.receipt_sources()
        )
        self._markers = (
            None if acknowledged_by is AcknowledgedBy.RECEIPT else MarkerWatch(hook, marked)
        )
        self._seen: set[str] = set()
        self._noted: set[str] = set()
        self.marked = frozenset(marked)
        self._intake = ReceiptIntake(hook.settings, deliveries)
        self._check()

    def look(self) -> list[AcknowledgementStatus]:
        """Look once, and tell what is known of each delivery by now.

        :raises ConfigurationError: when a source refuses.
        :raises TransientError: when a source fails; what was read before is kept.
        """
        for source in self._sources:
            for mail in source.mails(self._since, seen=self._seen):
                self._intake.take(mail)
                # Last, so that a message is read again if this round is ended by force.
                self._seen.add(mail.identity)
        self._look_for_markers()
        return [self._status(delivery) for delivery in self.deliveries]

    def known(self, statuses: Iterable[AcknowledgementStatus]) -> str:
        """What is known by now, in one line for the log and for the message when time is up."""
        refusals = self._intake.refusals
        return "; ".join([*map(str, statuses), *([refusals] if refusals else [])])

    def _status(self, delivery: UploadResult) -> AcknowledgementStatus:
        others = [name for other in self.deliveries for name in other.files]
        return AcknowledgementStatus(
            delivery=delivery,
            reconciliation=reconcile(
                delivery.files,
                self._intake.receipts_of(delivery),
                rows_read=delivery.rows_read,
                rows_written=delivery.rows_written,
                rows_set_aside=delivery.rows_set_aside,
                other_files=[name for name in others if name not in delivery.files],
            ),
            marked=tuple(name for name in delivery.files if name in self.marked),
            acknowledged_by=self._acknowledged_by,
        )

    def _look_for_markers(self) -> None:
        if self._markers is None:
            return
        try:
            self.marked = self._markers.look(self.deliveries)
        except ConfigurationError as error:
            if self._acknowledged_by is not AcknowledgedBy.ANY or not self._sources:
                raise
            _logger.warning("Going by receipts alone: %s", error)
            self._markers = None
            return
        self._note_picked_up()

    def _note_picked_up(self) -> None:
        """Keep it in the record: markers go away, and receipts come later."""
        for delivery in self.deliveries:
            if delivery.delivery_id not in self._noted and self.marked.issuperset(delivery.files):
                targets = self._hook.targets()
                record = delivery.record(targets)
                if record is not None:
                    DeliveryRecords(targets).picked_up(record, delivery.sending)
                self._noted.add(delivery.delivery_id)

    def _check(self) -> None:
        conn_id = self._hook.audience_manager_conn_id
        if not self._sources and self._acknowledged_by in ("receipt", "all"):
            raise ConfigurationError(
                f"connection {conn_id!r}: neither receipts_imap_conn_id nor receipts_location says "
                f"where receipts come in; fill in one, or wait with acknowledged_by='processed'"
            )
        for delivery in self.deliveries:
            if delivery.destination != self._hook.destination_url:
                raise ConfigurationError(
                    f"delivery {delivery.delivery_id} was sent to {delivery.destination}, but the "
                    f"connection {conn_id!r} leads to {self._hook.destination_url}. "
                    f"{MAKE_ANEW}"
                )
