"""Looks at each state that can be reached in a small world, nearest first."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_am_provider.deliveries.target.events import Refused
from tests.target_model.invariants import Step, a_lost_receipt_has_a_way_out, broken
from tests.target_model.settings import Asked, Setting, asked
from tests.target_model.world import World, filled, perform

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.commands import Command
    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from tests.target_model.facts import Fact


@dataclass
class Found:
    """What an exploration came to.

    :param states: so many different states.
    :param steps: so many decisions.
    :param depth: so many decisions one after the other; 0 when all states were seen.
    :param violations: by invariant what is wrong, and the shortest way there.
    """

    setting: str
    states: int = 0
    steps: int = 0
    depth: int = 0
    is_all: bool = False
    seconds: float = 0.0
    violations: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def __str__(self) -> str:
        line = (
            f"{self.setting}: {self.states:,} states, {self.steps:,} decisions, depth {self.depth}"
            f"{' (all there are)' if self.is_all else ''}, {self.seconds:.1f} s"
        )
        for name, (what, way) in self.violations.items():
            line += f"\n  {name}: {what}\n    " + " > ".join(way)
        return line


def explore(
    setting: Setting,
    *,
    depth: int,
    seconds: float = float("inf"),
    with_way_out: bool = True,
    stop_at: str | None = None,
) -> Found:
    """Ask everything at every point, up to a depth.

    :param depth: so many decisions one after the other.
    :param seconds: for so long at most; what was seen by then is said.
    :param with_way_out: whether each state is asked for a way out of lost receipts.
    :param stop_at: an invariant; once it is broken, nothing more is looked at.
    """
    found = Found(setting.name)
    begun = time.process_time()
    start = World()
    seen = {key_of(start)}
    waiting: deque[tuple[World, tuple[Any, ...] | None, int]] = deque([(start, None, 0)])
    found.is_all = True
    while waiting:
        world, way, level = waiting.popleft()
        if level >= depth or time.process_time() - begun > seconds:
            found.is_all = False
            break
        found.depth = level + 1
        for one in asked(setting, world):
            here = (one.label, way)
            after, wrong = _done(world, one, found)
            for name, what in wrong.items():
                found.violations.setdefault(name, (what, path(here)))
            if wrong or after is world:
                continue
            key = key_of(after)
            if key in seen:
                continue
            seen.add(key)
            if with_way_out:
                what = a_lost_receipt_has_a_way_out(after, run)
                if what is not None:
                    name = "a_lost_receipt_has_a_way_out"
                    found.violations.setdefault(name, (what, path(here)))
            waiting.append((after, here, level + 1))
        if stop_at in found.violations:
            break
    found.states = len(seen)
    found.seconds = time.process_time() - begun
    return found


def _done(world: World, one: Asked, found: Found) -> tuple[World, dict[str, str]]:
    """Ask one after the other until one is refused; each is held against the invariants."""
    for asked_for in one.commands:
        command = filled(world, asked_for)
        after, answer = perform(world, command, words=one.words)
        found.steps += 1
        wrong = broken(Step(before=world, command=command, answer=answer, after=after))
        world = after
        if wrong or isinstance(answer, Refused):
            return world, wrong
    return world, {}


def run(world: World, command: Command) -> World:
    """Ask, as a caller does; a refusal changes nothing."""
    return perform(world, filled(world, command))[0]


def path(here: tuple[Any, ...] | None) -> tuple[str, ...]:
    labels = []
    while here is not None:
        label, here = here
        labels.append(label)
    return tuple(reversed(labels))


def key_of(world: World) -> object:
    """The same for worlds that differ in how high they have counted alone."""
    state = world.state
    entries = [*state.entries.values(), *state.landmarks, *state.done, *world.records.values()]
    entries += [one for pair in world.versions.values() for one in pair if one is not None]
    numbers = {0, state.sequence, state.written_down, state.last_overwrite}
    for entry in entries:
        numbers |= {entry.staged, entry.decided}
        if entry.sending is not None:
            numbers.add(entry.sending.begun)
    for series in state.snapshots.values():
        numbers |= {one.compared for one in (*series.in_force, *series.given_up)}
        if series.acknowledged is not None:
            numbers.add(series.acknowledged.compared)
    rank = {number: at for at, number in enumerate(sorted(numbers))}
    moments = {0}
    for fact in world.facts.values():
        moments |= {fact.staged, fact.said}
        for sent in fact.sendings:
            moments |= {sent.begun, sent.whole or 0, sent.processed or 0}
    order = {moment: at for at, moment in enumerate(sorted(moments))}
    return (
        tuple(_entry(one, rank) for one in state.entries.values()),
        state.queue,
        tuple(_entry(one, rank) for one in state.landmarks),
        tuple(_entry(one, rank) for one in state.done),
        tuple(_entry(one, rank) for one in world.records.values()),
        tuple(
            (name, *(one and _entry(one, rank) for one in pair))
            for name, pair in world.versions.items()
        ),
        tuple(state.names.items()),
        tuple(state.previous.items()),
        tuple(state.watermarks.items()),
        rank[state.last_overwrite],
        rank[state.written_down],
        tuple((name, _series(one, rank)) for name, one in state.snapshots.items()),
        tuple(_fact(one, order) for one in world.facts.values()),
        world.empty,
    )


def _entry(entry: DeliveryEntry, rank: dict[int, int]) -> object:
    sending = entry.sending
    return (
        entry.delivery_id,
        entry.version,
        entry.timestamp,
        rank[entry.staged],
        entry.state,
        entry.may_have_left,
        entry.in_order,
        rank[entry.decided],
        sending and (sending.number, rank[sending.begun], sending.sent_at is None),
    )


def _series(series: Any, rank: dict[int, int]) -> object:
    extracts = [*series.in_force, *([series.acknowledged] if series.acknowledged else [])]
    return (
        tuple(
            (one.number, one.path.rpartition("/")[0], one.delivery_id, rank[one.compared])
            for one in extracts
        ),
        tuple(one.number for one in series.given_up),
        series.acknowledged is None,
        series.open_until,
        series.last_number,
    )


def _fact(fact: Fact, order: dict[int, int]) -> object:
    return (
        fact.delivery_id,
        order[fact.staged],
        order[fact.said],
        fact.names,
        fact.allowed,
        fact.ended,
        fact.content,
        tuple(
            (
                one.number,
                order[one.begun],
                one.allowed,
                one.in_order,
                order[one.whole or 0],
                order[one.processed or 0],
                one.well,
                one.given_up,
            )
            for one in fact.sendings
        ),
    )
