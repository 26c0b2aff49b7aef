"""Random ways through large worlds: many tasks, many deliveries, each seed a way of its own."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target.commands import Acknowledge, Command
from airflow_am_provider.deliveries.target.document import from_text, to_text
from airflow_am_provider.deliveries.target.events import Refused
from airflow_am_provider.deliveries.target.queries import is_settled, to_follow, was_sent_before
from airflow_am_provider.deliveries.target.state import DeliveryState
from tests.target_model.invariants import (
    Step,
    a_lost_receipt_has_a_way_out,
    broken,
    newest_is_last_after_replay,
)
from tests.target_model.settings import Asked, Setting, Task, asked, attempt
from tests.target_model.world import AT, World, filled, perform

if TYPE_CHECKING:
    from tests.target_model.facts import Fact

MORNINGS = [f"2026-11-{day:02}T00:00:00+00:00" for day in range(1, 8)]
DAYS = tuple(pairwise(MORNINGS))
WEEK = (MORNINGS[0], MORNINGS[-1])
ALL = frozenset(
    [
        "abandon",
        "resend",
        "force",
        "guard",
        "reopen",
        "rename",
        "die",
        "replay",
        "send",
        "empty",
        "over a limit",
        "format again",
        "pick up",
        "not in order",
    ]
)
TASKS = (
    Task(series="changes", removes=True, windows=DAYS, watermark="w"),
    Task(series="mapped", removes=True, windows=(*DAYS[:2], WEEK), mapped=2),
    Task(series="added", windows=(*DAYS[:3], None), contents="ABC"),
    Task(series="whole", mode=Mode.OVERWRITE, windows=(*DAYS[:3], None)),
    Task(series="other", mode=Mode.OVERWRITE, windows=DAYS[:2]),
    Task(series="extract", removes=True, windows=(None,), contents="ABC", is_difference=True),
)
LARGE = Setting(
    name="large", tasks=TASKS, most_staged=40, most_sendings=3, asked=ALL, attempts=True
)


def walk(
    seed: int, setting: Setting = LARGE, *, steps: int, page: int = 1, way_out_every: int = 10
) -> tuple[World, dict[str, str], list[str]]:
    """Go on at random until something is wrong.

    :param page: how much is done with when it leaves the document.
    :return: where it ended, what is wrong, and the way.
    """
    draw = random.Random(seed)
    world, way = World(), []
    for number in range(steps):
        one = _drawn(draw, setting, world)
        way.append(one.label)
        for asked_for in one.commands:
            command = filled(world, asked_for)
            after, answer = perform(world, command, page=page, words=one.words)
            step = Step(before=world, command=command, answer=answer, after=after)
            wrong = broken(step)
            world = after
            if from_text(to_text(world.state, "acme", "478"), "") != world.state:
                wrong["document"] = "it is another one when it is read again"
            if wrong:
                return world, wrong, way
            if isinstance(answer, Refused):
                break
        if number % way_out_every == 0:
            stuck = a_lost_receipt_has_a_way_out(world, run)
            if stuck is not None:
                return world, {"a_lost_receipt_has_a_way_out": stuck}, way
    return world, {}, way


def _drawn(draw: random.Random, setting: Setting, world: World) -> Asked:
    """Something that may be asked; each kind of thing as likely as another."""
    by_verb: dict[str, list[Asked]] = {}
    for one in asked(setting, world):
        by_verb.setdefault(one.label.split()[0], []).append(one)
    weights = [5 if verb in ("stage", "upload", "acknowledged") else 1 for verb in by_verb]
    (verb,) = draw.choices(list(by_verb), weights)
    return draw.choice(by_verb[verb])


def run(world: World, command: Command) -> World:
    """Ask, as a caller does; a refusal changes nothing."""
    return perform(world, filled(world, command))[0]


def replay(draw: random.Random, world: World, late: Fact) -> World:
    """Send newer data again after a late delivery, as ``ReplayNewerSensor`` does.

    Between its looks other tasks go on.
    """
    for _ in range(200):
        entry = world.find(late.delivery_id)
        assert entry is not None
        everything = [*world.state.entries.values(), *world.done_with().values()]
        again = None
        for newer in to_follow(entry, everything):
            if was_sent_before(newer, entry) or not is_settled(
                world.state.entries.get(newer.delivery_id)
            ):
                again = newer.delivery_id
                is_new = was_sent_before(newer, entry)
                break
        if again is None:
            return world
        for command in attempt(again, again=is_new):
            world = run(world, command)
        other = draw.choice(list(world.state.entries))
        if draw.random() < 0.7:
            world = acknowledged(world, again)
        elif other in world.state.queue:
            for command in attempt(other):
                world = run(world, command)
        world = acknowledged(world, other)
    raise AssertionError("the replay never ends")


def acknowledged(world: World, delivery_id: str) -> World:
    entry = world.state.entries.get(delivery_id)
    if entry is None or entry.sending is None or not entry.is_on_its_way:
        return world
    state = DeliveryState.ACKNOWLEDGED
    return run(
        world,
        Acknowledge(delivery_id=delivery_id, sending=entry.sending.number, at=AT, state=state),
    )


def backwards(seed: int, setting: Setting, *, steps: int) -> str | None:
    """Stage, send, and replay at random, where nobody gives anything up; what is wrong, or None."""
    draw = random.Random(seed)
    world = World()
    for _ in range(steps):
        one = _drawn(draw, setting, world)
        for command in one.commands:
            world, answer = perform(world, filled(world, command), words=one.words)
            if isinstance(answer, Refused):
                break
    # Everybody who sent something late replays, in any order, until nothing is left to do.
    for _ in range(20):
        before = world
        facts = list(world.facts.values())
        draw.shuffle(facts)
        for fact in facts:
            if world.facts[fact.delivery_id].has_left:
                world = acknowledged(world, fact.delivery_id)
        for fact in facts:
            if world.facts[fact.delivery_id].has_left and fact.allowed:
                world = replay(draw, world, fact)
        if world is before:
            break
    return newest_is_last_after_replay(world)
