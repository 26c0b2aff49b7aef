"""Random ways through large worlds are held against the promise.

``AM_TARGET_WALKS=1000`` takes so many ways instead of a few.
"""

import os
import random

import pytest

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target.document import to_text
from airflow_am_provider.deliveries.target.events import Refused
from tests.target_model.settings import Asked, Setting, Task, attempt
from tests.target_model.settings import stage as staging
from tests.target_model.walks import DAYS, acknowledged, backwards, run, walk
from tests.target_model.world import World, filled, perform

WALKS = int(os.environ.get("AM_TARGET_WALKS", "0"))
REPLAYED = {
    "changes of days": (Task(series="changes", removes=True, windows=DAYS[:3]),),
    "overwrites of two tasks": (
        Task(series="whole", mode=Mode.OVERWRITE, windows=DAYS[:3]),
        Task(series="other", mode=Mode.OVERWRITE, windows=DAYS[:3], contents="A"),
    ),
}


@pytest.mark.parametrize("page", [1, 50])
def test_no_way_through_a_large_world_breaks_the_promise(page: int) -> None:
    for seed in range(WALKS or 4):
        _, wrong, way = walk(seed, steps=100, page=page)

        assert not wrong, f"seed {seed}: {wrong}\n" + "\n".join(way)


@pytest.mark.parametrize("tasks", REPLAYED.values(), ids=REPLAYED)
def test_after_a_replay_the_newest_data_is_in_force(tasks: tuple[Task, ...]) -> None:
    setting = Setting(
        name="replays",
        tasks=tasks,
        most_staged=8,
        most_sendings=9,
        asked=frozenset({"replay", "die"}),
        attempts=True,
    )
    for seed in range(WALKS or 60):
        assert backwards(seed, setting, steps=40) is None, f"seed {seed}"


def test_the_document_does_not_grow_with_what_is_done_with() -> None:
    draw, world, sizes = random.Random(1), World(), []
    tasks = (
        Task(series="changes", removes=True),
        Task(series="added"),
        Task(series="whole", mode=Mode.OVERWRITE),
        Task(series="extract", removes=True, is_difference=True),
    )
    for number in range(600):
        task = draw.choice(tasks)
        window = None if task.is_difference else (_moment(number), _moment(number + 1))
        content = draw.choice(["1", "2", "12"]) if task.is_difference else "A"
        world = _delivered(world, staging(task, window, content, world))
        if number in (199, 599):
            sizes.append(len(to_text(world.state, "acme", "478")))

    assert sizes[1] < sizes[0] * 1.05, sizes


def _moment(number: int) -> str:
    return f"20{number // 336 + 10}-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}"


def _delivered(world: World, one: Asked) -> World:
    """Stage, send and acknowledge."""
    world, answer = perform(world, filled(world, one.commands[0]), words=one.words)
    assert not isinstance(answer, Refused)
    assert answer.entry is not None
    delivery_id = answer.entry.delivery_id
    for command in attempt(delivery_id, first=True):
        world = run(world, command)
    return acknowledged(world, delivery_id)
