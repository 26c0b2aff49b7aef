"""What about deliveries is worth telling somebody, each in a sentence of figures and names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.expiry import expiry_warning
from airflow_am_provider.deliveries.past_rates import rate_doubt
from airflow_am_provider.deliveries.target.queries import outstanding
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from datetime import date

    from airflow_am_provider.deliveries.record import DeliveryRecord
    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.deliveries.targets import Targets


class Topic(StrEnum):
    """What somebody can be told about."""

    LATE = "late"
    FAILED = "failed"
    MATCH_RATE = "match_rate"
    GUARD = "guard"
    EXPIRING = "expiring"
    IDLE_KEYS = "idle_keys"


#: Where the documentation is.
DOCS: Final = "https://github.com/airflow-am-provider/airflow-am-provider/blob/main/docs/"
#: What each is called in a subject, and the section of the documentation that says what to do.
TITLES: Final = {
    Topic.LATE: ("late acknowledgement", "receipts.md#when-no-receipt-comes"),
    Topic.FAILED: ("failed delivery", "receipts.md#at-3-am"),
    Topic.MATCH_RATE: ("falling match rate", "receipts.md#a-falling-match-rate"),
    Topic.GUARD: ("stopped by its guard", "operators.md#guardoperator"),
    Topic.EXPIRING: ("traits expire", "operators.md#traits-expire"),
    Topic.IDLE_KEYS: ("idle keys", "connection.md#rights-on-aws"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One thing to tell.

    :param topic: what it is about.
    :param sentence: what is known, with figures; no data of customers.
    :param delivery_id: the delivery, where it is about one.
    """

    topic: Topic
    sentence: str
    delivery_id: str | None = None


def of_dag(targets: Targets, dag_id: str) -> list[Notice]:
    """The outstanding deliveries of a DAG.

    :param targets: of the staging location.
    :param dag_id: the DAG that staged them.
    """
    return [
        _late(entry)
        for target in targets.all()
        for entry in outstanding(target.state())
        if _is_of(entry, dag_id)
    ]


def of_delivery(record: DeliveryRecord, today: date, *, is_awaited: bool) -> list[Notice]:
    """What there is to tell of one delivery; nothing where all is well.

    :param record: the delivery.
    :param today: the day, in UTC: whether traits expire soon.
    :param is_awaited: whether its acknowledgement was waited for in vain.
    """
    entry = record.entry
    found: list[tuple[Topic, str | None]] = []
    if is_awaited and entry.is_on_its_way:
        return [_late(entry)]
    if entry.state is DeliveryState.FAILED:
        found.append((Topic.FAILED, entry.reason or "it failed"))
    guard = record.guard or {}
    if guard.get("breaches") and not guard.get("decision"):
        asked = "A person is asked" if guard.get("is_asked") else "Nothing was sent"
        found.append((Topic.GUARD, f"{'; '.join(map(str, guard['breaches']))}. {asked}"))
    if record.is_acknowledged:
        figures = entry.figures
        found.append(
            (
                Topic.MATCH_RATE,
                rate_doubt(
                    entry,
                    record.target,
                    figures.get("records_received"),
                    figures.get("stored_records"),
                    only_below=True,
                ),
            )
        )
    found.append((Topic.EXPIRING, _expiring(record, today)))
    return [
        Notice(
            topic=topic,
            sentence=f"{entry.title}: {sentence}",
            delivery_id=entry.delivery_id,
        )
        for topic, sentence in found
        if sentence
    ]


def _expiring(record: DeliveryRecord, today: date) -> str | None:
    """As the task that staged it was warned: a difference says again what still holds."""
    entry, state = record.entry, record.target.state()
    if entry.mode is not Mode.SYNC or entry.series in state.snapshots:
        return None
    return expiry_warning(state, entry.series, today)


def _late(entry: DeliveryEntry) -> Notice:
    sentence = f"{entry.title} is {entry.state} since {entry.since}, and not acknowledged"
    return Notice(topic=Topic.LATE, sentence=sentence, delivery_id=entry.delivery_id)


def _is_of(entry: DeliveryEntry, dag_id: str) -> bool:
    origin = entry.figures.get("origin") or {}
    return origin.get("dag_id") == dag_id or entry.series.startswith(f"{dag_id}/")
