"""Airflow's components, of which others take the place when they are killed."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import psutil

from demo.local.processes import Process, running

if TYPE_CHECKING:
    from demo.local.airflow import Airflow


class Components:
    """The scheduler, the triggerer and the others of a running Airflow, by name.

    Those that took another one's place end when the block is left.
    """

    def __init__(self, started: Airflow) -> None:
        self._airflow = started
        self._stack = ExitStack()
        self._processes: dict[str, Process] = {
            process.name.removeprefix("Airflow's "): process for process in started.processes
        }

    def __enter__(self) -> Components:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kill(self, component: str) -> None:
        """End a component and all that it started at once, as a machine's end does."""
        process = self._processes[component]
        for child in psutil.Process(process.watchdog.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def replace(self, component: str) -> None:
        """Start another one."""
        options = [] if component == "dag-processor" else ["--skip-serve-logs"]
        self._processes[component] = self._stack.enter_context(
            running(
                f"another {component}",
                [sys.executable, "-m", "airflow", component, *options],
                log=self._airflow.home / f"another-{component}.log",
                env=dict(self._airflow.environment),
                grace_s=2.0,
            )
        )
