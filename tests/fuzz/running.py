"""Gives targets their inputs, one after the other, each with a limit of time."""

import logging
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from tests.fuzz.inputs import UNITS
from tests.fuzz.targets import GROWING, TARGETS

LIMIT_S = 5.0


class TooSlowError(Exception):
    """An input took longer than any may."""


@dataclass
class Tally:
    """What came of one target's inputs.

    :param slowest: seconds of the processor, and the seed of the input that took them.
    :param failures: what went wrong, with the input.
    """

    count: int = 0
    seconds: float = 0.0
    slowest: tuple[float, str] = (0.0, "")
    failures: list[str] = field(default_factory=list)


def run(seeds: range) -> dict[str, Tally]:
    """Try the inputs of these numbers: each number is an input of one target."""
    # What is left out of a listing is told in the log, a million times.
    logging.disable(logging.CRITICAL)
    names = [name for name, (share, *_) in TARGETS.items() for _ in range(share)]
    tallies = {name: Tally() for name in TARGETS}
    for seed in seeds:
        name = names[seed % len(names)]
        _, draw, target = TARGETS[name]
        given = draw(random.Random(seed))
        _try(tallies[name], f"seed {seed}", target, given)
    return tallies


def grow(lengths: tuple[int, ...]) -> dict[str, Tally]:
    """Try inputs that repeat one thing over and over, at growing lengths."""
    logging.disable(logging.CRITICAL)
    tallies = {name: Tally() for name in TARGETS}
    for name, starts in GROWING.items():
        target = TARGETS[name][2]
        for start in starts:
            for unit in UNITS:
                piece = unit.encode("utf-8", "surrogatepass") if isinstance(start, bytes) else unit
                for length in lengths if piece else ():
                    what = f"{start!r} + {unit!r} to {length:,}"
                    _try(tallies[name], what, target, start + piece * (length // len(piece)))
    return tallies


def _try(tally: Tally, what: str, target: Any, given: Any) -> None:
    begun = time.process_time()
    try:
        with _limited():
            target(given)
    except Exception as error:  # noqa: BLE001  # whatever it is, it must not come
        shown = repr(given) if len(given) < 2_000 else f"{len(given):,} of it"
        tally.failures.append(f"{what}: {type(error).__name__}: {error}; given {shown}")
    taken = time.process_time() - begun
    tally.count += 1
    tally.seconds += taken
    tally.slowest = max(tally.slowest, (taken, what))


@contextmanager
def _limited() -> Iterator[None]:
    """Raise when time of the processor is up; regular expressions look for signals too."""

    def ring(_: int, __: FrameType | None) -> None:
        raise TooSlowError(f"more than {LIMIT_S:g} s")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
