"""What a state says. Nothing here changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.target.order import (
    comes_too_late,
    conflicts,
    is_older,
    would_undo,
)
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState


def blockers(state: TargetState, entry: DeliveryEntry) -> list[DeliveryEntry]:
    """What has to be processed before a queued delivery may be sent, first come first.

    A version of the same subject only has to be sent whole, as nobody can stop it half way.
    """
    found: list[DeliveryEntry] = []
    for delivery_id in state.queue:
        if delivery_id == entry.delivery_id:
            return found
        other = state.entries[delivery_id]
        is_half_way = other.subject == entry.subject and other.state in (
            DeliveryState.QUEUED,
            DeliveryState.SENDING,
        )
        if conflicts(entry, other) or is_half_way:
            found.append(other)
    return found


def deciding(state: TargetState, *more: DeliveryEntry | None) -> list[DeliveryEntry]:
    """All deliveries that can make another one too old; of each what is known last.

    :param more: deliveries that are done with, as far as they were looked up.
    """
    known: dict[str, DeliveryEntry] = {}
    for entry in (*more, *state.landmarks, *state.done, *state.entries.values()):
        if entry is not None:
            known[entry.delivery_id] = entry
    return list(known.values())


def too_new_for(
    state: TargetState, late: DeliveryEntry, *more: DeliveryEntry | None
) -> list[DeliveryEntry]:
    """What may be in force and is newer, so that a delivery that was never sent comes too late."""
    return _by_age(
        other
        for other in deciding(state, *more)
        if other.may_have_left and comes_too_late(late, other)
    )


def undone_by(
    state: TargetState, late: DeliveryEntry, *more: DeliveryEntry | None
) -> list[DeliveryEntry]:
    """What would not be in force any more if a delivery was sent now, oldest data first."""
    return _by_age(
        other
        for other in deciding(state, *more)
        if other.may_have_left and other.delivery_id != late.delivery_id and would_undo(late, other)
    )


def newer_version(
    state: TargetState, entry: DeliveryEntry, *more: DeliveryEntry | None
) -> DeliveryEntry | None:
    """A newer version of the same subject that has an entry in the queue or may have left."""
    return next(
        (
            other
            for other in deciding(state, *more)
            if other.subject == entry.subject
            and other.version > entry.version
            and (other.may_have_left or other.delivery_id in state.queue)
        ),
        None,
    )


def to_follow(late: DeliveryEntry, others: Iterable[DeliveryEntry]) -> list[DeliveryEntry]:
    """Newer data that has to be in force after a delivery of older data, oldest data first.

    For each subject this is the newest version that may have left. What was sent of it before the
    late one (:func:`was_sent_before`) has to be sent again.

    :param late: the delivery that came late.
    :param others: deliveries of the target, those that are done with among them.
    """
    newest: dict[str, DeliveryEntry] = {}
    for other in others:
        if not other.may_have_left or other.delivery_id == late.delivery_id:
            continue
        known = newest.get(other.subject)
        if known is None or other.version >= known.version:
            newest[other.subject] = other
    return _by_age(
        other
        for other in newest.values()
        if other.state is not DeliveryState.ABANDONED
        and conflicts(late, other)
        and (is_older(late, other) or would_undo(late, other))
    )


def was_sent_before(one: DeliveryEntry, other: DeliveryEntry) -> bool:
    """Whether the last sending of one delivery began before that of another."""
    assert one.sending is not None
    assert other.sending is not None
    return one.sending.begun < other.sending.begun


def is_settled(entry: DeliveryEntry | None) -> bool:
    """Whether a delivery need not be waited for: processed, or ended without that.

    :param entry: None for one that the target does not know as open.
    """
    return entry is None or not (
        entry.is_on_its_way or entry.state in (DeliveryState.STAGED, DeliveryState.QUEUED)
    )


def outstanding(state: TargetState) -> list[DeliveryEntry]:
    """Deliveries of which something is still to come: they are to be sent, or to be acknowledged.

    One that was never sent and has a newer version beside it is none of them: its run was done
    again with other rows, and nobody sends it any more.
    """
    newest: dict[str, int] = {}
    for entry in deciding(state):
        if entry.state not in (DeliveryState.ABANDONED, DeliveryState.SUPERSEDED):
            newest[entry.subject] = max(entry.version, newest.get(entry.subject, 0))
    return [
        entry
        for entry in state.entries.values()
        if entry.may_have_left
        or entry.state is DeliveryState.QUEUED
        or entry.version >= newest.get(entry.subject, 0)
    ]


def _by_age(entries: Iterable[DeliveryEntry]) -> list[DeliveryEntry]:
    """Oldest data first; what has no window by when it was staged, after what has one."""
    return sorted(
        entries,
        key=lambda one: (
            one.window.end is None,
            0.0 if one.window.end is None else one.window.end.timestamp(),
            one.staged,
        ),
    )
