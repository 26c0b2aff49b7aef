"""A delivery in the queue of its target: entering it, and what has to be processed first."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.commands import Enqueue, OnOlder
from airflow_am_provider.deliveries.target.decide import waiting_for
from airflow_am_provider.deliveries.target.events import Outcome, Refused, RefusedFor
from airflow_am_provider.deliveries.target.queries import blockers, is_settled, too_new_for
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.uploads.journal import Superseded, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.result import UploadResult

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class QueueGate:
    """The queue of a delivery's target, as one delivery sees it.

    :param targets: of the staging location.
    :param manifest: the delivery.
    :param on_older: what to do when newer data was sent already.
    :param after: deliveries that must be acknowledged before it, such as the ID sync's.
    :param in_order: whether to wait for what was sent to the same target before it.
    """

    targets: Targets
    manifest: Manifest
    on_older: OnOlder = OnOlder.REFUSE
    after: Sequence[UploadResult] = ()
    in_order: bool = True

    @property
    def target(self) -> Target:
        """The delivery's target."""
        return self.targets.of(self.manifest)

    def enter(self) -> DeliveryEntry:
        """Take an entry in the queue, unless the delivery has one or was sent.

        :return: the delivery as its target knows it.
        :raises Superseded: when another version of the same window took its place.
        :raises ConfigurationError: when it is refused, or was given up.
        """
        target, delivery_id = self.target, self.manifest.delivery_id

        def command(state: TargetState) -> Enqueue:
            return Enqueue(
                delivery_id=delivery_id,
                at=timestamp(datetime.now(UTC)),
                on_older=self.on_older,
                closed=target.closed(delivery_id, state),
            )

        try:
            event = target.decide(command)
        except Refused as refusal:
            if refusal.why is RefusedFor.SUPERSEDED:
                raise Superseded(str(refusal)) from None
            raise self._error(refusal) from None
        entry = event.entry
        assert entry is not None
        for other in event.superseded:
            _logger.info("Delivery %s is not sent any more: this one takes its place", other.title)
        if event.outcome is Outcome.SUPERSEDED:
            raise Superseded(f"delivery {delivery_id}: {entry.reason}")
        if event.outcome is Outcome.DONE and self.on_older is not OnOlder.REFUSE:
            self._tell_of_newer(entry)
        return entry

    def waits_for(self) -> list[str]:
        """What must be processed before it, in sentences; nothing when it may be sent now."""
        state = self.target.state()
        entry = state.entries.get(self.manifest.delivery_id)
        waits = [
            f"delivery {one.delivery_id}, which goes before it, is not acknowledged yet"
            for one in self.after
            if not self._is_settled(one)
        ]
        if entry is not None and entry.state is DeliveryState.QUEUED and self.in_order:
            waits += map(waiting_for, blockers(state, entry))
        return waits

    def waited_for(self) -> str:
        """What is waited for, for the log."""
        return (
            f"the turn of delivery {self.manifest.delivery_id} in the queue of target "
            f"{self.target.name} at {self.target.destination}, whose document is in "
            f"{self.target.home.url}"
        )

    def _is_settled(self, sent: UploadResult) -> bool:
        """Whether a delivery of another target need not be waited for."""
        target = self.targets.named(sent.destination_name, sent.target)
        return is_settled(target.state().entries.get(sent.delivery_id))

    def _tell_of_newer(self, entry: DeliveryEntry) -> None:
        newer = too_new_for(self.target.state(), entry)
        if newer:
            _logger.warning(
                "%s is older than %s, which was sent before it (on_older=%r)",
                entry.title,
                newer[-1].title,
                str(self.on_older),
            )

    def _error(self, refusal: Refused) -> Exception:
        if refusal.why is RefusedFor.TOO_OLD:
            return ConfigurationError(
                f"on_older: {refusal}. Nothing was sent. To send it all the same, set "
                f"on_older='send' for this run; to send the newer data again after it, "
                f"on_older='replay' with a ReplayNewerSensor after its receipt"
            )
        if refusal.why is RefusedFor.UNKNOWN:
            return ConfigurationError(
                f"delivery {self.manifest.delivery_id}: {self.target.home.url} knows nothing of "
                f"it, so it was staged elsewhere, or its target's document is gone; format the "
                f"rows again"
            )
        return ConfigurationError(str(refusal))
