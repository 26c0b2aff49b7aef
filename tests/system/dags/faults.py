"""What `tests/faults/airflow_job.py` runs while Airflow's processes are killed."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_am_provider.task_groups import deliver

# So small that a delivery has several parts.
PART_BYTES = 103_000

with DAG(
    "faults",
    schedule=None,
    params=dict.fromkeys(("connection", "crm", "start", "end", "ids", "data", "by"), ""),
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
):
    deliver(
        conn_id="{{ params.crm }}",
        audience_manager_conn_id="{{ params.connection }}",
        window_start="{{ params.start }}",
        window_end="{{ params.end }}",
        id_sync={
            "sql": "{{ params.ids }}",
            "master_dpid": 0,
            "dpids": [478],
            "columns": ["aam_uuid", "customer_id"],
            "max_set_aside": 0.05,
            "part_bytes": PART_BYTES,
        },
        sql="{{ params.data }}",
        dpid=478,
        id_column="customer_id",
        traits_column="traits",
        removed_traits_column="removed",
        max_set_aside=0.05,
        part_bytes=PART_BYTES,
        upload={"deferrable": True, "poke_interval": 1},
        receipt={
            "deferrable": True,
            "poke_interval": 1,
            "timeout": 90,
            "acknowledged_by": "{{ params.by }}",
        },
    )
