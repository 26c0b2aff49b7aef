"""Every state of small worlds, to a depth, is held against the promise.

``AM_TARGET_DEPTH=2`` looks two steps further than the everyday run, ``AM_TARGET_SECONDS=600`` ends
each world after so many seconds; CONTRIBUTING.md has the figures. With ``-s`` each world says how
many states it has seen.
"""

import os

import pytest

from tests.target_model.explorer import explore
from tests.target_model.settings import Setting
from tests.target_model.worlds import ATTEMPTS, DECISIONS, WRITERS
from tests.target_model.writers import explore_writers

FURTHER = int(os.environ.get("AM_TARGET_DEPTH", "0"))
SECONDS = float(os.environ.get("AM_TARGET_SECONDS", "inf"))


@pytest.mark.parametrize(
    ("depth", "setting"), [*DECISIONS, *ATTEMPTS], ids=lambda value: getattr(value, "name", "")
)
def test_no_step_of_a_small_world_breaks_the_promise(depth: int, setting: Setting) -> None:
    found = explore(setting, depth=depth + FURTHER, seconds=SECONDS)

    print(found)
    assert not found.violations, str(found)
    assert found.states > 100


@pytest.mark.parametrize(
    ("depth", "setting"), WRITERS, ids=lambda value: getattr(value, "name", "")
)
def test_two_writers_at_once_break_no_promise(depth: int, setting: Setting) -> None:
    found = explore_writers(setting, depth=depth + FURTHER, seconds=SECONDS)

    print(found)
    assert not found.violations, str(found)
    assert found.states > 100
