"""The task that staged a delivery stands among its figures, and nothing is decided by it."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from tests.connections import Connect

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")


def context(run_id: str, run_type: str, map_index: int = -1) -> Any:
    run = SimpleNamespace(
        dag_id="crm", run_type=run_type, run_after=datetime(2026, 3, 2, tzinfo=UTC)
    )
    return {"dag_run": run, "run_id": run_id, "ti": SimpleNamespace(map_index=map_index)}


@pytest.fixture
def arguments(tmp_path: Path, audience_manager: Connect) -> dict[str, Any]:
    source = tmp_path / "customers.parquet"
    pq.write_table(pa.table({"id": ["u1", "u2"], "traits": ["1", "2"]}), source)
    conn_id = audience_manager(
        environment="beta", partner_name="acme", staging_location=str(tmp_path / "staging")
    )
    return {
        "source": str(source),
        "dpid": 478,
        "id_column": "id",
        "traits_column": "traits",
        "audience_manager_conn_id": conn_id,
    }


def origins(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    records = AudienceManagerHook(arguments["audience_manager_conn_id"]).deliveries()
    return [dict(record.entry.figures["origin"]) for record in records]


def test_a_format_task_is_known_by_dag_run_task_and_map_index(arguments: dict[str, Any]) -> None:
    task = FormatDataFileOperator(
        task_id="deliver.format", window_start="2026-03-01", window_end="2026-03-02", **arguments
    )
    task.execute(context("backfill__1", "backfill", map_index=2))
    wanted = {
        "dag_id": "crm",
        "run_id": "backfill__1",
        "task_id": "deliver.format",
        "map_index": 2,
        "run_type": "backfill",
    }
    assert origins(arguments) == [wanted]
    # Another run with the same rows goes on with the same delivery, which is the first one's.
    task.execute(context("manual__2", "manual", map_index=2))
    assert origins(arguments) == [wanted]


def test_a_delivery_of_partitions_is_of_the_task_that_combines_them(
    arguments: dict[str, Any],
) -> None:
    formatted = [
        FormatDataFileOperator(task_id="part", partitions=2, partition=at, **arguments).execute(
            context("manual__1", "manual", map_index=at)
        )
        for at in range(2)
    ]
    CombinePartitionsOperator(
        task_id="combine",
        formatted=formatted,
        audience_manager_conn_id=arguments["audience_manager_conn_id"],
    ).execute(context("manual__1", "manual"))
    (origin,) = origins(arguments)
    assert (origin["task_id"], origin["map_index"]) == ("combine", -1)


def test_a_difference_has_one_too(arguments: dict[str, Any]) -> None:
    task = SnapshotDiffOperator(task_id="diff", snapshot="all", **arguments)
    task.execute(context("scheduled__1", "scheduled"))
    assert [one["task_id"] for one in origins(arguments)] == ["diff"]
