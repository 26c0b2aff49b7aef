"""``decide(state, command)``: every decision about a target, as a pure function.

The same state and command give the same answer, on every machine and at any time. What it gives is
written back only if nobody has decided anything meanwhile, see :mod:`.record`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target import commands
from airflow_am_provider.deliveries.target.closing import closed, reopened
from airflow_am_provider.deliveries.target.events import Event, Outcome, Refused, RefusedFor
from airflow_am_provider.deliveries.target.names import free_timestamp
from airflow_am_provider.deliveries.target.order import PAGE, moment
from airflow_am_provider.deliveries.target.queries import (
    blockers,
    newer_version,
    too_new_for,
    undone_by,
)
from airflow_am_provider.deliveries.target.queueing import queued
from airflow_am_provider.deliveries.target.snapshots import (
    acknowledged,
    is_left_out,
    said_again,
    with_extract_again,
    without_extract,
)
from airflow_am_provider.deliveries.target.staging import stage
from airflow_am_provider.deliveries.target.state import (
    PROCESSED_WELL,
    DeliveryEntry,
    DeliveryState,
    Sending,
    TargetState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.deliveries.target.commands import Command

#: So many deliveries of a task that only adds are waited for when nothing acknowledges them.
KEPT_UNACKNOWLEDGED: Final = 200
_GIVEN_UP: Final = (DeliveryState.ABANDONED, DeliveryState.FAILED, DeliveryState.SUPERSEDED)
#: So many deliveries of a series are remembered for guards.
KEPT_PREVIOUS: Final = 20

Decision = tuple[TargetState, Event]


def decide(state: TargetState, command: Command) -> Decision:
    """Decide.

    :param state: the target as it is.
    :param command: what is asked for.
    :return: the target as it is then, and what was decided.
    :raises Refused: when it is not done; the target stays as it is.
    """
    return _decide(command, state)


@singledispatch
def _decide(command: object, state: TargetState) -> Decision:
    raise TypeError(f"{type(command).__name__} is no command")


@_decide.register
def _(command: commands.Stage, state: TargetState) -> Decision:
    return stage(state, command)


@_decide.register
def _(command: commands.Enqueue, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id, command.closed)
    if entry.state is not DeliveryState.STAGED:
        _check_not_given_up(entry)
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    newer = newer_version(state, entry)
    if newer is not None:
        return _superseded(state, entry, newer, command.at)
    too_new = too_new_for(state, entry)
    if too_new and command.on_older is commands.OnOlder.REFUSE:
        raise Refused(RefusedFor.TOO_OLD, _too_old(entry, too_new[-1]), too_new)
    state, older = _superseding(state, entry, command.at)
    return queued(state, entry, command.at), Event(
        entry=replace(entry, state=DeliveryState.QUEUED, since=command.at), superseded=older
    )


@_decide.register
def _(command: commands.Begin, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id, command.closed)
    _check_not_given_up(entry)
    sending = entry.sending
    goes_elsewhere = sending is not None and sending.url != command.url
    if entry.delivery_id not in state.entries or (
        entry.state in (DeliveryState.SENT, DeliveryState.PICKED_UP) and not goes_elsewhere
    ):
        if goes_elsewhere:
            assert sending is not None
            raise Refused(
                RefusedFor.PROCESSED,
                f"delivery {entry.delivery_id} was sent to {sending.url} and is {entry.state}; to "
                f"send it to {command.url} as well: airflow-am deliveries resend "
                f"{entry.delivery_id}",
            )
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    if entry.state is DeliveryState.STAGED:
        raise Refused(
            RefusedFor.NO_STATE, f"delivery {entry.delivery_id} has no place in the queue yet"
        )
    if entry.state is DeliveryState.SENDING and not goes_elsewhere:
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    waits = blockers(state, entry) if command.in_order else []
    if waits:
        raise Refused(RefusedFor.NOT_YET, "; ".join(map(waiting_for, waits)), waits)
    state = state.next_number()
    new = Sending(
        number=1,
        url=command.url,
        day=command.day,
        begun=state.sequence,
        begun_at=command.at,
    )
    if sending is not None:
        goes_on = sending.sent_at is None and not goes_elsewhere
        new = (
            replace(sending, begun=state.sequence)
            if goes_on
            else replace(new, number=sending.number + 1)
        )
    entry = replace(
        entry,
        state=DeliveryState.SENDING,
        since=command.at,
        sending=new,
        may_have_left=True,
        in_order=command.in_order,
    )
    if entry.mode is Mode.OVERWRITE:
        state = replace(state, last_overwrite=state.sequence)
    return state.with_entry(entry), Event(entry=entry)


@_decide.register
def _(command: commands.Rename, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id)
    if entry.timestamp != command.timestamp:
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    if entry.delivery_id not in state.entries or (
        entry.sending is not None and entry.sending.number > 1
    ):
        raise Refused(
            RefusedFor.NO_STATE, f"delivery {entry.delivery_id}: its names were used already"
        )
    last = state.names.get(entry.name, 0)
    timestamp = free_timestamp(entry.mode, now=command.now, last=last)
    state = replace(state, names={**state.names, entry.name: timestamp})
    entry = replace(entry, timestamp=timestamp)
    return state.with_entry(entry), Event(entry=entry)


@_decide.register
def _(command: commands.Complete, state: TargetState) -> Decision:
    entry = state.entries.get(command.delivery_id)
    sending = _last_sending(entry, command.sending)
    if entry is None or sending is None or entry.state is not DeliveryState.SENDING:
        return state, Event(outcome=Outcome.ALREADY, entry=state.find(command.delivery_id))
    entry = replace(
        entry,
        state=DeliveryState.SENT,
        since=command.at,
        sending=replace(sending, sent_at=command.at),
    )
    state = _sent_whole(state.with_entry(entry), entry)
    for other in _not_waited_for(state, entry):
        state = closed(state, other)
    return state, Event(entry=entry)


@_decide.register
def _(command: commands.PickUp, state: TargetState) -> Decision:
    entry = state.entries.get(command.delivery_id)
    sending = _last_sending(entry, command.sending)
    if entry is None or sending is None or entry.state is not DeliveryState.SENT:
        return state, Event(outcome=Outcome.ALREADY, entry=state.find(command.delivery_id))
    entry = replace(entry, state=DeliveryState.PICKED_UP, since=command.at)
    return state.with_entry(entry), Event(entry=entry)


@_decide.register
def _(command: commands.Acknowledge, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id, command.closed)
    was_assumed = entry.state is DeliveryState.ASSUMED
    is_settled = entry.state in PROCESSED_WELL and not was_assumed
    # A sign has told more than time can.
    is_settled |= command.state is DeliveryState.ASSUMED and entry.state is DeliveryState.FAILED
    if _last_sending(entry, command.sending) is None or is_settled:
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    judged = replace(
        entry,
        state=command.state,
        reason=command.reason,
        figures={**entry.figures, **command.figures},
    )
    if judged == entry:
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    # Looked at once more, it came where it is when it came there.
    is_new = entry.state is not judged.state
    entry = replace(judged, since=command.at if is_new else entry.since)
    # Every record arrived, whether or not the worker lived to note that it was sent.
    state = closed(_sent_whole(state, entry), entry)
    if entry.state in PROCESSED_WELL:
        state = acknowledged(state, entry)
    if entry.state is DeliveryState.ASSUMED or (
        was_assumed and entry.state is DeliveryState.FAILED
    ):
        state = said_again(state, entry.delivery_id)
    return state, Event(entry=entry)


@_decide.register
def _(command: commands.End, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id, command.closed)
    if entry.state in PROCESSED_WELL or (
        entry.state is DeliveryState.FAILED and entry.may_have_left
    ):
        raise Refused(
            RefusedFor.PROCESSED,
            f"delivery {entry.delivery_id}: {entry.state} since {entry.since}, so there is nothing "
            f"to abandon: Audience Manager has processed it",
        )
    if entry.delivery_id not in state.entries and entry.state in _GIVEN_UP:
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    entry = replace(entry, state=command.state, since=command.at, reason=command.reason)
    state = closed(state, entry)
    if not entry.may_have_left:
        state = without_extract(state, entry.delivery_id)
    return state, Event(entry=entry)


@_decide.register
def _(command: commands.Reopen, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id, command.closed)
    if entry.delivery_id in state.entries or entry.state not in _GIVEN_UP:
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    if entry.may_have_left:
        raise Refused(
            RefusedFor.NO_STATE,
            f"delivery {entry.delivery_id} may have been sent before it was {entry.state}; to send "
            f"it again: airflow-am deliveries resend {entry.delivery_id}",
        )
    newer = newer_version(state, entry, command.latest_left)
    if newer is not None:
        raise Refused(RefusedFor.SUPERSEDED, _superseded_by(entry, newer), [newer])
    _check_not_left_out(state, entry)
    entry = replace(entry, state=DeliveryState.STAGED, since=command.at, reason=None)
    state = with_extract_again(reopened(state, entry), entry.delivery_id)
    return state, Event(entry=entry)


@_decide.register
def _(command: commands.Resend, state: TargetState) -> Decision:
    entry = _found(state, command.delivery_id, command.closed)
    undone = undone_by(state, entry, command.latest_left)
    if undone and not command.force:
        raise Refused(RefusedFor.TOO_OLD, _too_old(entry, undone[-1]), undone)
    last = 0 if entry.sending is None else entry.sending.number
    was_sent_since = command.after is not None and last > command.after
    if was_sent_since or entry.state in (DeliveryState.QUEUED, DeliveryState.SENDING):
        return state, Event(outcome=Outcome.ALREADY, entry=entry)
    if not command.force:
        _check_not_left_out(state, entry)
    state = with_extract_again(reopened(state, entry), entry.delivery_id)
    state, older = _superseding(state, entry, command.at)
    state = queued(state, replace(entry, reason=None), command.at)
    return state, Event(entry=state.entries[entry.delivery_id], superseded=older)


@_decide.register
def _(command: commands.NoteEmptyWindow, state: TargetState) -> Decision:
    return _moved(state, command.watermark, command.end), Event()


def waiting_for(other: DeliveryEntry) -> str:
    """What a waiting delivery is told of one that goes before it: what it is, and what to do."""
    advice = "it is not acknowledged yet: let its sensor go on"
    if other.state is DeliveryState.QUEUED:
        advice = "its upload was not begun: let its run go on"
    elif other.state is DeliveryState.SENDING:
        advice = "it is not sent whole yet: let its upload go on"
    return (
        f"{other.title} goes before it, {other.state} since {other.since}, and {advice}, clear it, "
        f"or give it up by airflow-am deliveries abandon {other.delivery_id}"
    )


def _found(
    state: TargetState, delivery_id: str, looked_up: DeliveryEntry | None = None
) -> DeliveryEntry:
    entry = state.find(delivery_id) or looked_up
    if entry is None:
        raise Refused(RefusedFor.UNKNOWN, f"delivery {delivery_id!r}: there is none")
    return entry


def _last_sending(entry: DeliveryEntry | None, number: int) -> Sending | None:
    """The entry's last sending, if it is the one of this number."""
    if entry is None or entry.sending is None or entry.sending.number != number:
        return None
    return entry.sending


