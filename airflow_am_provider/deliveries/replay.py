"""Sends again what is newer than a delivery that came late, one after the other."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.target.queries import (
    deciding,
    is_settled,
    to_follow,
    was_sent_before,
)
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.uploads.result import UploadResult, upload_result
from airflow_am_provider.deliveries.uploads.sending import queue_again, send_delivery

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.target.state import DeliveryEntry

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What has to be sent again after one delivery, by what its target has decided.

    Nothing is kept in memory: the target knows what was sent again already.

    :param hook: leads to staging and destination.
    :param delivery: the one that came late.
    """

    hook: Connection
    delivery: UploadResult

    def step(self) -> UploadResult | None:
        """Send the next one when it is its turn; go on with it where an attempt before stopped.

        :return: the one to wait for; None when all were sent again and are acknowledged.
        :raises MustWait: when something has to be processed first.
        """
        records = DeliveryRecords(self.hook.targets())
        late = records.find(self.delivery.delivery_id)
        for newer in self._newer(late):
            if was_sent_before(newer, late.entry):
                return self._again(records, DeliveryRecord(newer, late.target, late.staging))
            if not is_settled(newer):
                record = DeliveryRecord(newer, late.target, late.staging)
                return upload_result(records, send_delivery(self.hook, record.manifest))
        return None

    def replayed(self) -> list[dict[str, Any]]:
        """What was sent again, as plain JSON, for the task's result."""
        late = DeliveryRecords(self.hook.targets()).find(self.delivery.delivery_id)
        return [
            {"delivery_id": newer.delivery_id, "sending": newer.sending.number}
            for newer in self._newer(late)
            if newer.sending is not None
            and newer.sending.number > 1
            and not was_sent_before(newer, late.entry)
        ]

    def _again(self, records: DeliveryRecords, record: DeliveryRecord) -> UploadResult:
        if record.state is not DeliveryState.QUEUED:
            _logger.info(
                "Delivery %s is sent again, as its data is newer than that of delivery %s",
                record.entry.delivery_id,
                self.delivery.delivery_id,
            )
        # What is newer still follows in its turn.
        queue_again(record, force=True)
        return upload_result(records, send_delivery(self.hook, record.manifest))

    def _newer(self, late: DeliveryRecord) -> list[DeliveryEntry]:
        """Newer data whose order counts, oldest first. History is read as far as there is any."""
        if late.entry.sending is None or not to_follow(late.entry, deciding(late.target.state())):
            return []
        return to_follow(late.entry, late.target.deliveries(newer_than=late.entry))
