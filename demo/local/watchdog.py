"""Run a command and end all of it, whatever becomes of the process that asked for it.

Used as a script, ``python watchdog.py PARENT_PID STOP_SIGNAL GRACE_S COMMAND…``, with a pipe from
the parent as standard input. It imports nothing but the standard library, so that it starts in
some twenty milliseconds.

Why a process in between: ``PR_SET_PDEATHSIG`` alone is not enough. It reaches the direct child
only, not what that child started (Airflow's workers, PostgreSQL's backends), it is lost when the
child changes its user (PostgreSQL as root does), and it fires when the *thread* that started the
child ends. A pipe whose other end the parent holds reports the parent's death in every case, also
SIGKILL, and works on all POSIX systems. On Linux the watchdog is a "child subreaper" as well:
descendants that left the group or lost their parent become its own children, and are ended too.
"""

import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.2


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class _Command:
    """The command in a process group of its own, and its exit status once it has one."""

    def __init__(self, arguments: list[str]) -> None:
        self.status: int | None = None
        self.pid = os.posix_spawnp(
            arguments[0],
            arguments,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setpgroup=0,
        )

    def ended(self) -> bool:
        """Collect whatever has ended, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def stop(self, stop_signal: int, grace_s: float) -> None:
        """Ask the command to end, wait for it, then kill what is left."""
        deadline = time.monotonic() + grace_s
        if not self.ended():
            _signal_group(self.pid, stop_signal)
        while not self.ended() and time.monotonic() < deadline:
            time.sleep(0.01)
        _signal_group(self.pid, signal.SIGKILL)
        while descendants := _descendants(os.getpid()):
            for pid in descendants:
                _kill(pid)
            self.ended()
            time.sleep(0.005)
        self.ended()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # Gone; macOS answers EPERM for a group of zombies.
        return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _descendants(root: int) -> list[int]:
    """All processes below ``root``, zombies included; empty where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid …; the name may hold blanks and brackets.
            ppid = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(ppid, []).append(int(stat.parent.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def main(arguments: list[str]) -> int:
    """Run until the command ends, the pipe closes or the parent is gone."""
    parent, stop_signal, grace_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    told_to_stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: told_to_stop.append(received))
    _adopt_orphans()
    command = _Command(arguments[3:])
    # The pipe alone is not enough either: a process which the parent forked holds a copy of it.
    while not command.ended() and not told_to_stop and os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], _POLL_S)
        if readable and not os.read(0, 1):
            break
    command.stop(stop_signal, grace_s)
    status = 0 if command.status is None else command.status
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
