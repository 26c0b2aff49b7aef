"""What ``make demo``, ``make serve``, ``make serve-celery`` and ``make rehearse`` have in common.

Each works alone in an empty folder, and ends all that it started when it is interrupted.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demo.local.postgres import check_startable
from demo.local.processes import ServerError, accepts_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

DIRECTORY: Final = Path(__file__).parent.parent / ".demo"
#: Of Airflow's UI, unless the user names another.
SERVE_PORT: Final = 8080

_started = time.monotonic()


def run_alone(
    work: Callable[[], int],
    *,
    port: int | None,
    name: str,
    interrupted: int = 0,
    directory: Path = DIRECTORY,
) -> int:
    """Do the work in an empty folder, or say in a sentence what hinders it.

    :param work: gives the exit code.
    :param port: that must be free.
    :param name: of the command that another port is given to.
    :param interrupted: the exit code after Ctrl-C.
    :param directory: the folder, which is emptied.
    :return: the exit code; 1 when it was hindered.
    """
    if port is not None and accepts_connections(port):
        return refused(
            f"Port {port} of this machine is in use: end what listens there, or name another one, "
            f"as in {name} PORT={port + 1}."
        )
    if not _is_alone():
        return refused(
            "Another make demo, make serve, make serve-celery or make rehearse runs in this "
            "folder: end that one first."
        )
    try:
        check_startable()
    except ServerError as error:
        return refused(str(error))
    # Ended from outside, the servers are stopped just as on Ctrl-C; and Ctrl-C is heard even
    # where a shell that started this in the background turned it off.
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return work()
    except KeyboardInterrupt:
        say("stopped")
        return interrupted
    except ServerError as error:
        return refused(str(error))


def say(sentence: str) -> None:
    """Print what goes on, and when."""
    print(f"{time.monotonic() - _started:6.1f} s  {sentence}", flush=True)


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines that set them in a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def refused(sentence: str) -> int:
    """Print why nothing is done; the exit code that goes with it."""
    print(sentence, file=sys.stderr)
    return 1


def _is_alone() -> bool:
    """Whether no other run works in this folder, whose data this one would delete."""
    # Held until the process ends.
    folder = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
