"""Start a server as a child process, wait until it answers, and never leave it behind."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[2]

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_POLL_S = 0.02
# Below the ports that the kernel hands out for outgoing connections (32768 and up on Linux), so
# that none of those can take a port between the moment it is chosen and the server's start.
_PORTS = range(20_000, 32_000)
_random = random.SystemRandom()


class ServerError(RuntimeError):
    """A server did not start, or ended while it was needed; the message ends with its log."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A running child process.

    :param name: what it is, for messages
    :param log: file with everything it printed
    :param watchdog: the process in between, see :mod:`demo.local.watchdog`
    """

    name: str
    log: Path
    watchdog: subprocess.Popen[bytes]

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``ready`` says so.

        :raises ServerError: if the process ends before, or is not ready in time
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.has_ended:
                raise self.error()
            if time.monotonic() > deadline:
                raise self._error(f"did not answer within {timeout_s:g} seconds")
            time.sleep(_POLL_S)

    def wait_until_done(self, timeout_s: float) -> None:
        """Wait until the process has ended.

        :raises ServerError: if it fails, or does not end in time
        """
        try:
            status = self.watchdog.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self._error(f"did not end within {timeout_s:g} seconds") from None
        if status:
            raise self._error(f"ended with exit status {status}")

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.watchdog.poll() is not None

    def error(self) -> ServerError:
        """That a process which has ended did so, with its exit status and the end of its log."""
        return self._error(f"ended with exit status {self.watchdog.poll()}")

    def ask_to_stop(self) -> None:
        """Let the process end, without waiting for it."""
        assert self.watchdog.stdin is not None
        self.watchdog.stdin.close()

    def _error(self, what: str) -> ServerError:
        last_lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return ServerError("\n".join([f"{self.name} {what}; end of {self.log}:", *last_lines]))


# What :func:`running` started and nobody has left yet.
_needed: list[Process] = []


def dead() -> list[Process]:
    """The processes that have ended although their blocks are not left yet."""
    return [process for process in _needed if process.has_ended]


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str | None] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace_s: float = 5.0,
) -> Iterator[Process]:
    """Run a command in a process group of its own and end it on leaving.

    It ends as well when this process is interrupted, terminated or killed.

    :param name: what it is, for messages
    :param command: the program and its arguments
    :param log: file for its output, appended to
    :param env: environment variables on top of this process's own; None takes one away
    :param stop_signal: what asks the command to end
    :param grace_s: seconds it has for that before it is killed
    """
    # Whoever sets this one saves a little disk and makes every start of Airflow twice as slow.
    changes = {"PYTHONDONTWRITEBYTECODE": None, **(env or {})}
    environment = {
        name: value for name, value in {**os.environ, **changes}.items() if value is not None
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments: list[str | Path] = [sys.executable, "-I", "-S", _WATCHDOG, str(os.getpid())]
    arguments += [str(int(stop_signal)), str(grace_s), *command]
    with log.open("ab") as output:
        watchdog = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=REPOSITORY,
            # Ctrl-C reaches the whole foreground group; this process decides when servers end.
            start_new_session=True,
        )
    process = Process(name=name, log=log, watchdog=watchdog)
    _needed.append(process)
    try:
        yield process
    finally:
        _needed.remove(process)
        process.ask_to_stop()
        watchdog.wait()


def free_port() -> int:
    """A TCP port on localhost that nobody listens on."""
    for _ in range(100):
        port = _random.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free TCP port between {_PORTS.start} and {_PORTS.stop}")


def accepts_connections(port: int) -> bool:
    """Whether somebody listens on a TCP port on localhost."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0
