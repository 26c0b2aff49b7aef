"""Holds a delivery back until it is its turn, and refuses one that comes too late."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import DataFileName
from airflow_am_provider.audience_manager.ordering import (
    Turn,
    is_refused,
    overtaking,
    refusal,
    stem,
    superseded,
    target_of,
    undone,
)
from airflow_am_provider.formatting.sent_record import SendingFiles
from airflow_am_provider.stores.deliveries import DeliveryRecords, DeliveryState
from airflow_am_provider.stores.lanes import Lane
from airflow_am_provider.stores.sent_book import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.hooks.sent_delivery import SentDelivery
    from airflow_am_provider.stores import Folder

_logger = logging.getLogger(__name__)


class OnOlder(StrEnum):
    """What to do with a delivery when newer data of its target was sent already."""

    REFUSE = "refuse"  # fail, with a sentence that names both
    REPLAY = "replay"  # send it; ReplayNewerSensor sends the newer ones again after it
    SEND = "send"  # send it, old data or not


@dataclass(frozen=True, kw_only=True)
class OrderGate:
    """The queue of a delivery's target, as one delivery sees it.

    :param staging: the staging location.
    :param manifest: the delivery.
    :param on_older: what to do when newer data was sent already.
    :param after: deliveries that must be acknowledged before it, such as the ID sync's.
    :param in_order: whether to wait for what was sent to the same target before it.
    :param sending: 1, or the number of this repetition.
    """

    staging: Folder
    manifest: Manifest
    on_older: OnOlder = OnOlder.REFUSE
    after: Sequence[SentDelivery] = ()
    in_order: bool = True
    sending: int = 1

    @property
    def lane(self) -> Lane:
        """The queue."""
        return lane_of(self.staging, self.manifest)

    def waits_for(self) -> list[str]:
        """Take a place in the queue, and tell what must be processed first, in sentences.

        :return: nothing when it may be sent now.
        :raises ConfigurationError: when it is refused.
        """
        turn = self.lane.take(self.draft, self._check)
        records = DeliveryRecords(self.staging)
        waits = [
            f"delivery {one.delivery_id}, which goes before it, is not acknowledged yet"
            for one in self.after
            if not records.is_settled(one.location, one.sending)
        ]
        for other in self.lane.unsettled() if self.in_order else ():
            if not turn.waits_for(other):
                continue
            # What is sent again need not wait for itself.
            if (
                other.delivery_id == turn.delivery_id
                or records.is_settled(other.location, other.sending)
                or self._supersedes(turn, other)
            ):
                self.lane.settle(other)
            else:
                waits.append(_waiting(other, self._is_begun(other)))
        return waits

    @property
    def draft(self) -> Turn:
        """The place that it wants."""
        return turn_of(self.manifest, self.sending)

    def undone(self) -> list[Turn]:
        """What was sent and would not be in force any more if this one was sent again."""
        records = DeliveryRecords(self.staging)
        found = undone(self.draft, self.lane.turns())
        return [other for other in found if records.ended(other.location) is None]

    def _check(self, turns: Sequence[Turn]) -> None:
        """Refuse old data, by what is in the queue before it."""
        draft = self.draft
        records = DeliveryRecords(self.staging)
        newer = [
            other
            for other in overtaking(draft, turns)
            if is_refused(draft, other) and records.ended(other.location) is None
        ]
        if not newer or self.sending > 1:
            return
        if self.on_older is OnOlder.REFUSE:
            raise ConfigurationError(
                f"on_older: {refusal(draft, newer[-1])}. Nothing was sent. To send it all the "
                f"same, set on_older='send' for this run; to send the newer data again after it, "
                f"on_older='replay' with a ReplayNewerSensor behind its receipt"
            )
        _logger.warning("%s (on_older=%r)", refusal(draft, newer[-1]), str(self.on_older))

    def _supersedes(self, turn: Turn, other: Turn) -> bool:
        """Take the place of an earlier delivery for the same window that was never begun."""
        records = DeliveryRecords(self.staging)
        if not superseded(turn, [other]) or self._is_begun(other):
            return False
        reason = f"superseded by delivery {turn.delivery_id}, formatted later for the same window"
        if not records.end(other.location, DeliveryState.ABANDONED, reason):
            return True
        if self._is_begun(other):
            # Its upload began in the same moment: whoever looks second gives way.
            records.reopen(other.location)
            return False
        _logger.info("Delivery %s: %s", other.delivery_id, reason)
        return True

    def _is_begun(self, other: Turn) -> bool:
        return self.staging.exists(SendingFiles.of(other.location, other.sending).begun)


def turn_of(manifest: Manifest, sending: int = 1) -> Turn:
    """A delivery's place in the queue, its number still to be given."""
    name = manifest.file_name
    return Turn(
        number=0,
        delivery_id=manifest.delivery_id,
        location=manifest.location,
        sending=sending,
        name=stem(name),
        mode=name.mode if isinstance(name, DataFileName) else None,
        removes=manifest.removes,
        series=manifest.series,
        window_start=manifest.window_start,
        window_end=manifest.window_end,
        made_at=manifest.created_at,
        taken_at=timestamp(datetime.now(UTC)),
    )


def lane_of(staging: Folder, manifest: Manifest) -> Lane:
    """The queue of a delivery's target."""
    return Lane(staging, manifest.destination, target_of(manifest.file_name))


def _waiting(other: Turn, is_begun: bool) -> str:
    advice = "it is not acknowledged yet: let its sensor go on"
    if not is_begun:
        advice = "its upload was not begun: let its run go on"
    return (
        f"{other.title} has the place before it since {other.taken_at}, and {advice}, clear it, or "
        f"give it up by airflow-am deliveries abandon {other.delivery_id}"
    )
