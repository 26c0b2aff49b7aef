"""What a fixed wait has assumed, and what a sign that comes later makes of it."""

from dataclasses import replace

import pytest

from airflow_am_provider.deliveries.target.commands import Acknowledge
from airflow_am_provider.deliveries.target.decide import decide
from airflow_am_provider.deliveries.target.snapshots import STRAGGLERS_LAST
from airflow_am_provider.deliveries.target.state import (
    DeliveryEntry,
    DeliveryState,
    Extract,
    Sending,
    SnapshotSeries,
    TargetState,
)

SENDING = Sending(number=1, url="u", day="d", begun=1, begun_at="")
ENTRY = DeliveryEntry(
    delivery_id="d", content_id="c", location="l", name="n", timestamp=1, mode=None, removes=True,
    series="s", subject="s#1", staged=1, state=DeliveryState.SENT, sending=SENDING,
    may_have_left=True,
)  # fmt: skip
EXTRACT = Extract(number=1, path="p", delivery_id="d", compared=0)
STATE = TargetState(
    sequence=1, entries={"d": ENTRY}, queue=("d",),
    snapshots={"s": SnapshotSeries(in_force=(EXTRACT,), last_number=1)},
)  # fmt: skip


def told(state: TargetState, word: DeliveryState) -> TargetState:
    return decide(state, Acknowledge(delivery_id="d", sending=1, at="", state=word))[0]


def test_what_was_assumed_makes_way_and_is_said_again() -> None:
    state = told(STATE, DeliveryState.ASSUMED)
    assert state.queue == ()
    assert state.snapshots["s"].acknowledged == EXTRACT
    assert state.snapshots["s"].open_until == 1 + STRAGGLERS_LAST
    assert told(STATE, DeliveryState.ACKNOWLEDGED).snapshots["s"].open_until == 0


@pytest.mark.parametrize(
    "word", [DeliveryState.ACKNOWLEDGED, DeliveryState.RECONCILED, DeliveryState.FAILED]
)
def test_a_sign_takes_the_place_of_what_was_assumed(word: DeliveryState) -> None:
    state = told(told(STATE, DeliveryState.ASSUMED), word)
    assert state.find("d") is not None
    assert state.find("d").state is word
    # Never the other way round.
    assert told(state, DeliveryState.ASSUMED) == state


def test_nothing_is_assumed_of_what_is_known() -> None:
    known = told(STATE, DeliveryState.RECONCILED)
    assert told(known, DeliveryState.ASSUMED) == known


def test_what_failed_after_it_was_assumed_is_said_again_from_then_on() -> None:
    state = told(STATE, DeliveryState.ASSUMED)
    later = replace(state.snapshots["s"], last_number=9)
    state = told(replace(state, snapshots={"s": later}), DeliveryState.FAILED)
    assert state.snapshots["s"].open_until == 9 + STRAGGLERS_LAST
