"""### The whole way in one call

`deliver(...)` wires ID sync → receipt → data → receipt into a task group. This DAG sends each
day's survey answers as signals, with the ID pairs of the people who answered before them.

Needs the connections `crm` (any database) and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.task_groups import deliver

with DAG(
    dag_id="audience_manager_deliver",
    description="Each day's survey answers, in one call",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "dpid": Param(
            478,
            type="integer",
            minimum=1,
            title="CRM data source",
            description="DPID of the data source that holds the CRM IDs.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    deliver(
        conn_id="crm",
        sql="""
            SELECT customer_id, favourite, budget
            FROM survey_answers
            WHERE answered_at >= %(window_start)s AND answered_at < %(window_end)s
            ORDER BY customer_id
        """,
        dpid="{{ params.dpid }}",
        id_column="customer_id",
        signal_columns={"favourite": "survey_favourite", "budget": "survey_budget"},
        id_sync={
            "sql": """
                SELECT DISTINCT aam_uuid, customer_id
                FROM survey_answers
                WHERE answered_at >= %(window_start)s AND answered_at < %(window_end)s
                ORDER BY aam_uuid
            """,
            "master_dpid": 0,
            "dpids": "{{ params.dpid }}",
            "columns": ["aam_uuid", "customer_id"],
        },
        receipt={"deferrable": True},
    )
