"""Two writers of one document: each reads, decides and writes back, and may die at any point."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

from airflow_am_provider.deliveries.target.commands import Command, Stage
from tests.target_model.explorer import Found, key_of, path
from tests.target_model.invariants import Step, broken
from tests.target_model.settings import Asked, Setting, asked
from tests.target_model.world import World, filled, perform, written_down


class Reading(NamedTuple):
    """What a writer has read and is about to write.

    :param command: with what was looked up when it read; None where it has to read anew.
    :param is_fresh: whether nobody has written since.
    """

    one: Asked
    command: Command
    is_fresh: bool


Writers = tuple[Reading | None, Reading | None]


def explore_writers(setting: Setting, *, depth: int, seconds: float = float("inf")) -> Found:
    """Let two writers read and write in every order, up to a depth."""
    found = Found(setting.name, is_all=True)
    begun = time.process_time()
    start: tuple[World, Writers] = (World(), (None, None))
    seen = {_key(*start)}
    waiting: deque[tuple[World, Writers, Any, int]] = deque([(*start, None, 0)])
    while waiting:
        world, writers, way, level = waiting.popleft()
        if level >= depth or time.process_time() - begun > seconds:
            found.is_all = False
            break
        found.depth = level + 1
        for label, after, both, wrong in _steps(setting, world, writers):
            found.steps += 1
            for name, what in wrong.items():
                found.violations.setdefault(name, (what, path((label, way))))
            key = _key(after, both)
            if not wrong and key not in seen:
                seen.add(key)
                waiting.append((after, both, (label, way), level + 1))
    found.states = len(seen)
    found.seconds = time.process_time() - begun
    return found


def _steps(setting: Setting, world: World, writers: Writers) -> Any:
    for at in (0, 1):
        reading = writers[at]
        if reading is None:
            for one in asked(setting, world):
                read = Reading(one, filled(world, one.commands[0]), True)
                yield f"{at} reads: {one.label}", world, _with(writers, at, read), {}
            continue
        yield f"{at} dies", world, _with(writers, at, None), {}
        if reading.is_fresh:
            yield from _written(world, writers, at, reading.command)
            # It writes down what was done with, and dies before the document is written.
            noted = written_down(world)
            if noted.records != world.records:
                yield f"{at} dies half way", noted, _with(writers, at, None), {}
        elif isinstance(reading.command, Stage):
            # It has formatted its rows already; what it decides about is read anew.
            yield from _written(world, writers, at, filled(world, reading.command))


def _written(world: World, writers: Writers, at: int, command: Command) -> Any:
    reading, other = writers[at], writers[1 - at]
    assert reading is not None
    after, answer = perform(world, command, words=reading.one.words)
    wrong = broken(Step(before=world, command=command, answer=answer, after=after))
    both = _with(writers, at, None)
    if after.state is not world.state and other is not None:
        both = _with(both, 1 - at, other._replace(is_fresh=False))
    yield f"{at} writes: {reading.one.label}", after, both, wrong


def _with(writers: Writers, at: int, reading: Reading | None) -> Writers:
    return (reading, writers[1]) if at == 0 else (writers[0], reading)


def _key(world: World, writers: Writers) -> object:
    said = (
        one and (one.one.label, one.one.words, one.is_fresh, _looked_up(one)) for one in writers
    )
    # It does not matter which of the two is which.
    return key_of(world), tuple(sorted(map(repr, said)))


def _looked_up(reading: Reading) -> object:
    extract = getattr(reading.command, "extract", None)
    return extract and (extract.follows, extract.path.rpartition("/")[0], extract.compared)
