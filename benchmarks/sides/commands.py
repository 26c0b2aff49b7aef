"""Commands as sides: their processor time and their memory count, not those of who waits."""

from __future__ import annotations

import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.readings import Stopwatch


def run_commands(
    stopwatch: Stopwatch,
    commands: Sequence[Sequence[str]],
    env: Mapping[str, str] | None = None,
    *,
    given: str | None = None,
) -> list[str]:
    """Run commands one after the other; what each of them printed.

    :param env: the environment; that of this process when not given.
    :param given: what each of them reads from its standard input.
    """
    printed = []
    with stopwatch:
        for command in commands:
            done = subprocess.run(
                command, capture_output=True, check=True, env=env, input=given, text=True
            )
            printed.append(done.stdout)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    stopwatch.add(cpu_seconds=used.ru_utime + used.ru_stime, peak_mb=used.ru_maxrss * 1024 / 1e6)
    return printed


@contextmanager
def just_written(file: str) -> Iterator[None]:
    """Have a file written anew before a side that reads it, as the side beside it does.

    What a server writes after that goes to memory that the machine has to find first. On a virtual
    one that takes a second for a gigabyte, and the side that is spared it would seem to be faster.
    """
    path = Path(file)
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    shutil.copyfile(kept, path)
    try:
        yield
    finally:
        kept.replace(path)
