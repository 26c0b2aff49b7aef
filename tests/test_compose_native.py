"""The compose file's services, as real processes without containers, deliver to the sandbox."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sandbox import Profiles, Sandbox, SandboxConfig
from demo import crm
from demo.celery.stack import USER, Stack, redis_programs
from demo.deliveries import deliveries
from demo.local.airflow_api import AirflowApi
from demo.local.processes import REPOSITORY
from demo.world import ADOBE_BUCKET, STAGING_BUCKET
from tests.compose_native import FrailStack, compose_up

pytestmark = [
    pytest.mark.slow,
    # Operators warn when they are executed outside of a task; here they are, on purpose.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not redis_programs(), reason="no Redis for this machine"),
]

DAG = "audience_manager_monthly_overwrite"
DAILY = "audience_manager_daily"
# The first that has changes in the CRM.
DAY = datetime(crm.DAYS[0].year, crm.DAYS[0].month, crm.DAYS[0].day, tzinfo=UTC)
PARTITIONS = 4
# What the example allows, of the eight that two workers could run.
AT_ONCE = 2
BAD_ROWS = 25
_BAD_ROWS = f"""
INSERT INTO customers
SELECT 'customer' || n || '@example.com', 'Berlin', '301' FROM generate_series(1, {BAD_ROWS}) AS n
"""
_PAIRS = f"SELECT aam_uuid(n), customer_id(n) FROM generate_series(1, {crm.CUSTOMERS}) AS n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrailStack]:
    directory = tmp_path_factory.mktemp("compose")
    changes = {
        # Who tries again waits five minutes by the example; workers run the example as it is.
        "dag-processor": {"AIRFLOW__CORE__DAGS_FOLDER": str(_impatient(directory / "dags"))},
        # And a worker is given up after five; what it was handed and had not begun, after ten.
        "scheduler": {
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        },
    }
    with compose_up(directory, changes) as running:
        yield running


def _impatient(folder: Path) -> Path:
    folder.mkdir()
    for dag_id, changes in {
        DAG: {"timedelta(minutes=5)": "timedelta(seconds=1)"},
        # Airflow would run it for yesterday by itself, a day without rows.
        DAILY: {
            "timedelta(minutes=5)": "timedelta(seconds=1)",
            "catchup=False": f"catchup=False, end_date=datetime.fromisoformat('{DAY}')",
        },
    }.items():
        text = (REPOSITORY / "dags" / f"{dag_id}.py").read_text()
        for words, others in changes.items():
            assert words in text
            text = text.replace(words, others)
        (folder / f"{dag_id}.py").write_text(text)
    return folder


def test_two_workers_without_a_shared_disk_deliver_though_one_is_killed_in_mid_part(
    stack: FrailStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All services run by now, and are well by their own checks.
    pairs = _rows_of_crm(stack)
    _put_pairs(stack, ADOBE_BUCKET, pairs)
    silence = stack.to_s3.fall_silent(rb"PUT /%s/\S+/parts/00001.gz" % STAGING_BUCKET.encode())
    with AirflowApi(url=stack.url, user=USER, password=stack.password) as api:
        api.log_in()
        run_id = _scheduled_run(api)
        assert silence.has_fallen.wait(60)
        killed = stack.worker_held_by(silence)
        stack.kill(killed)
        with stack.start(stack.services[killed]):
            # The daily DAG meanwhile: its day takes no longer than the lost worker is waited for.
            api.unpause(DAILY)
            backfill = api.create_backfill(DAILY, DAY, DAY)
            assert api.wait_for_run(DAG, run_id, timeout_s=200) == "success"
            (day,) = api.wait_for_backfill(backfill, timeout_s=200)
            assert day["state"] == "success"
            # The API server has a folder of its own: this comes from the bucket.
            log = _uploaded_log(api, run_id, "upload")
        tries = _tries(api, run_id)
        assert _most_at_once(api, run_id, "format_partition") == AT_ONCE
    # One partition was begun again, and nothing else.
    assert sorted(tries.pop("format_partition")) == [*[1] * (PARTITIONS - 1), 2]
    assert tries == {"format_loyalty": [1], "upload": [1], "receipt": [1]}
    found = deliveries(stack.s3)
    daily = [one for one in found if one.manifest["series"].startswith(f"{DAILY}/")]
    assert [(one.manifest["kind"], one.is_good) for one in daily] == [
        ("id_sync", True),
        ("data", True),
    ]
    (delivery,) = (one for one in found if one not in daily)
    assert delivery.is_reconciled
    manifest = delivery.manifest
    assert (manifest["rows_read"], manifest["rows_written"], manifest["rows_set_aside"]) == (
        crm.CUSTOMERS + BAD_ROWS,
        crm.CUSTOMERS,
        BAD_ROWS,
    )
    # One of each partition, from whichever worker.
    parts = manifest["parts"]
    assert len(parts) == PARTITIONS
    assert sum(part["lines"] for part in parts) == crm.CUSTOMERS
    assert all(part["file_name"] in log for part in parts)
    profiles = _profiles(stack.profiles)
    assert profiles == _profiles_of_one_process(stack, pairs, tmp_path, monkeypatch)
    assert len({user for kind, _, user, *_ in profiles if kind == "trait"}) == crm.CUSTOMERS


def test_the_crm_is_filled_once(stack: Stack) -> None:
    stack.run(stack.services["crm"])
    assert "the CRM is filled already" in (stack.directory / "crm.log").read_text()


def _rows_of_crm(stack: Stack) -> str:
    """Plant rows that are set aside; give everybody's pair of IDs, a line each."""
    uri = stack.database.uri(crm.DATABASE)
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute(_BAD_ROWS)
        connection.commit()
        cursor.execute(_PAIRS)
        return "".join(f"{uuid}\t{customer}\n" for uuid, customer in cursor)


