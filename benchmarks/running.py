"""Runs the sides of a comparison in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from benchmarks.readings import Reading
from demo.local.processes import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from benchmarks.comparison import Comparison, Side
    from benchmarks.world import World


class SideFailed(RuntimeError):
    """A side ended with an error, or gave something else than the others."""


def run_side(side: Side, world: World) -> Reading:
    """Run one side once.

    :raises SideFailed: when it ends with an error; the message ends with what it printed.
    """
    command = [sys.executable, "-m", "benchmarks.side", side.place, json.dumps(side.arguments)]
    environment = {**os.environ, **world.environment()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, capture_output=True, cwd=REPOSITORY, env=environment, text=True)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise SideFailed(
            "\n".join([f"{side.place} failed", *(lines + done.stderr.splitlines())[-30:]])
        )
    return Reading(**json.loads(lines[-1]))


def run_comparison(
    comparison: Comparison,
    world: World,
    repeats: int,
    say: Callable[[str], None],
    alone: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Any]:
    """Run all sides, so many times each, in turn; return what is kept as JSON.

    :param alone: entered for each repetition; waits until nothing else runs on the machine.
    :raises SideFailed: when a side fails, or sides that should do the same did not.
    """
    able = {name: side for name, side in comparison.sides.items() if not side.missing}
    readings: dict[str, list[Reading]] = {name: [] for name in comparison.sides}
    for repetition in range(repeats):
        with alone():
            for name, side in able.items():
                reading = run_side(side, world)
                readings[name].append(reading)
                world.empty_output()
                say(
                    f"  {repetition + 1}/{repeats} {name}: {reading.seconds:.2f} s, "
                    f"{reading.cpu_seconds:.2f} s of CPU, {reading.peak_mb:,.0f} MB"
                )
    _check_same(comparison, readings)
    figures = [figure.of(readings) for figure in comparison.figures]
    return {
        "name": comparison.name,
        "title": comparison.title,
        "notes": comparison.notes,
        "sides": {
            name: {
                "missing": side.missing,
                "readings": [reading.to_json() for reading in readings[name]],
            }
            for name, side in comparison.sides.items()
        },
        "figures": [figure for figure in figures if figure is not None],
    }


def _check_same(comparison: Comparison, readings: dict[str, list[Reading]]) -> None:
    for group in comparison.same_bytes:
        found = {(r.rows, r.bytes) for name in group for r in readings[name]}
        if len(found) > 1:
            raise SideFailed(
                f"{comparison.name}: {', '.join(group)} should give the same lines, but their rows "
                f"and bytes are {sorted(found)}"
            )
    for group in comparison.same_content:
        if len({r.content for name in group for r in readings[name]}) > 1:
            raise SideFailed(
                f"{comparison.name}: {', '.join(group)} should give the same lines, and do not"
            )
