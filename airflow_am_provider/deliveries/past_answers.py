"""What the records of a staging location know of answers: of one target, and of those beside it.

A data source that never had an answer while others have had some points to that data source; an
answer to nobody for days points to Adobe, the way there or the mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.result import UploadResult

#: How many deliveries of the target are looked at, the newest first: two pages of history at most.
LOOKED_AT: Final = 50
#: How many other targets are looked at; of each one document is read.
MOST_TARGETS: Final = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class PastAnswers:
    """When something came back, as far as it is known.

    :param own: the newest delivery of the same target that a sign acknowledged, or None.
    :param sent: how many deliveries of it were sent before, of those that were looked at.
    :param other: the newest of the other targets of the same destination, or None.
    :param other_name: that target.
    :param had_receipt: whether any of them had a receipt with a count.
    """

    own: DeliveryEntry | None = None
    sent: int = 0
    other: DeliveryEntry | None = None
    other_name: str = ""
    had_receipt: bool = False


def past_answers(delivery: UploadResult, targets: Targets) -> PastAnswers:
    """Look; a bounded number of documents is read.

    :param delivery: the one that has no answer.
    :param targets: of the staging location.
    """
    own = targets.named(delivery.destination_name, delivery.target)
    past = [
        entry
        for entry in islice(own.deliveries(), LOOKED_AT)
        if entry.delivery_id != delivery.delivery_id and entry.times_sent
    ]
    mine = _newest(past)
    others: list[tuple[DeliveryEntry, str]] = []
    for target in islice(targets.all(), MOST_TARGETS):
        if (target.destination, target.name) == (own.destination, own.name):
            continue
        if target.destination == own.destination:
            state = target.state()
            # Landmarks have no figures, so they come last.
            found = _newest([*state.entries.values(), *state.done, *state.landmarks])
            if found is not None:
                others.append((found, target.name))
    other, name = max(others, key=lambda one: _moment(one[0]), default=(None, ""))
    known = [entry for entry in (mine, other) if entry is not None]
    return PastAnswers(
        own=mine,
        sent=len(past),
        other=other,
        other_name=name,
        had_receipt=any(one.figures.get("records_received") is not None for one in known),
    )


def in_words(past: PastAnswers, delivery: UploadResult) -> str:
    """What to look at first, and what says so: the rest of a sentence that begins with *Check*."""
    what, beside = _named(delivery.target), _named(past.other_name)
    if past.own is None and past.other is None:
        return (
            "the mailbox and the way to Adobe first: as far as the records of staging go, nothing "
            "was ever acknowledged"
        )
    if past.own is None:
        assert past.other is not None
        times = (
            f", in {counted(past.sent, 'delivery', 'deliveries')} before this one"
            if past.sent
            else ""
        )
        return (
            f"the number and the setting up of {what} first: it was never acknowledged{times}, and "
            f"{beside} was, last at {past.other.since}"
        )
    newest = max(filter(None, (past.own, past.other)), key=_moment)
    if _moment(newest) < delivery.sent_at:
        return (
            f"Adobe, the way there and the mailbox first, rather than {what}: at this connection's "
            f"destination nothing of any data source was acknowledged since {newest.since}, before "
            f"this was sent"
        )
    other = f", and {beside} at {past.other.since}" if past.other is not None else ""
    return f"{what} first: it was acknowledged last at {past.own.since}{other}"


def _newest(entries: Iterable[DeliveryEntry]) -> DeliveryEntry | None:
    """The one that a sign acknowledged last, well or not; a fixed wait is none."""
    states = (DeliveryState.ACKNOWLEDGED, DeliveryState.RECONCILED)
    answered = [
        entry
        for entry in entries
        if entry.state in states or (entry.state is DeliveryState.FAILED and entry.may_have_left)
    ]
    return max(answered, key=_moment, default=None)


def _moment(entry: DeliveryEntry) -> datetime:
    return datetime.fromisoformat(entry.since)


def _named(target: str) -> str:
    """A target for a sentence: a data source, or the kind of an ID sync.

    >>> _named("478"), _named("adobe_id_0_478")
    ('data source 478', 'the ID sync adobe_id_0_478')
    """
    return f"data source {target}" if target.isdigit() else f"the ID sync {target}"