def _check_not_given_up(entry: DeliveryEntry) -> None:
    if entry.state in _GIVEN_UP and not (
        entry.state is DeliveryState.FAILED and entry.may_have_left
    ):
        is_superseded = entry.state is DeliveryState.SUPERSEDED
        raise Refused(
            RefusedFor.SUPERSEDED if is_superseded else RefusedFor.ENDED,
            f"delivery {entry.delivery_id}: {entry.state} at {entry.since}, so it is not sent: "
            f"{entry.reason}. To send it all the same: airflow-am deliveries resend "
            f"{entry.delivery_id}",
        )


def _check_not_left_out(state: TargetState, entry: DeliveryEntry) -> None:
    if is_left_out(state, entry):
        raise Refused(
            RefusedFor.NO_STATE,
            f"{entry.title} was given up, and later extracts were not compared with it, so what "
            f"it says would stay. Extract again",
        )


def _superseded(
    state: TargetState, entry: DeliveryEntry, newer: DeliveryEntry, at: str
) -> Decision:
    entry = replace(
        entry, state=DeliveryState.SUPERSEDED, since=at, reason=_superseded_by(entry, newer)
    )
    state = without_extract(closed(state, entry), entry.delivery_id)
    return state, Event(outcome=Outcome.SUPERSEDED, entry=entry)


