"""### CRM to Audience Manager, every day

Sends each day's new ID pairs, waits until Audience Manager has processed them, sends the
day's changes of traits, and waits for their receipt.

| task | what it does |
| --- | --- |
| `extract_ids` | the day's pairs of AAM UUID and CRM ID, as an ID sync file |
| `upload_ids`, `receipt_ids` | sends it, and waits for its receipt |
| `format_traits` | the day's added and removed traits, as a `.sync` data file |
| `upload_traits`, `receipt_traits` | sends it, and waits for its receipt |
| `replay_newer` | when newer days were sent before this one, sends them again; else skipped |

**Backfill** from the UI: each run extracts the changes of its own day, because the schedule has
real data intervals. One run at a time, so that days arrive in their order. Run backwards, or an old
day run again, it ends with the newest changes in force all the same.

**Clearing** a task is safe: the same rows give the same file under the same name, and what was
sent is not sent again.

Needs the connections `crm` (any database) and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor

with DAG(
    dag_id="audience_manager_daily",
    description="Each day's ID pairs and trait changes from the CRM to Audience Manager",
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
        "window_start": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Changes made from (instead of the run's own day)",
            description="First moment of the changes to send. Leave it empty in a backfill: each "
            "run sends its own day, whatever dates the backfill itself is of.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Changes made before (instead of the run's own day)",
            description="First moment after the changes to send. Leave it empty in a backfill.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    window = {
        "window_start": "{{ params.window_start or '' }}",
        "window_end": "{{ params.window_end or '' }}",
    }

    extract_ids = IdSyncExtractOperator(
        task_id="extract_ids",
        conn_id="crm",
        sql="""
            SELECT DISTINCT aam_uuid, customer_id
            FROM web_logins
            WHERE seen_at >= %(window_start)s AND seen_at < %(window_end)s
            ORDER BY aam_uuid, customer_id
        """,
        master_dpid=0,
        dpids="{{ params.dpid }}",
        columns=["aam_uuid", "customer_id"],
        **window,
    )
    upload_ids = UploadOperator(task_id="upload_ids", manifest=extract_ids.output)
    receipt_ids = DeliveryReceiptSensor(
        task_id="receipt_ids", delivery=upload_ids.output, deferrable=True
    )

    format_traits = FormatDataFileOperator(
        task_id="format_traits",
        conn_id="crm",
        sql="""
            SELECT customer_id, added_traits, removed_traits
            FROM trait_changes
            WHERE changed_at >= %(window_start)s AND changed_at < %(window_end)s
            ORDER BY change_id
        """,
        dpid="{{ params.dpid }}",
        id_column="customer_id",
        traits_column="added_traits",
        removed_traits_column="removed_traits",
        # A day without new ID pairs skips the ID sync, not the data.
        trigger_rule="none_failed",
        **window,
    )
    upload_traits = UploadOperator(
        task_id="upload_traits",
        manifest=format_traits.output,
        on_older="replay",
        deferrable=True,
    )
    receipt_traits = DeliveryReceiptSensor(
        task_id="receipt_traits", delivery=upload_traits.output, deferrable=True
    )

    replay_newer = ReplayNewerSensor(task_id="replay_newer", delivery=upload_traits.output)

    receipt_ids >> format_traits
    receipt_traits >> replay_newer
