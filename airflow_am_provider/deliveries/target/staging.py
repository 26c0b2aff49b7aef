"""Content becomes a delivery, unless it is one already: its name, its version, its ID."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.target.closing import closed
from airflow_am_provider.deliveries.target.events import Event, Outcome, Refused, RefusedFor
from airflow_am_provider.deliveries.target.names import free_timestamp
from airflow_am_provider.deliveries.target.snapshots import with_extract
from airflow_am_provider.deliveries.target.state import (
    DeliveryEntry,
    DeliveryState,
    SnapshotSeries,
)

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.commands import Stage
    from airflow_am_provider.deliveries.target.state import TargetState


def stage(state: TargetState, command: Stage) -> tuple[TargetState, Event]:
    """See :class:`~airflow_am_provider.deliveries.target.commands.Stage`.

    :raises Refused: when another task has made a snapshot of the same extract meanwhile.
    """
    if command.extract is not None:
        return _stage_difference(state, command)
    versions = [one for one in state.entries.values() if one.subject == command.subject]
    versions += [one for one in state.done if one.subject == command.subject]
    for looked_up in (command.latest, command.latest_left):
        if looked_up is not None and all(
            looked_up.delivery_id != one.delivery_id for one in versions
        ):
            versions.append(looked_up)
    if not versions:
        other = state.find(command.content_id) or command.known
        if other is not None:
            return state, Event(outcome=Outcome.ALREADY, entry=other)
        return _added(state, command, delivery_id=command.content_id, version=1)
    latest = max(versions, key=lambda one: one.version)
    is_superseded = latest.state is DeliveryState.SUPERSEDED
    if latest.content_id == command.content_id and not is_superseded:
        return state, Event(outcome=Outcome.ALREADY, entry=latest)
    left = max(
        (one for one in versions if one.may_have_left), key=lambda one: one.version, default=None
    )
    unsent = [one for one in versions if left is None or one.version > left.version]
    if left is not None and left.content_id == command.content_id and unsent:
        # The source is back to what was sent last: what came between is not sent. That one is the
        # newest version from now on, so that nobody sends again what came between.
        reason = f"superseded: the rows are again those of delivery {left.delivery_id}"
        for one in unsent:
            if one.delivery_id in state.entries:
                ended = replace(
                    one, state=DeliveryState.SUPERSEDED, since=command.at, reason=reason
                )
                state = closed(state, ended)
        left = replace(left, version=latest.version + 1)
        is_open = left.delivery_id in state.entries
        state = state.with_entry(left) if is_open else closed(state, left)
        return state, Event(outcome=Outcome.ALREADY, entry=left)
    version = latest.version + 1
    return _added(
        state, command, delivery_id=_numbered(command.content_id, version), version=version
    )


def _stage_difference(state: TargetState, command: Stage) -> tuple[TargetState, Event]:
    """Stage what an extract changes, together with the snapshot that it leaves."""
    extract = command.extract
    assert extract is not None
    series = state.snapshots.get(extract.series, SnapshotSeries())
    newest = series.in_force[-1] if series.in_force else series.acknowledged
    if newest is not None:
        again = _numbered(command.content_id, newest.number)
        entry = state.entries.get(again)
        if again == newest.delivery_id and entry is not None:
            # The same lines as last time: another attempt at the newest one. Where that one was
            # given up or went over a limit, they have to be said once more.
            return state, Event(outcome=Outcome.ALREADY, entry=entry)
    if series.last_number != extract.follows:
        raise Refused(
            RefusedFor.MEANWHILE,
            "another task has compared the same extract meanwhile, perhaps with newer rows; "
            "nothing was staged. Extract again",
        )
    delivery_id = _numbered(command.content_id, extract.follows + 1)
    state = with_extract(state, extract, delivery_id)
    return _added(state, command, delivery_id=delivery_id, version=extract.follows + 1)


def _added(
    state: TargetState, command: Stage, *, delivery_id: str, version: int
) -> tuple[TargetState, Event]:
    state = state.next_number()
    last = state.names.get(command.name, 0)
    timestamp = free_timestamp(command.mode, now=command.now, last=last)
    entry = DeliveryEntry(
        delivery_id=delivery_id,
        content_id=command.content_id,
        location=f"{command.folder}/{delivery_id}",
        name=command.name,
        timestamp=timestamp,
        mode=command.mode,
        removes=command.removes,
        series=command.series,
        subject=command.subject,
        version=version,
        window=command.window,
        staged=state.sequence,
        since=command.at,
        watermark=command.watermark,
        figures=command.figures,
    )
    state = replace(state, names={**state.names, command.name: timestamp})
    return state.with_entry(entry), Event(entry=entry)


def _numbered(content_id: str, version: int) -> str:
    """The ID of a version: that of the first one is its content's."""
    if version == 1:
        return content_id
    return hashlib.sha256(json.dumps([content_id, version]).encode()).hexdigest()[:20]