def _superseding(
    state: TargetState, entry: DeliveryEntry, at: str
) -> tuple[TargetState, tuple[DeliveryEntry, ...]]:
    """Take the place of earlier versions of which nothing was sent."""
    older = tuple(
        other
        for other in state.entries.values()
        if other.subject == entry.subject
        and other.version < entry.version
        and not other.may_have_left
    )
    for other in older:
        state, _ = _superseded(state, other, entry, at)
    return state, older


def _superseded_by(entry: DeliveryEntry, newer: DeliveryEntry) -> str:
    return (
        f"superseded by delivery {newer.delivery_id}, version {newer.version} of the same data; "
        f"this is version {entry.version}"
    )


def _too_old(entry: DeliveryEntry, newer: DeliveryEntry) -> str:
    return (
        f"{entry.title} is older than what was sent for the same target: {newer.title}. It would "
        f"put old data in force, as Audience Manager goes by what it reads last ({PAGE})"
    )


def _sent_whole(state: TargetState, entry: DeliveryEntry) -> TargetState:
    """Remember that a delivery was sent whole: for guards, and for the next window."""
    state = replace(state, said_since=_said_since(state, entry))
    known = [one for one in state.previous.get(entry.series, ()) if one != entry.delivery_id]
    kept = (*known, entry.delivery_id)[-KEPT_PREVIOUS:]
    state = replace(state, previous={**state.previous, entry.series: kept})
    if entry.watermark is None or entry.window.end is None:
        return state
    return _moved(state, entry.watermark, entry.window.end.isoformat())


