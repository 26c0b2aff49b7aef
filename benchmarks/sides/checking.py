"""``airflow-am check``, as a user runs it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from benchmarks.readings import Outcome
from benchmarks.sides.commands import run_commands

if TYPE_CHECKING:
    from benchmarks.readings import Stopwatch


def check_files(stopwatch: Stopwatch, *, folder: str) -> Outcome:
    """Check a folder's files; the start of the command is in it."""
    command = [sys.executable, "-m", "airflow_am_provider.cli", "check", "--json", folder]
    (printed,) = run_commands(stopwatch, [command])
    files = json.loads(printed)["files"]
    return Outcome(
        rows=sum(file["lines"] for file in files), bytes=sum(file["bytes"] for file in files)
    )
