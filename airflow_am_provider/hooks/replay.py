"""Sends again what is newer than a delivery that came late, one after the other."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.ordering import Turn, overtaking
from airflow_am_provider.hooks.deliveries import order_gate, send_delivery
from airflow_am_provider.hooks.order_gate import OnOlder
from airflow_am_provider.hooks.sent_delivery import SentDelivery, sent_delivery
from airflow_am_provider.stores.deliveries import DeliveryRecord, DeliveryRecords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What has to be sent again after one delivery, by the queue of its target.

    Nothing is kept in memory: the queue says what was sent again already.

    :param hook: leads to staging and destination.
    :param delivery: the one that came late.
    """

    hook: AudienceManagerHook
    delivery: SentDelivery

    @cached_property
    def records(self) -> DeliveryRecords:
        """The records; a replay lives for one look, so its client does not grow old."""
        return DeliveryRecords(self.hook.staging())

    def newer(self) -> list[Turn]:
        """Last turns of the newer deliveries whose order counts, oldest data first."""
        turns = self._turns()
        mine = self._turn(turns)
        if mine is None:
            return []
        return [
            turn for turn in overtaking(mine, turns) if self.records.ended(turn.location) is None
        ]

    def step(self) -> SentDelivery | None:
        """Send the next one when it is its turn.

        :return: the one to wait for; None when all were sent again and are acknowledged.
        """
        mine = self._turn(self._turns())
        for turn in self.newer():
            record = self.records.at(turn.location)
            assert mine is not None
            if record is None:
                raise DataError(f"delivery {turn.delivery_id}: its manifest is gone from staging")
            if turn.number < mine.number:
                return self._again(record, turn.sending + 1)
            if not self.records.is_settled(turn.location, turn.sending):
                return self._again(record, turn.sending)
        return None

    def _again(self, record: DeliveryRecord, sending: int) -> SentDelivery:
        """Send it if it is its turn; it goes on where an attempt before it stopped.

        :raises NotItsTurn: when something has to be processed first.
        """
        gate = order_gate(self.hook, record.manifest, on_older=OnOlder.SEND, sending=sending)
        waits = gate.waits_for()
        if waits:
            raise NotItsTurn("; ".join(waits))
        _logger.info(
            "Sending delivery %s again, as its data is newer than that of delivery %s",
            record.manifest.delivery_id,
            self.delivery.delivery_id,
        )
        sent = send_delivery(self.hook, record.manifest, sending)
        return sent_delivery(self.records, record.manifest, sent, sending)

    def replayed(self) -> list[dict[str, Any]]:
        """What was sent again, as plain JSON, for the task's result."""
        return [
            {"delivery_id": turn.delivery_id, "sending": turn.sending}
            for turn in self.newer()
            if turn.sending > 1
        ]

    def _turns(self) -> Sequence[Turn]:
        record = self.records.find(self.delivery.delivery_id)
        return order_gate(self.hook, record.manifest).lane.turns()

    def _turn(self, turns: Sequence[Turn]) -> Turn | None:
        mine = [turn for turn in turns if turn.delivery_id == self.delivery.delivery_id]
        return mine[-1] if mine else None


class NotItsTurn(Exception):
    """Something has to be processed first; the message says what."""
