"""Runs a DAG by ``dag.test()`` in a process and an Airflow home of its own.

``python -m tests.system.dag_test_runs DAG_ID RUNS RESULTS``: RUNS is a JSON list with the arguments
of each run; RESULTS gets a JSON list with state, tasks' states and what they returned.
"""

import inspect
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk import DAG
from airflow.utils.db import initdb

try:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag, sync_bag_to_db

_BUNDLE = "dags-folder"


def main(dag_id: str, runs: str, results: str) -> None:
    """Run, and write down what became of it."""
    initdb()
    # The DAG is read anew for each: what a run is given stays in the object's params.
    results_of_runs = [_result(_synced(dag_id), run) for run in json.loads(runs)]
    Path(results).write_text(json.dumps(results_of_runs))


def _synced(dag_id: str) -> DAG:
    DagBundlesManager().sync_bundles_to_db()
    # Airflow 3.1 knows no bundle here.
    accepted = inspect.signature(DagBag).parameters
    options = {"bundle_name": _BUNDLE} if "bundle_name" in accepted else {}
    file = Path(conf.get("core", "dags_folder"), f"{dag_id}.py")
    bag = DagBag(dag_folder=file, **options)
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, _BUNDLE, None)
    dag: DAG = bag.dags[dag_id]
    return dag


def _result(dag: DAG, run: dict[str, Any]) -> dict[str, Any]:
    date = run["logical_date"]
    ended = dag.test(
        logical_date=None if date is None else datetime.fromisoformat(date),
        run_conf=run["conf"],
    )
    tasks = ended.get_task_instances()
    return {
        "state": ended.state,
        "logical_date": None if ended.logical_date is None else ended.logical_date.isoformat(),
        "tasks": {task.task_id: task.state for task in tasks},
        "returned": {task.task_id: task.xcom_pull(task_ids=task.task_id) for task in tasks},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
