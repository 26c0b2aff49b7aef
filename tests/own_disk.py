"""Runs a command as on a machine of its own: what it writes, no other process can read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demo.local.processes import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARED: Final = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
_NAMESPACE: Final = ("unshare", "--mount", "--propagation", "private")


@cache
def has_own_disk() -> bool:
    """Whether that can be had here: it takes Linux, root and the program ``unshare``."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run([*_NAMESPACE, *mount], capture_output=True).returncode == 0


def on_own_disk(command: Sequence[str], folder: Path) -> list[str]:
    """The command with an empty disk for all that it writes, which is gone when it ends.

    Everything else it can only read: the file system is the one of this machine, read-only.

    :param command: the program and its arguments.
    :param folder: where others write, which it will find empty.
    """
    # Not what hides the programs themselves.
    needed = (REPOSITORY, Path(sys.prefix))
    hidden = [place for place in _SHARED if not any(one.is_relative_to(place) for one in needed)]
    steps = [f"mount -t tmpfs tmpfs {shlex.quote(str(place))}" for place in hidden]
    within = shlex.quote(str(folder))
    steps += [f"mkdir -p {within}", f"mount -t tmpfs tmpfs {within}"]
    steps += ["mount -o remount,bind,ro /", 'exec "$@"']
    return [*_NAMESPACE, "sh", "-c", " && ".join(steps), "sh", *command]
