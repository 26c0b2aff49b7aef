"""The services of ``docker-compose.yaml`` without containers, as far as a test goes beyond that.

Workers have a disk of their own where that can be had without containers, reach the S3 server by a
line that can be made to fall silent, and can be lost as a machine is.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from demo.celery.stack import Stack, is_worker
from demo.local.postgres import postgres
from demo.local.processes import HOST
from tests.own_disk import has_own_disk, on_own_disk
from tests.system.relay import Relay, Silence, relay_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from demo.celery.compose_file import Service


@dataclass
class FrailStack(Stack):
    """The services, whose workers can be cut off and killed."""

    to_s3: Relay = field(init=False)

    def command_of(self, service: Service) -> list[str]:
        command = super().command_of(service)
        if is_worker(service) and has_own_disk():
            return on_own_disk(command, self.directory)
        return command

    def environment(self, service: Service) -> dict[str, str | None]:
        found = super().environment(service)
        if is_worker(service):
            aws = str(found["AIRFLOW_CONN_AWS_DEFAULT"])
            found["AIRFLOW_CONN_AWS_DEFAULT"] = aws.replace(
                self.s3.endpoint_url, f"http://{HOST}:{self.to_s3.port}"
            )
        return found

    def worker_held_by(self, silence: Silence) -> str:
        """The worker whose connection has fallen silent."""
        (name,) = (
            name
            for name in self.processes
            if is_worker(self.services[name])
            for child in self._processes_of(name)
            if silence.client_port in _ports(child)
        )
        return name

    def kill(self, name: str) -> None:
        """End a service and all that it started as a machine's end does: without a word."""
        for child in self._processes_of(name):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.processes.pop(name).watchdog.wait()

    def _processes_of(self, name: str) -> list[Any]:
        """The oldest first, which might start more."""
        watchdog = psutil.Process(self.processes[name].watchdog.pid)
        found: list[Any] = watchdog.children(recursive=True)
        return found


@contextmanager
def compose_up(directory: Path, changes: Mapping[str, Mapping[str, str]]) -> Iterator[FrailStack]:
    """Run all services of the file.

    :param directory: for everything they write.
    :param changes: variables of a service that are other than the file's.
    """
    with postgres(directory / "postgres") as database:
        stack = FrailStack(directory, database, changes=changes)
        with relay_to(int(stack.ports["5000"])) as stack.to_s3, stack.up():
            yield stack


def _ports(process: psutil.Process) -> set[int]:
    """Local ends of a process's connections; it may have ended a moment ago."""
    try:
        return {one.laddr.port for one in process.net_connections()}
    except psutil.NoSuchProcess:
        return set()
