"""Watches an inbox for an asset: each batch from Audience Manager is an event of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.formatting.progress import duration
from airflow_am_provider.hooks.polling import (
    LONGEST_PAUSE_S,
    POKE_INTERVAL_S,
    Seen,
    Waiting,
    in_thread,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_am_provider.outbound.arrival import ArrivalWatch

__all__ = ["OutboundArrivalTrigger"]

_logger = logging.getLogger(__name__)
_STORE_KEY: Final = "audience_manager_told"


class OutboundArrivalTrigger(BaseEventTrigger):
    """For an ``AssetWatcher``: each batch of segment files that is complete is an event.

    What is complete is decided as in
    :class:`~airflow_am_provider.sensors.outbound_files.OutboundFilesSensor`. The event's payload is
    what that sensor returns of a batch, and ``location``: in a run that is started so, the sensor
    returns these batches at once. A batch that Adobe sends again with other content is an event
    again.

    An event may come twice, and none is left out: what was told is kept in Airflow's store for the
    state of assets, where there is one (Airflow 3.3); without it, a triggerer that starts anew
    tells all that lies there once more. A batch that is told twice is loaded once all the same.

    It looks for ever. What fails is in the triggerer's log, and it looks again after a pause.

    :param location: Where Adobe puts its files, as for the sensor. Not templated: an asset has no
        run.
    :param source_conn_id: As for the sensor.
    :param destination: As for the sensor.
    :param sync_mode: As for the sensor.
    :param quiet_period: Seconds, as for the sensor; only for accounts without control files.
    :param name_template: As for the sensor.
    :param timestamp_digits: As for the sensor.
    :param poke_interval: Seconds between two looks.

    Example::

        arrived = Asset(
            "acme_segments",
            watchers=[
                AssetWatcher(
                    name="acme_segments",
                    trigger=OutboundArrivalTrigger(location="s3://acme-segments/from-adobe"),
                )
            ],
        )
    """

    def __init__(
        self,
        *,
        location: str,
        source_conn_id: str | None = None,
        destination: int | None = None,
        sync_mode: str | None = None,
        quiet_period: float | None = None,
        name_template: str | None = None,
        timestamp_digits: int | None = None,
        poke_interval: float = POKE_INTERVAL_S,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no annotations
        self.location = location
        self.source_conn_id = source_conn_id
        self.destination = destination
        self.sync_mode = sync_mode
        self.quiet_period = quiet_period
        self.name_template = name_template
        self.timestamp_digits = timestamp_digits
        self.poke_interval = poke_interval
        # Kept between looks: a quiet period is what this very process has seen.
        self._watch: ArrivalWatch | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its parameters, for the database."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {**self._inbox(), "poke_interval": self.poke_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, tell what is new, sleep, look again."""
        waiting = Waiting(self.poke_interval)
        told = await self._recalled()
        noted = dict(told)
        while True:
            pause_s: float | None = LONGEST_PAUSE_S
            try:
                seen = await in_thread(waiting.look, self.look)
            except AudienceManagerError as error:
                # There is no task that could fail. Whoever mends it may change the connection.
                self._watch = None
                _logger.error(
                    "%s cannot be watched: %s. Next look in %s",
                    self.location,
                    error,
                    duration(LONGEST_PAUSE_S),
                )
            else:
                pause_s = waiting.pause_s()
                if seen is not None:
                    if told != noted:
                        # Only now, as Airflow has written the events of the last look down by now.
                        noted = dict(told)
                        await self._note(noted)
                    complete, waits = seen.result
                    new = [one for one in complete if told.get(one["batch"]) != one["version"]]
                    # What is gone from the inbox is forgotten.
                    told = {batch: told[batch] for batch in waits if batch in told}
                    told |= {one["batch"]: one["version"] for one in complete}
                    for one in new:
                        event = {**one, "location": self.location}
                        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # as above
            await asyncio.sleep(pause_s or 0.0)

    def look(self) -> Seen:
        """Look once, in a thread. The result is what is complete, and the names of what waits.

        :raises TransientError: when it may go better next time.
        :raises AudienceManagerError: when it will not.
        """
        from airflow_am_provider.hooks.outbound_inbox import arrival_watch, described

        self._watch = self._watch or arrival_watch(**self._inbox())
        look = self._watch.look()
        return Seen(
            f"{self.location}: {look}",
            is_over=False,
            result=(
                [described(batch) for batch in look.complete],
                [batch.batch_id for batch, _ in look.waiting],
            ),
        )

    async def _recalled(self) -> dict[str, str]:
        """What was told before this process: each batch with its version."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return {}
        try:
            found = await _asked(store, "get", self._store_key())
        except Exception as error:  # noqa: BLE001  # of Airflow's store; without it all is told anew
            _logger.warning("What was told before is not known: %s", error)
            return {}
        is_right = isinstance(found, dict) and all(isinstance(one, str) for one in found.values())
        return dict(found) if is_right else {}

    async def _note(self, told: dict[str, str]) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        try:
            await _asked(store, "set", self._store_key(), told)
        except Exception as error:  # noqa: BLE001  # as above: it is told again, which does no harm
            _logger.warning("What was told is not kept: %s", error)

    def _store_key(self) -> str:
        """One for each inbox: an asset may have several watchers."""
        said = json.dumps(self._inbox(), sort_keys=True)
        return f"{_STORE_KEY}_{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def _inbox(self) -> dict[str, Any]:
        return {
            "location": self.location,
            "source_conn_id": self.source_conn_id,
            "destination": self.destination,
            "sync_mode": self.sync_mode,
            "quiet_period": self.quiet_period,
            "name_template": self.name_template,
            "timestamp_digits": self.timestamp_digits,
        }


async def _asked(store: Any, verb: str, *arguments: Any) -> Any:
    """Ask the store: its verbs for the event loop came with Airflow 3.3.2."""
    found = getattr(store, f"a{verb}", None)
    return await (found(*arguments) if found else in_thread(getattr(store, verb), *arguments))