def _put_pairs(stack: Stack, bucket: str, pairs: str) -> None:
    """Send an ID sync, without which Audience Manager would skip every line of data."""
    now = datetime.now(UTC)
    stack.s3.client().put_object(
        Bucket=bucket,
        Key=f"acme/date={now:%Y-%m-%d}/adobe_id_0_478_{now.timestamp():.0f}.sync.gz",
        Body=gzip.compress(pairs.encode()),
        ACL="bucket-owner-full-control",
    )


def _profiles(database: Path) -> set[tuple[str, ...]]:
    """Everything but what the daily DAG sets: traits of the CRM's own data source."""
    with Profiles(database) as profiles:
        return {row for row in profiles.dump() if (row[0], row[3]) != ("trait", "478")}


def _profiles_of_one_process(
    stack: Stack, pairs: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> set[tuple[str, ...]]:
    """What another Audience Manager knows when this process delivers the same rows at once."""
    server, bucket = stack.s3, "one-process"
    server.create_bucket(bucket)
    extra = {
        "environment": "custom",
        "partner_name": "acme",
        "bucket": bucket,
        "aws_conn_id": "aws_default",
        "staging_location": str(directory / "staging"),
    }
    for name, connection in {
        "crm": stack.database.airflow_connection(crm.DATABASE),
        "aws_default": server.airflow_connection(),
        "audience_manager_default": {"conn_type": "audience_manager", "extra": extra},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    context: Any = {"dag_run": SimpleNamespace(dag_id="one_process"), "run_id": "manual__1"}
    manifest = FormatDataFileOperator(
        task_id="format",
        conn_id="crm",
        sql="SELECT customer_id, loyalty_traits, city FROM customers",
        dpid=478,
        target_dpid=567,
        mode="overwrite",
        id_column="customer_id",
        traits_column="loyalty_traits",
        signal_columns={"city": "home_city"},
    ).execute(context)
    _put_pairs(stack, bucket, pairs)
    UploadOperator(task_id="upload", manifest=manifest).execute(context)
    database = directory / "profiles.sqlite"
    with Sandbox(SandboxConfig(database=database, inboxes=(f"s3://{bucket}",))) as sandbox:
        sandbox.run_once()
    return _profiles(database)


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


def _tries(api: AirflowApi, run_id: str) -> dict[str, list[int]]:
    """How often each task was begun, each of the mapped ones."""
    found: dict[str, list[int]] = {}
    for task in api.task_instances(DAG, run_id):
        found.setdefault(task["task_id"], []).append(task["try_number"])
    return found


def _most_at_once(api: AirflowApi, run_id: str, task_id: str) -> int:
    """How many of a mapped task's tries ran at the same time."""
    tries = [
        (one["start_date"], one["end_date"])
        for index in range(PARTITIONS)
        for one in api.task_tries(DAG, run_id, task_id, map_index=index)
    ]
    return max(sum(begun <= start < ended for begun, ended in tries) for start, _ in tries)


def _uploaded_log(api: AirflowApi, run_id: str, task_id: str) -> str:
    """A task's log; the worker sends it a moment after it has told of the task's end."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        log = api.task_log(DAG, run_id, task_id)
        if f"s3://airflow-logs/tasks/dag_id={DAG}/" in log:
            return log
        time.sleep(0.5)
    raise AssertionError(f"no log of {task_id} in the bucket: {log}")