def _said_since(state: TargetState, entry: DeliveryEntry) -> Mapping[str, str]:
    """Since when each series has said what it says; see ``TargetState.said_since``."""
    day = "" if entry.sending is None else entry.sending.begun_at[:10]
    if entry.mode is Mode.OVERWRITE and day:
        return dict.fromkeys([*state.previous, *state.said_since], day)
    # It is not known of a series that was sent before this was kept.
    is_first = entry.series not in state.previous and entry.series not in state.said_since
    if entry.mode is Mode.SYNC and day and is_first:
        return {**state.said_since, entry.series: day}
    return state.said_since


def _not_waited_for(state: TargetState, entry: DeliveryEntry) -> list[DeliveryEntry]:
    """What was sent and is not waited for any more, now that a delivery was sent.

    The delivery itself, where the account gets neither receipts nor markers. And of a task whose
    deliveries only add, those that so many later ones have followed: they are processed by now, and
    nobody has looked for their receipts.
    """
    if not entry.in_order:
        return [entry]
    adding = [
        other
        for other in state.entries.values()
        if other.series == entry.series
        and not other.removes
        and other.state in (DeliveryState.SENT, DeliveryState.PICKED_UP)
    ]
    adding.sort(key=lambda other: other.staged)
    return adding[:-KEPT_UNACKNOWLEDGED]


def _moved(state: TargetState, watermark: str, end: str) -> TargetState:
    """Move a watermark forward; it never goes back."""
    known = state.watermarks.get(watermark)
    if known is not None and moment(known) >= moment(end):
        return state
    return replace(state, watermarks={**state.watermarks, watermark: end})
