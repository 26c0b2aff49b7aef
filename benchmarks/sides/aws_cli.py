"""``aws s3 cp``: what anybody would take for one file."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.readings import Outcome
from benchmarks.sides.commands import just_written, run_commands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.readings import Stopwatch


def copy_files(
    stopwatch: Stopwatch,
    *,
    aws: str,
    endpoint: str,
    keys: Sequence[str],
    files: Sequence[str],
    without_start: bool = False,
) -> Outcome:
    """Copy files to the bucket one after the other; its start is in it, as for every use.

    :param aws: the program.
    :param keys: access key and secret key.
    :param files: their paths.
    :param without_start: take off what a file of one byte takes, which is imports for the most
        part: those of other sides are not counted either. The files are written anew before, as
        the other side's are.
    """
    environment = {
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    copy = [aws, "s3", "cp", "--only-show-errors", "--endpoint-url", endpoint]
    commands = [
        [*copy, file, f"s3://output/by-aws/{number}.gz"] for number, file in enumerate(files)
    ]
    if without_start:
        stopwatch.add(seconds=-_start(copy, environment))
    with ExitStack() as written:
        if without_start:
            for file in files:
                written.enter_context(just_written(file))
        run_commands(stopwatch, commands, environment)
    return Outcome(rows=len(files), bytes=sum(Path(file).stat().st_size for file in files))


def _start(copy: Sequence[str], environment: Mapping[str, str]) -> float:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n")
        file.flush()
        begin = time.perf_counter()
        command = [*copy, file.name, "s3://output/by-aws/start"]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - begin
