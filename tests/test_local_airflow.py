"""The Airflow that demo and tests run: real components, driven through its REST API."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from demo.local.airflow import Airflow
from demo.local.airflow_api import ApiError
from demo.local.processes import REPOSITORY

pytestmark = pytest.mark.slow


def test_runs_a_dag_by_hand(local_airflow: Airflow) -> None:
    api = local_airflow.api
    run_id = api.trigger("by_hand", conf={"day": 1})
    assert api.wait_for_run("by_hand", run_id) == "success"
    (task,) = api.task_instances("by_hand", run_id)
    assert (task["task_id"], task["state"]) == ("read_connection", "success")
    assert api.xcom("by_hand", run_id, "read_connection") == ["crm.example", None, {"day": 1}]
    assert "a line for the log" in api.task_log("by_hand", run_id, "read_connection")


def test_backfills_two_days_with_a_deferred_task(local_airflow: Airflow) -> None:
    api = local_airflow.api
    days = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    runs = api.wait_for_backfill(api.create_backfill("daily", *days))
    assert [run["state"] for run in runs] == ["success", "success"]
    ends = [api.xcom("daily", run["dag_run_id"], "wait") for run in runs]
    assert ends == ["2026-03-02T00:00:00+00:00", "2026-03-03T00:00:00+00:00"]
    again = api.create_backfill("daily", days[0], days[0], reprocess_behavior="completed")
    assert [run["dag_run_id"] for run in api.wait_for_backfill(again)] == [runs[0]["dag_run_id"]]


def test_a_connection_that_was_added_is_in_the_database(local_airflow: Airflow) -> None:
    local_airflow.api.add_connection(
        "added", {"conn_type": "aws", "login": "key", "extra": {"region_name": "us-east-1"}}
    )
    listed = json.loads(local_airflow.api.text("/api/v2/connections?limit=100"))["connections"]
    (stored,) = (one for one in listed if one["connection_id"] == "added")
    assert stored["conn_type"] == "aws"
    assert json.loads(stored["extra"]) == {"region_name": "us-east-1"}


def test_says_what_the_api_refuses(local_airflow: Airflow) -> None:
    with pytest.raises(ApiError, match=r"^POST /api/v2/dags/absent/dagRuns: 404 .*absent"):
        local_airflow.api.trigger("absent")


def test_gives_commands_what_they_need(local_airflow: Airflow) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "list", "--output", "plain"],
        env={**os.environ, **local_airflow.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "by_hand" in result.stdout


# That a watchdog leaves nothing behind, `tests/test_local_servers.py` shows in every run: of
# servers, whichever signal ends the parent, and of a command that detaches itself.
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_parent_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _ALONE, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        started = psutil.Process(parent.pid).children(recursive=True)
        # PostgreSQL and four components with a watchdog each, and four workers of the scheduler.
        assert len(started) > 14
        parent.send_signal(number)
    _, left = psutil.wait_procs(started, timeout=15)
    assert left == []


_ALONE = """
import signal, sys, time
from pathlib import Path
from demo.local.airflow import airflow
from demo.local.postgres import postgres

# What is started in the background by a shell ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
directory = Path(sys.argv[1])
with (
    postgres(directory / "postgres") as database,
    airflow(directory / "home", database=database, dags_folder=directory),
):
    print("ready", flush=True)
    time.sleep(60)
"""
