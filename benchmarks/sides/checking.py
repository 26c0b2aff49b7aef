"""``airflow-am check``, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.readings import Outcome

if TYPE_CHECKING:
    from benchmarks.readings import Stopwatch


def check_files(stopwatch: Stopwatch, *, folder: str) -> Outcome:
    """Check a folder's files; the start of the command is in it."""
    command = [sys.executable, "-m", "airflow_am_provider.cli", "check", "--json", folder]
    with stopwatch:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    files = json.loads(done.stdout)["files"]
    return Outcome(
        rows=sum(file["lines"] for file in files), bytes=sum(file["bytes"] for file in files)
    )
