"""One Airflow for all tests that need a running one and do not disturb each other.

It takes half a minute of a processor to start. The DAGs lie in ``dags``; connections are added by
the tests, under names of their own. Each worker of pytest-xdist that needs one has one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.local.airflow import Airflow, airflow
from tests.system.components import Components

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.local.postgres import Postgres

DAGS = Path(__file__).with_name("dags")
DAG_IDS = ("by_hand", "daily", "delivery", "faults", "receipt")
# How soon Airflow misses those that do not say any more that they are alive. On a busy machine a
# scheduler may take more than ten seconds to say so, and its tasks are begun anew.
SOON_MISSED = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


@pytest.fixture(scope="session")
def lineage_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where OpenLineage writes what it is told of the DAGs that ask for it."""
    return tmp_path_factory.mktemp("lineage") / "events.json"


@pytest.fixture(scope="session")
def local_airflow(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, lineage_file: Path
) -> Iterator[Airflow]:
    """A running Airflow, in whose environment is one connection, ``crm``."""
    directory = tmp_path_factory.mktemp("airflow")
    # Other files come to lie beside them when they are imported.
    shutil.copytree(DAGS, directory / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    told = {"type": "file", "log_file_path": str(lineage_file), "append": True}
    with airflow(
        directory / "home",
        database=postgres,
        dags_folder=directory / "dags",
        connections={"crm": {"conn_type": "postgres", "host": "crm.example"}},
        environment={
            **SOON_MISSED,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(told),
            "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
        },
    ) as running:
        running.wait_for_dags(*DAG_IDS)
        for dag_id in DAG_IDS:
            running.api.unpause(dag_id)
        yield running


@pytest.fixture(scope="session")
def components(local_airflow: Airflow) -> Iterator[Components]:
    """Its components, which may be killed if others take their place."""
    with Components(local_airflow) as found:
        yield found
