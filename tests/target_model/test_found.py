"""Shortest ways on which the check has found the promise broken: each fails on the code before.

``#2`` is the second delivery that was staged. What cannot be asked by then is left out.
"""

import re
from dataclasses import replace

import pytest

from airflow_am_provider.deliveries.target.events import Refused
from tests.target_model.invariants import Step, broken
from tests.target_model.settings import Setting, asked
from tests.target_model.world import World, filled, perform
from tests.target_model.worlds import CHANGES, EXTRACT

ALL = frozenset(["abandon", "resend", "reopen", "die", "over a limit", "format again"])
VERSIONS = Setting(
    name="versions", tasks=(replace(CHANGES, contents="ABC"),), asked=ALL, attempts=True
)
DIFFERENCES = Setting(name="differences", tasks=(EXTRACT,), asked=ALL, attempts=True)


def follow(setting: Setting, way: list[str]) -> tuple[World, dict[str, str]]:
    """Go a way; where it ends, and what its steps break."""
    world, wrong = World(), {}
    for label in way:
        there = list(world.facts)
        wanted = re.sub(r"#(\d)", lambda found, ids=there: ids[int(found[1]) - 1], label)
        one = next((one for one in asked(setting, world) if one.label == wanted), None)
        for asked_for in () if one is None else one.commands:
            command = filled(world, asked_for)
            after, answer = perform(world, command, words=one.words)
            wrong |= broken(Step(before=world, command=command, answer=answer, after=after))
            world = after
            if isinstance(answer, Refused):
                break
    return world, wrong


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            "stage changes:02:A, stage changes:02:B, upload #1 and die, stage changes:02:A, "
            "stage changes:02:B",
            id="a correction that was taken back and comes again is sent",
        ),
        pytest.param(
            "stage changes:02:A, stage changes:02:B, abandon #2, upload #1, stage changes:02:C",
            id="a version that is done with has its number for good",
        ),
        pytest.param(
            "stage changes:02:A, stage changes:02:B, upload #1, stage changes:02:A, "
            "acknowledged #1 1, resend #2",
            id="what came between is not sent again after what the source went back to",
        ),
    ],
)
def test_versions_of_a_window(way: str) -> None:
    _, wrong = follow(VERSIONS, way.split(", "))

    assert not wrong


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            "stage extract:1, abandon #1, reopen #1, stage extract:2",
            id="an extract that is taken up again is compared with",
        ),
        pytest.param(
            "stage extract:1, abandon #1, resend #1, stage extract:2",
            id="so is one that is sent after all",
        ),
        pytest.param(
            "stage extract:1, abandon #1, stage extract:2, resend #1, acknowledged #1 1, "
            "upload #2, acknowledged #2 1",
            id="one that a newer one left out is not sent before it",
        ),
        pytest.param(
            "stage extract:1, upload #1, abandon #1, stage extract:1",
            id="the same lines are sent once more after they were given up",
        ),
        pytest.param(
            "stage extract:1, upload #1, failed #1 1",
            id="a limit that was gone over is noted once",
        ),
    ],
)
def test_differences(way: str) -> None:
    _, wrong = follow(DIFFERENCES, way.split(", "))

    assert not wrong
