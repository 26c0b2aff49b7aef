"""The settings of the local Airflow, as environment variables."""

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

USER = "admin"

# What Airflow imports from ``AIRFLOW_HOME/config`` when it starts, before it does anything else.
_LOCAL_SETTINGS = """
import importlib
import sys

# Each task runs in a fork of the scheduler's workers: what the scheduler has imported, no task has
# to import. With boto3, pyarrow and Airflow's hooks this takes half a second off every task.
if "scheduler" in sys.argv:
    for module in {modules!r}:
        importlib.import_module(module)
"""


def settings(
    home: Path,
    uri: Callable[..., str],
    *,
    url: str,
    dags_folder: Path,
    password: str,
    preload: Sequence[str],
    policies: str = "",
) -> dict[str, str]:
    """All settings; writes the files that they speak of.

    :param home: ``AIRFLOW_HOME``
    :param uri: gives the URI of a database, see :meth:`demo.local.postgres.Postgres.uri`
    :param url: where the API server shall listen
    :param preload: modules that tasks need and the scheduler imports for them
    :param policies: more of ``airflow_local_settings.py``, such as a ``dag_policy``
    """
    (home / "config").mkdir(parents=True, exist_ok=True)
    local_settings = _LOCAL_SETTINGS.format(modules=list(preload))
    (home / "config" / "airflow_local_settings.py").write_text(local_settings + policies)
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({USER: password}))
    passwords.chmod(0o600)
    host, _, port = url.removeprefix("http://").partition(":")
    return {
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{name.upper()}": value for name, value in _fast().items()},
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri("airflow", driver="psycopg2"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": uri("airflow", driver="asyncpg"),
        "AIRFLOW__API__HOST": host,
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": url,
        # The components trust each other by these; new ones for every start.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
        "AIRFLOW__CORE__FERNET_KEY": "",
    }


def _fast() -> dict[str, str]:
    """What makes a small Airflow on two cores start and react quickly."""
    return {
        "core__executor": "LocalExecutor",
        # Forks of the scheduler that wait for tasks: 32 by default.
        "core__parallelism": "4",
        "core__load_examples": "False",
        "core__dags_are_paused_at_creation": "True",
        "core__mp_start_method": "fork",
        "core__execute_tasks_new_python_interpreter": "False",
        "core__test_connection": "Enabled",
        # One process answers the UI and the tasks; each more costs two seconds of start.
        "api__workers": "1",
        "api__expose_config": "True",
        "scheduler__scheduler_idle_sleep_time": "0.2",
        "scheduler__enable_health_check": "False",
        "scheduler__catchup_by_default": "False",
        "dag_processor__refresh_interval": "10",
        "dag_processor__min_file_process_interval": "30",
        "dag_processor__bundle_refresh_check_interval": "5",
        "dag_processor__parsing_processes": "1",
        "triggerer__job_heartbeat_sec": "2",
        "workers__min_heartbeat_interval": "1",
    }
