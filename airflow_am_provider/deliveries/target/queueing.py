"""Where in the queue a delivery gets its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.target.order import conflicts, is_older
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState


def queued(state: TargetState, entry: DeliveryEntry, at: str) -> TargetState:
    """Give a delivery its place: before what waits with newer data, after what it must follow."""
    entry = replace(entry, state=DeliveryState.QUEUED, since=at)
    others = [one for one in state.queue if one != entry.delivery_id]
    if entry.delivery_id in state.queue:
        # Sent again while nobody knows what became of it: those after it wait for it as before.
        return state.with_entry(entry)
    begun, newer = 0, []
    for index, delivery_id in enumerate(others):
        other = state.entries[delivery_id]
        if not (conflicts(entry, other) or entry.subject == other.subject):
            continue
        if other.is_on_its_way:
            begun = index + 1
        elif is_older(entry, other):
            newer.append(delivery_id)
    first = min((others.index(one) for one in newer), default=len(others))
    if first >= begun:
        queue = [*others[:first], entry.delivery_id, *others[first:]]
    else:
        before = [one for one in others[:begun] if one not in newer]
        moved = [one for one in others[:begun] if one in newer]
        queue = [*before, entry.delivery_id, *moved, *others[begun:]]
    return replace(state.with_entry(entry), queue=tuple(queue))
