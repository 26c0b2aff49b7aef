"""The sandbox as the demo runs it: a process that can be stopped and started again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from demo.local.processes import running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(kw_only=True)
class Sandbox:
    """Audience Manager, as far as this machine has it.

    What it has taken in and not answered yet is in its database, so that it goes on where it was.

    :param command: what runs it.
    :param environment: what the command needs.
    :param log: what it did.
    :param profiles: its database, for ``airflow-am sandbox profile``.
    """

    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    profiles: Path
    _running: ExitStack | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._running is not None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._running is None:
            stack = ExitStack()
            environment = dict(self.environment)
            stack.enter_context(running("the sandbox", self.command, log=self.log, env=environment))
            self._running = stack

    def stop(self) -> None:
        """End it, unless it does not run."""
        stack, self._running = self._running, None
        if stack is not None:
            stack.close()
