"""A real Airflow on localhost: API server, scheduler, DAG processor and triggerer.

The four components run as Airflow's own commands, each in a process group of its own, and not by
``airflow standalone``. That one is a fifth Airflow which imports all of it again to run the
others, loads the provider list and initialises the database on the way, and orphans its children
when it is told to end.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import httpx
import psycopg2

from demo.local.airflow_api import AirflowApi, ApiError
from demo.local.airflow_settings import USER, settings
from demo.local.postgres import Postgres
from demo.local.processes import HOST, Process, free_port, running

_DATABASE = "airflow"
_COMMAND = [sys.executable, "-m", "airflow"]
# The components that serve logs to an API server elsewhere take fixed ports for it, and each a
# second of start; here the API server reads the files.
_COMPONENTS: dict[str, list[str]] = {
    "api-server": [],
    "scheduler": ["--skip-serve-logs"],
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
}

# Others' packages only: tasks always run this project's code as it is now.
PRELOAD = (
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.common.sql.hooks.sql",
    "airflow.providers.ftp.hooks.ftp",
    "airflow.providers.imap.hooks.imap",
    "airflow.providers.postgres.hooks.postgres",
    "airflow.timetables.interval",
    "boto3",
    "isal.igzip",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
)


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """A running Airflow.

    :param url: of its UI and API
    :param home: its ``AIRFLOW_HOME``, with ``logs``
    :param environment: what a command such as ``airflow dags list`` needs to work on it
    """

    url: str
    home: Path
    api: AirflowApi
    user: str = USER
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    processes: tuple[Process, ...] = field(repr=False)

    def wait_for_dags(self, *dag_ids: str, timeout_s: float = 60.0) -> None:
        """Wait until the DAG processor has read these DAGs.

        :raises TimeoutError: if it has not, with the errors of the DAG files
        """
        deadline = time.monotonic() + timeout_s
        while missing := set(dag_ids) - {str(dag["dag_id"]) for dag in self.api.dags()}:
            if time.monotonic() > deadline:
                errors = [str(error["stack_trace"]) for error in self.api.import_errors()]
                raise TimeoutError("\n".join([f"no DAG {', '.join(sorted(missing))}", *errors]))
            time.sleep(0.2)


@contextmanager
def airflow(
    directory: Path,
    *,
    database: Postgres,
    dags_folder: Path,
    connections: Mapping[str, Mapping[str, object]] | None = None,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
    password: str = "admin",
    preload: Sequence[str] = PRELOAD,
    policies: str = "",
) -> Iterator[Airflow]:
    """Run Airflow until the block is left.

    :param directory: becomes ``AIRFLOW_HOME``; holds a log per component and the tasks' logs
    :param database: gets a database ``airflow`` unless it has one
    :param connections: Airflow connections by ID, in the form of their JSON, for its environment
    :param environment: more environment variables for all components
    :param port: of UI and API, a free one by default
    :param password: of the user ``admin``
    :param preload: modules that tasks find imported; changes to them need a new start
    :param policies: functions for ``airflow_local_settings.py``, such as a ``dag_policy``
    :raises ServerError: if a component does not start
    """
    port = port or free_port()
    url = f"http://{HOST}:{port}"
    env = {
        **settings(
            directory,
            database.uri,
            url=url,
            dags_folder=dags_folder,
            password=password,
            preload=preload,
            policies=policies,
        ),
        **{
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(c) for name, c in (connections or {}).items()
        },
        **_page(directory, connections or {}),
        **(environment or {}),
    }
    _migrate(database, directory, env)
    started = datetime.now(UTC)
    with ExitStack() as stack:
        processes = {
            component: stack.enter_context(
                running(
                    f"Airflow's {component}",
                    [*_COMMAND, component, *options],
                    log=directory / f"{component}.log",
                    env=_instead_of_own(env),
                    # Enough for the scheduler and the triggerer to end by themselves. The API
                    # server would wait for its clients, longer than anybody wants to.
                    grace_s=2.0,
                )
            )
            for component, options in _COMPONENTS.items()
        }
        for process in processes.values():
            # On leaving, all are asked before the first is waited for.
            stack.callback(process.ask_to_stop)
        api = stack.enter_context(AirflowApi(url=url, user=USER, password=password))
        for component, process in processes.items():
            process.wait_until(partial(_is_healthy, api, component, started), timeout_s=120)
        api.log_in()
        yield Airflow(
            url=url,
            home=directory,
            api=api,
            password=password,
            environment=env,
            processes=tuple(processes.values()),
        )


def _instead_of_own(env: Mapping[str, str]) -> dict[str, str | None]:
    """Keep a user's own settings and connections of Airflow out of the local one."""
    return {**{name: None for name in os.environ if name.startswith("AIRFLOW_")}, **env}


def _is_healthy(api: AirflowApi, component: str, started: datetime) -> bool:
    try:
        health = api.health()
    except (httpx.TransportError, ApiError):
        return False
    if component == "api-server":
        return True
    name = component.replace("-", "_")
    heartbeat = health[name][f"latest_{name}_heartbeat"]
    # The database may remember a heartbeat of the run before, which looks healthy for a while.
    return heartbeat is not None and datetime.fromisoformat(heartbeat) > started


def _page(directory: Path, connections: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """The page in the UI: Airflow cannot list connections of the environment."""
    named = [name for name, one in connections.items() if one["conn_type"] == "audience_manager"]
    return {
        "AIRFLOW__AUDIENCE_MANAGER__PAGE_CONNECTIONS": ",".join(named),
        "AIRFLOW__AUDIENCE_MANAGER__PAGE_INDEX_FOLDER": str(directory / "page"),
    }


def _migrate(database: Postgres, directory: Path, env: Mapping[str, str]) -> None:
    """Create or update Airflow's tables, unless this version of Airflow has done so before.

    The command takes three seconds to find that out, so the database remembers it as a comment.
    """
    wanted = f"apache-airflow {version('apache-airflow-core')}"
    with closing(psycopg2.connect(database.create_database(_DATABASE))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
                [_DATABASE],
            )
            if cursor.fetchone() == (wanted,):
                return
            command = [*_COMMAND, "db", "migrate"]
            log = directory / "migrate.log"
            with running(
                "Airflow's database migration", command, log=log, env=_instead_of_own(env)
            ) as process:
                process.wait_until_done(timeout_s=300)
            cursor.execute(f'COMMENT ON DATABASE "{_DATABASE}" IS %s', [wanted])
