"""Delivers the same rows by whatever connection it is given; see ``delivery_airflow.py``."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_am_provider.task_groups import deliver

with DAG(
    "delivery",
    schedule=None,
    params={"connection": ""},
    default_args={"retries": 4, "retry_delay": timedelta(seconds=1)},
):
    deliver(
        audience_manager_conn_id="{{ params.connection }}",
        conn_id="customers",
        sql="SELECT id, traits FROM customers ORDER BY id",
        dpid=478,
        id_column="id",
        traits_column="traits",
        part_bytes=150_000,
        receipt={"deferrable": True, "poke_interval": 1, "timeout": 120},
    )
