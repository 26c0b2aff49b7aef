"""The compose file's services, as real processes without containers, deliver to the sandbox."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.deliveries import deliveries
from demo.local.airflow_api import AirflowApi
from demo.local.processes import HOST
from demo.local.s3 import S3
from tests.compose_native import Stack, compose_up, redis_programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not redis_programs(), reason="no Redis for this machine"),
]

DAG = "audience_manager_monthly_overwrite"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with compose_up(tmp_path_factory.mktemp("compose")) as running:
        yield running


def test_two_workers_without_a_shared_disk_make_a_delivery(stack: Stack) -> None:
    # All services run by now, and are well by their own checks.
    with AirflowApi(url=stack.url, user="admin", password=_password(stack)) as api:
        api.log_in()
        run_id = _scheduled_run(api)
        assert api.wait_for_run(DAG, run_id, timeout_s=120) == "success"
        # The API server has a folder of its own: this comes from the bucket.
        log = _uploaded_log(api, run_id, "upload")
    server = S3(endpoint_url=f"http://{HOST}:{stack.ports['5000']}")
    (delivery,) = deliveries(server)
    assert delivery.is_reconciled
    parts = delivery.manifest["parts"]
    assert sum(part["lines"] for part in parts) == 50_000
    assert all(part["file_name"] in log for part in parts)
    # One of each partition, from whichever worker.
    assert len(parts) == 4


def test_the_crm_is_filled_once(stack: Stack) -> None:
    stack.run_again("crm")
    assert "the CRM is filled already" in (stack.directory / "crm.log").read_text()


def _password(stack: Stack) -> str:
    """What Airflow made up at its first start, where docs/compose.md says that it is."""
    path = Path(stack.home("api-server"), "simple_auth_manager_passwords.json.generated")
    return str(json.loads(path.read_text())["admin"])


def _scheduled_run(api: AirflowApi) -> str:
    """The run that the scheduler makes for the last month as soon as it may."""
    deadline = time.monotonic() + 60
    unpaused = False
    while time.monotonic() < deadline:
        if not unpaused and DAG in {str(dag["dag_id"]) for dag in api.dags()}:
            api.unpause(DAG)
            unpaused = True
        if unpaused and (runs := api.runs(DAG)):
            return str(runs[0]["dag_run_id"])
        time.sleep(0.3)
    raise AssertionError(f"no run of {DAG}; unreadable DAG files: {api.import_errors()}")


def _uploaded_log(api: AirflowApi, run_id: str, task_id: str) -> str:
    """A task's log; the worker sends it a moment after it has told of the task's end."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        log = api.task_log(DAG, run_id, task_id)
        if f"s3://airflow-logs/tasks/dag_id={DAG}/" in log:
            return log
        time.sleep(0.5)
    raise AssertionError(f"no log of {task_id} in the bucket: {log}")
