"""Which extracts of a series may be in force, as deliveries come and go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from airflow_am_provider.deliveries.target.state import Extract, SnapshotSeries

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.deliveries.target.commands import NewExtract
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState

#: For how many extracts after an acknowledgement a file from before it is reckoned with that nobody
#: accounted for: Audience Manager promises no order (faq/faq-inbound-data-ingestion.md), but reads
#: files twice a day (reference/reporting-file-transfer-timeframe.md).
STRAGGLERS_LAST: Final = 3
#: So many extracts are kept while nothing is acknowledged: the newest knows all that is possible.
MOST_IN_FORCE: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """What a new extract is to be compared with; to be asked for before its rows are read.

    :param series: the extracts that may be in force.
    :param overwritten: whether an ``.overwrite`` of the target was sent since the acknowledged one
        was compared: nothing may be there any more.
    :param sequence: the state's sequence number.
    """

    series: SnapshotSeries
    overwritten: bool
    sequence: int


def basis(state: TargetState, series: str) -> Basis:
    """What the next extract of a series is to be compared with."""
    found = state.snapshots.get(series, SnapshotSeries())
    known = found.acknowledged
    return Basis(
        series=found,
        overwritten=known is not None and state.last_overwrite > known.compared,
        sequence=state.sequence,
    )


def with_extract(state: TargetState, new: NewExtract, delivery_id: str) -> TargetState:
    """Add a new extract as the newest."""
    extract = Extract(
        number=new.follows + 1,
        path=new.path,
        delivery_id=delivery_id,
        compared=new.compared,
        counts=new.counts,
        refreshed=new.refreshed,
    )
    return state.with_series(
        new.series,
        lambda series: replace(
            series,
            in_force=(*series.in_force, extract)[-MOST_IN_FORCE:],
            given_up=(),
            last_number=extract.number,
        ),
    )


def without_extract(state: TargetState, delivery_id: str) -> TargetState:
    """Leave out the extract of a delivery that was given up before anything of it was sent."""
    return _changed(
        state,
        delivery_id,
        lambda series, extract: replace(
            series,
            in_force=tuple(one for one in series.in_force if one != extract),
            given_up=(*series.given_up, extract),
        ),
    )


def with_extract_again(state: TargetState, delivery_id: str) -> TargetState:
    """Reckon with an extract again, as its delivery is taken up again.

    A number is taken, so that nothing is staged that was compared while it was left out.
    """

    def take_up(series: SnapshotSeries, extract: Extract) -> SnapshotSeries:
        in_force = sorted((*series.in_force, extract), key=lambda one: one.number)
        return replace(
            series,
            in_force=tuple(in_force),
            given_up=tuple(one for one in series.given_up if one != extract),
            last_number=series.last_number + 1,
        )

    for name, series in state.snapshots.items():
        for extract in series.given_up:
            if extract.delivery_id == delivery_id:
                return state.with_series(name, partial(_applied, take_up, extract))
    return state


def is_left_out(state: TargetState, entry: DeliveryEntry) -> bool:
    """Whether a newer extract was compared without that of a delivery that was given up unsent."""
    series = state.snapshots.get(entry.subject.rpartition("#")[0])
    if series is None or entry.may_have_left or entry.delivery_id in state.entries:
        return False
    return all(one.delivery_id != entry.delivery_id for one in series.given_up)


def acknowledged(state: TargetState, entry: DeliveryEntry) -> TargetState:
    """The extract of a delivery that was processed well is what later ones are compared with.

    Those before it need not be compared with any more. One of them that may still be processed, as
    nobody accounted for it, is reckoned with for some time: what was said since is said again.
    """

    def settle(series: SnapshotSeries, extract: Extract) -> SnapshotSeries:
        before = [one for one in series.in_force if one.number < extract.number]
        open_until = series.open_until
        if before:
            open_until = max(open_until, extract.number + STRAGGLERS_LAST)
        return replace(
            series,
            acknowledged=extract,
            before=None if series.acknowledged is None else series.acknowledged.path,
            in_force=tuple(one for one in series.in_force if one.number > extract.number),
            given_up=tuple(one for one in series.given_up if one.number > extract.number),
            open_until=open_until,
        )

    return _changed(state, entry.delivery_id, settle)


def said_again(state: TargetState, delivery_id: str) -> TargetState:
    """What an extract said is said once more by the next ones: nothing shows that it was read."""
    for name, series in state.snapshots.items():
        known = series.acknowledged
        if known is not None and known.delivery_id == delivery_id:
            until = max(series.open_until, series.last_number + STRAGGLERS_LAST)
            return replace(
                state, snapshots={**state.snapshots, name: replace(series, open_until=until)}
            )
    return state


def _changed(
    state: TargetState,
    delivery_id: str,
    change: Callable[[SnapshotSeries, Extract], SnapshotSeries],
) -> TargetState:
    for name, series in state.snapshots.items():
        for extract in series.in_force:
            if extract.delivery_id == delivery_id:
                return state.with_series(name, partial(_applied, change, extract))
    return state


def _applied(
    change: Callable[[SnapshotSeries, Extract], SnapshotSeries],
    extract: Extract,
    series: SnapshotSeries,
) -> SnapshotSeries:
    return change(series, extract)
