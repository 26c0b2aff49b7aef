"""What becomes of the state when a delivery is done with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.target.order import landmarks

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState


def closed(state: TargetState, entry: DeliveryEntry) -> TargetState:
    """Take a delivery out of what is open; what later decisions need of it stays.

    :param entry: as it is from now on.
    """
    state = state.next_number()
    entry = replace(entry, decided=state.sequence)
    others = {key: one for key, one in state.entries.items() if key != entry.delivery_id}
    before = [one for one in state.landmarks if one.delivery_id != entry.delivery_id]
    return replace(
        state,
        entries=others,
        queue=tuple(one for one in state.queue if one != entry.delivery_id),
        landmarks=landmarks([*before, replace(entry, figures={})]),
        done=(*(one for one in state.done if one.delivery_id != entry.delivery_id), entry),
    )


def reopened(state: TargetState, entry: DeliveryEntry) -> TargetState:
    """Put a delivery that was done with among the open ones again."""
    return replace(
        state,
        entries={**state.entries, entry.delivery_id: entry},
        done=tuple(one for one in state.done if one.delivery_id != entry.delivery_id),
    )
