"""What ``deliver(...)`` wires, and which of its tasks run when others are skipped."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.task_groups import deliver

DATA: dict[str, Any] = {
    "conn_id": "crm",
    "sql": "SELECT id, traits FROM customers",
    "dpid": 478,
    "id_column": "id",
    "traits_column": "traits",
}
ID_SYNC: dict[str, Any] = {
    "sql": "SELECT uuid, id FROM customers",
    "master_dpid": 0,
    "dpids": 478,
    "columns": ["uuid", "id"],
}


def made(**arguments: Any) -> DAG:
    with DAG("wired", schedule=None) as dag:
        deliver(**DATA, **arguments)
    return dag


def test_without_an_id_sync_there_are_three_tasks() -> None:
    dag = made()
    assert dag.task_ids == ["deliver.format", "deliver.upload", "deliver.receipt"]


def test_a_guard_stands_before_the_upload_of_the_data() -> None:
    dag = made(id_sync=ID_SYNC, guard={"on_breach": "ask"}, audience_manager_conn_id="beta")
    guard = dag.get_task("deliver.guard")
    assert guard.upstream_task_ids == {"deliver.format"}
    assert dag.get_task("deliver.upload").upstream_task_ids == {"deliver.guard"}
    assert (guard.on_breach, guard.audience_manager_conn_id) == ("ask", "beta")
    assert "deliver.guard_ids" not in dag.task_ids


def test_a_preflight_stands_before_the_guard_of_the_data() -> None:
    for arguments in ({}, {"snapshot": "customers"}, {"partitions": 2}):
        dag = made(
            id_sync=ID_SYNC,
            preflight={"on_finding": "warn"},
            guard={},
            audience_manager_conn_id="beta",
            **arguments,
        )
        preflight = dag.get_task("deliver.preflight")
        assert preflight.upstream_task_ids == {"deliver.format"}
        assert (preflight.on_finding, preflight.audience_manager_conn_id) == ("warn", "beta")
        assert dag.get_task("deliver.guard").upstream_task_ids == {"deliver.preflight"}
        assert dag.get_task("deliver.upload").upstream_task_ids == {"deliver.guard"}
        assert "deliver.preflight_ids" not in dag.task_ids
    alone = made(preflight={})
    assert alone.get_task("deliver.upload").upstream_task_ids == {"deliver.preflight"}


def test_with_a_snapshot_what_has_changed_is_delivered_by_one_task() -> None:
    for arguments in ({}, {"partitions": 3}, {"id_sync": ID_SYNC}):
        dag = made(snapshot="customers", max_removed=0.1, **arguments)
        compare = dag.get_task("deliver.format")
        assert isinstance(compare, SnapshotDiffOperator)
        assert compare.max_removed == 0.1
        assert "deliver.format_partition" not in dag.task_ids


def test_data_waits_for_the_receipt_of_the_id_sync() -> None:
    dag = made(id_sync=ID_SYNC)
    assert dag.get_task("deliver.extract_ids").upstream_task_ids == {"deliver.start"}
    assert dag.get_task("deliver.upload_ids").upstream_task_ids == {"deliver.extract_ids"}
    assert dag.get_task("deliver.receipt_ids").upstream_task_ids == {"deliver.upload_ids"}
    assert dag.get_task("deliver.format").upstream_task_ids == {
        "deliver.start",
        "deliver.receipt_ids",
    }


def test_data_goes_without_an_id_sync_but_not_when_the_whole_group_is_skipped() -> None:
    # An ID sync that is skipped leaves the first task a success; a branch before the group that
    # skips it leaves none.
    dag = made(id_sync=ID_SYNC)
    assert dag.get_task("deliver.format").trigger_rule == "none_failed_min_one_success"
    assert dag.get_task("deliver.start").upstream_task_ids == set()
    assert dag.get_task("deliver.start").trigger_rule == "all_success"


def test_a_breach_of_the_id_sync_holds_the_data_back_also_where_breaches_skip() -> None:
    dag = made(id_sync=ID_SYNC, receipt={"on_breach": "skip", "limits": {"format_errors": 0}})
    assert dag.get_task("deliver.receipt_ids").on_breach == "fail"
    assert dag.get_task("deliver.receipt").on_breach == "skip"
    assert dag.get_task("deliver.receipt_ids").limits == {"format_errors": 0}


def test_the_id_sync_shares_connections_and_window_unless_it_has_its_own() -> None:
    dag = made(
        audience_manager_conn_id="am",
        window_start="2026-03-01",
        window_timezone="Europe/Berlin",
        id_sync={**ID_SYNC, "conn_id": "x"},
    )
    extract_ids = dag.get_task("deliver.extract_ids")
    assert extract_ids.conn_id == "x"
    assert extract_ids.window_start == "2026-03-01"
    assert extract_ids.window_timezone == "Europe/Berlin"
    assert {
        task.audience_manager_conn_id for task in dag.tasks if task.task_id != "deliver.start"
    } == {"am"}


def test_partitions_are_formatted_by_mapped_tasks_and_combined_into_one_delivery() -> None:
    ids = {**ID_SYNC, "partitions": 2}
    dag = made(id_sync=ids, partitions=4, on_empty="fail", max_active_tis_per_dagrun=2)
    mapped = dag.get_task("deliver.format_partition")
    assert mapped.is_mapped
    assert mapped.expand_input.value == {"partition": [0, 1, 2, 3]}
    assert mapped.max_active_tis_per_dagrun == 2
    assert mapped.upstream_task_ids == {"deliver.start", "deliver.receipt_ids"}
    combine = dag.get_task("deliver.format")
    assert combine.upstream_task_ids == {"deliver.format_partition"}
    assert combine.on_empty == "fail"
    assert dag.get_task("deliver.upload").upstream_task_ids == {"deliver.format"}
    assert dag.get_task("deliver.extract_ids_partition").upstream_task_ids == {"deliver.start"}
    assert dag.get_task("deliver.upload_ids").upstream_task_ids == {"deliver.extract_ids"}


def test_how_many_read_at_once_is_said_of_the_mapped_tasks_and_of_no_other() -> None:
    dag = made(
        id_sync={**ID_SYNC, "partitions": 2, "pool": "web"},
        partitions=4,
        pool="crm",
        pool_slots=2,
        max_active_tis_per_dagrun=3,
        max_active_tis_per_dag=6,
    )
    limits = ("pool", "pool_slots", "max_active_tis_per_dagrun", "max_active_tis_per_dag")
    assert {
        task.label: [getattr(task, limit) for limit in limits]
        for task in dag.tasks
        if [getattr(task, limit) for limit in limits] != ["default_pool", 1, None, None]
    } == {"format_partition": ["crm", 2, 3, 6], "extract_ids_partition": ["web", 1, None, None]}


def test_the_sending_is_spread_over_mapped_tasks_and_completed_by_one() -> None:
    dag = made(id_sync=ID_SYNC, upload_shares=3, upload={"retries": 5})
    for suffix, stage in (("", "format"), ("_ids", "extract_ids")):
        parts = dag.get_task(f"deliver.upload{suffix}_parts")
        assert parts.expand_input.value == {"share": [0, 1, 2]}
        assert (parts.partial_kwargs["shares"], parts.retries) == (3, 5)
        assert parts.upstream_task_ids == {f"deliver.{stage}"}
        assert dag.get_task(f"deliver.upload{suffix}").upstream_task_ids == {
            f"deliver.{stage}",
            f"deliver.upload{suffix}_parts",
        }


def test_ranges_make_as_many_mapped_tasks_as_there_are_of_them() -> None:
    mapped = made(partition_bounds=[10, 20]).get_task("deliver.format_partition")
    assert mapped.expand_input.value == {"partition": [0, 1, 2]}
    with DAG("computed", schedule=None) as dag:
        bounds = EmptyOperator(task_id="bounds").output
        with pytest.raises(ConfigurationError, match=r"partitions: missing\. How many"):
            deliver("unknown", **DATA, partition_bounds=bounds)
        deliver(**DATA, partitions=3, partition_bounds=bounds)
    mapped = dag.get_task("deliver.format_partition")
    assert mapped.expand_input.value == {"partition": [0, 1, 2]}
    assert mapped.upstream_task_ids == {"bounds"}


def test_no_partitions_at_all_are_refused_when_the_dag_is_read() -> None:
    # Mapped over nothing, every task would be skipped and the run be green.
    with pytest.raises(ConfigurationError, match="partitions: 0, but at least 1 is needed"):
        made(partitions=0)


def test_the_suppression_list_of_the_data_holds_for_the_id_sync() -> None:
    dag = made(id_sync=ID_SYNC, suppression_sql="opted_out", suppression_conn_id="crm")
    for task in ("deliver.extract_ids", "deliver.format"):
        assert dag.get_task(task).suppression_sql == "opted_out"
        assert dag.get_task(task).suppression_conn_id == "crm"


def test_an_id_sync_needs_no_receipt_with_counts_and_has_a_way_out() -> None:
    dag = made(id_sync=ID_SYNC)
    assert dag.get_task("deliver.receipt_ids").acknowledged_by == "processed"
    assert dag.get_task("deliver.receipt").acknowledged_by == "counted"
    dag = made(id_sync=ID_SYNC, id_sync_receipt={"acknowledged_by": "wait", "wait": 7200})
    assert dag.get_task("deliver.receipt_ids").acknowledged_by == "wait"
    assert dag.get_task("deliver.receipt_ids").wait == 7200
    assert dag.get_task("deliver.receipt").acknowledged_by == "counted"
