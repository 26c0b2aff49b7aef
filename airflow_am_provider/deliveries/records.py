"""The records of a staging location: found, and changed by what comes and by what people decide.

How far a delivery came is decided by its target, see :mod:`airflow_am_provider.deliveries.target`.
Beside it lie its manifest, the notes of what was sent, and what the receipts said. It outlives
runs, workers and Airflow's database. What is known of one delivery is in
:mod:`airflow_am_provider.deliveries.record`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.findings import FAILED_RECORDS
from airflow_am_provider.deliveries.layout import MANIFEST_FILE, RECONCILIATION_FILE, numbered
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.record import DeliveryRecord, read_json
from airflow_am_provider.deliveries.standing import NEEDS_ATTENTION, Special
from airflow_am_provider.deliveries.target.commands import Acknowledge, End, PickUp, Reopen
from airflow_am_provider.deliveries.target.events import Outcome, Refused
from airflow_am_provider.deliveries.target.state import ON_ITS_WAY, DeliveryEntry
from airflow_am_provider.deliveries.target.state import DeliveryState as DeliveryState
from airflow_am_provider.deliveries.uploads.journal import timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_am_provider.deliveries.target.state import TargetState
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.deliveries.targets import Targets

#: Stands for all states in which Audience Manager may still be at work.
OUTSTANDING: Final = "outstanding"
#: What deliveries can be asked for by.
STATES_TO_ASK_FOR: Final = (
    *map(str, DeliveryState),
    OUTSTANDING,
    *map(str, Special),
    NEEDS_ATTENTION,
)
# To tell these, notes beside open deliveries are read.
_SPECIAL: Final = frozenset((*map(str, Special), NEEDS_ATTENTION))
KINDS: Final = ("data", "id_sync")
DELIVERIES: Final = "deliveries"
_CLOCKS: Final = timedelta(days=1)


class DeliveryRecords:
    """The records of a staging location.

    :param targets: its targets.

    Example::

        records = DeliveryRecords(AudienceManagerHook().targets())
        for record in records.all():
            print(record.entry.delivery_id, record.state)
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._staging = targets.staging

    def all(self) -> Iterator[DeliveryRecord]:
        """All of them, target by target, in each the newest first."""
        for target in self._targets.all():
            yield from self.of_target(target)

    def of_target(self, target: Target) -> Iterator[DeliveryRecord]:
        """Those of one target, the newest first, read page by page."""
        for entry in target.deliveries():
            yield DeliveryRecord(entry, target, self._staging)

    def matching(
        self,
        *,
        states: Collection[str] = (),
        target: str | None = None,
        dag: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[DeliveryRecord]:
        """Some of them, the newest last; history is read as far as it is needed.

        :param states: only those; ``outstanding`` stands for sending, sent and picked_up,
            ``needs_attention`` for all in which nothing goes on before somebody has looked. By
            default all.
        :param target: only those whose traits are set there.
        :param dag: only those that a task of this DAG has formatted.
        :param since: only those that were staged at this time or later.
        :param limit: at most so many of each target, the newest ones; by default all.
        :raises ConfigurationError: when there is no such state.
        """
        wanted = set(map(str, states))
        unknown = wanted - {*STATES_TO_ASK_FOR}
        if isinstance(states, str) or unknown:
            given = states if isinstance(states, str) else min(unknown)
            raise ConfigurationError(
                f"states: {given!r}: a list of some of {', '.join(STATES_TO_ASK_FOR)} is expected"
            )
        if OUTSTANDING in wanted:
            wanted.update(map(str, ON_ITS_WAY))
        found = [
            record
            for one in self._targets.all()
            if target in (None, one.name)
            for record in islice(
                (
                    each
                    for each in self._since(one, since)
                    if (not wanted or _is_one_of(each, wanted))
                    and (dag is None or each.entry.series.startswith(f"{dag}/"))
                ),
                limit,
            )
        ]
        return sorted(found, key=lambda record: str(record.entry.figures.get("created_at")))

    def _since(self, target: Target, since: datetime | None) -> Iterator[DeliveryRecord]:
        """Those that were staged at a time or later; older pages of history are not read."""
        if since is None:
            yield from self.of_target(target)
            return
        is_open = target.state().entries
        for record in self.of_target(target):
            entry = record.entry
            created = entry.figures.get("created_at")
            if created is None or datetime.fromisoformat(created) >= since:
                yield record
            # What was done with a day before it was staged before it, whatever clocks say.
            elif entry.delivery_id not in is_open and (
                datetime.fromisoformat(entry.since) < since - _CLOCKS
            ):
                return

    def find(self, delivery_id: str) -> DeliveryRecord:
        """One of them.

        :raises ConfigurationError: when there is none.
        """
        if delivery_id.isalnum():
            for kind in KINDS:
                record = self.at(f"{DELIVERIES}/{kind}/{delivery_id}")
                if record is not None:
                    return record
        raise ConfigurationError(f"delivery {delivery_id!r}: there is none in {self._staging.url}")

    def at(self, location: str) -> DeliveryRecord | None:
        """The one whose folder this is, or None."""
        content = self._staging.read_bytes(f"{location}/{MANIFEST_FILE}")
        if content is None:
            return None
        manifest = Manifest.from_json(content)
        target = self._targets.of(manifest)
        entry = target.find(manifest.delivery_id)
        return None if entry is None else DeliveryRecord(entry, target, self._staging)

    def end(self, delivery_id: str, state: DeliveryState, reason: str) -> DeliveryRecord:
        """Decide that a delivery will not be sent, or not be waited for any more.

        :param state: ``FAILED`` or ``ABANDONED``.
        :param reason: why, in a sentence, for those who look later.
        :raises ConfigurationError: when there is none, or it is acknowledged.
        """
        record = self.find(delivery_id)

        def command(known: TargetState) -> End:
            closed = record.target.closed(delivery_id, known)
            return End(
                delivery_id=delivery_id, at=_now(), state=state, reason=reason, closed=closed
            )

        try:
            record.target.decide(command)
        except Refused as refusal:
            raise ConfigurationError(str(refusal)) from None
        return self.find(delivery_id)

    def reopen(self, delivery_id: str) -> DeliveryRecord:
        """Take back that a delivery was given up, where nothing of it was sent.

        :raises ConfigurationError: when it may have been sent, or another version took its place.
        """
        record = self.find(delivery_id)

        def command(known: TargetState) -> Reopen:
            return Reopen(
                delivery_id=delivery_id,
                at=_now(),
                closed=record.target.closed(delivery_id, known),
                latest_left=record.target.versions(record.entry.subject).latest_left,
            )

        try:
            record.target.decide(command)
        except Refused as refusal:
            raise ConfigurationError(str(refusal)) from None
        return self.find(delivery_id)

    def picked_up(self, record: DeliveryRecord, sending: int) -> None:
        """Note that all files of a sending have their ``.processed`` marker."""
        record.target.decide(
            PickUp(delivery_id=record.entry.delivery_id, sending=sending, at=_now())
        )

    def record_reconciliation(
        self, record: DeliveryRecord, sending: int, found: dict[str, Any]
    ) -> DeliveryEntry | None:
        """Write what receipts and markers said of a sending, and decide what it means.

        :param found: the reconciliation with how it was judged.
        :return: the delivery, where it is newly acknowledged; None where it was before, or where
            nothing shows that it was read.
        """
        path = f"{record.entry.location}/{numbered(RECONCILIATION_FILE, sending)}"
        self._staging.write_bytes(path, json.dumps(found, indent=2).encode())
        if not found.get("acknowledged"):
            return None
        problems = [str(one) for one in found.get("problems") or ()]
        counts = found.get("counts") or {}
        state = DeliveryState.ACKNOWLEDGED
        if problems:
            state = DeliveryState.FAILED
        elif found.get("verdict") == "reconciled":
            state = DeliveryState.RECONCILED
        elif found.get("assumed"):
            state = DeliveryState.ASSUMED
        delivery_id, target = record.entry.delivery_id, record.target

        def command(known: TargetState) -> Acknowledge:
            return Acknowledge(
                delivery_id=delivery_id,
                sending=sending,
                at=str(found.get("concluded_at") or _now()),
                state=state,
                reason="; ".join(problems) or None,
                figures={
                    "records_received": counts.get("records_received"),
                    "stored_records": counts.get("stored_records"),
                    "verdict": found.get("verdict"),
                    "acknowledged_by": found.get("acknowledged_by"),
                    "failed_records": {
                        name: counts[name] for name in FAILED_RECORDS if counts.get(name)
                    },
                    "limits": found.get("limits") or {},
                    "timeout_s": found.get("timeout_s"),
                },
                closed=target.closed(delivery_id, known),
            )

        event = target.decide(command)
        was_known = record.is_acknowledged and record.state is not DeliveryState.ASSUMED
        is_new = event.outcome is Outcome.DONE and state is not DeliveryState.ASSUMED
        return event.entry if is_new and not was_known else None

    def counted(self, location: str, sending: int) -> list[dict[str, Any]]:
        """What the receipts of earlier sendings said: they say nothing of this one."""
        found = [
            read_json(self._staging, f"{location}/{numbered(RECONCILIATION_FILE, number)}") or {}
            for number in range(1, sending)
        ]
        return [one for each in found for one in each.get("receipts_said") or ()]


def _is_one_of(record: DeliveryRecord, wanted: Collection[str]) -> bool:
    """Whether a delivery is in one of some states, or stands so."""
    if str(record.state) in wanted:
        return True
    if _SPECIAL.isdisjoint(wanted):
        return False
    standing = record.standing
    return standing.name in wanted or (NEEDS_ATTENTION in wanted and standing.needs_attention)


def _now() -> str:
    return timestamp(datetime.now(UTC))
