"""### The circle: from visits on your pages to segments in your table

A customer logs in on your pages. Adobe's feed of events has the customer's ID beside the device's
UUID; an ID sync tells Audience Manager that the two belong together; from then on, what the CRM
knows of the customer reaches the device, and the segments that come of it come back into a table.

| tasks | what they do |
| --- | --- |
| `feed` | extracts the feed's new hours, and the pairs of device and customer in them |
| `extract_ids`, `upload_ids`, `receipt_ids` | the pairs as an ID sync, until it is processed |
| `format_traits`, `upload_traits`, `receipt_traits` | the day's changes of traits, the same way |
| `segments`, `load` | waits for the destination's batch, and loads it |

Adobe exports a destination once a day. The batch that a run loads was made after the end of its
window, and shows what Audience Manager knew then; what this run has sent may be in the next one.

Needs the connections `crm` and `warehouse` (PostgreSQL or SQLite), `aws_default` and
`audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor

with DAG(
    dag_id="audience_manager_circle",
    description="Event feed → ID sync → traits → segments back into a table",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 5 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    # A batch that is late holds no other day up. Deliveries keep their order by themselves.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "feed": Param(
            "s3://aam-cdf/acme",
            type="string",
            title="The feed's folder",
            description="What stands above day=…, as s3://bucket/prefix.",
        ),
        "events": Param(
            "s3://acme-events/audience-manager",
            type="string",
            title="Where the feed's Parquet files go",
            description="s3://bucket/prefix",
        ),
        "dpid": Param(478, type="integer", minimum=1, title="Data source of the customers' IDs"),
        "target_dpid": Param(571, type="integer", minimum=1, title="Data source of the traits"),
        "segments": Param(
            "s3://acme-segments/from-adobe",
            type="string",
            title="Where Adobe puts segment files",
            description="s3://bucket/prefix",
        ),
        "destination": Param(5678, type="integer", minimum=1, title="Destination"),
    },
    tags=["audience-manager", "example"],
) as dag:
    feed = EventFeedExtractOperator(
        task_id="feed",
        location="{{ params.feed }}",
        into="{{ params.events }}",
        window_end="{{ data_interval_end }}",
        dpid="{{ params.dpid }}",
        max_active_tis_per_dag=1,
    )
    extract_ids = IdSyncExtractOperator(
        task_id="extract_ids",
        source="{{ ti.xcom_pull('feed')['id_pairs_url'] }}",
        source_conn_id="aws_default",
        columns=["aam_uuid", "declared_id"],
        master_dpid=0,
        dpids="{{ params.dpid }}",
    )
    upload_ids = UploadOperator(task_id="upload_ids", manifest=extract_ids.output)
    receipt_ids = DeliveryReceiptSensor(
        task_id="receipt_ids",
        delivery=upload_ids.output,
        acknowledged_by="processed",
        deferrable=True,
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
        target_dpid="{{ params.target_dpid }}",
        id_column="customer_id",
        traits_column="added_traits",
        removed_traits_column="removed_traits",
        # A day without a feed or without pairs skips the ID sync, not the data.
        trigger_rule="none_failed",
    )
    upload_traits = UploadOperator(
        task_id="upload_traits",
        manifest=format_traits.output,
        on_older="replay",
        deferrable=True,
    )
    receipt_traits = DeliveryReceiptSensor(
        task_id="receipt_traits",
        delivery=upload_traits.output,
        acknowledged_by="processed",
        deferrable=True,
    )

    segments = OutboundFilesSensor(
        task_id="segments",
        location="{{ params.segments }}",
        destination="{{ params.destination }}",
        batch_date="{{ data_interval_end | ds }}",
        deferrable=True,
        trigger_rule="none_failed",
    )
    OutboundLoadOperator(
        task_id="load",
        location="{{ params.segments }}",
        destination="{{ params.destination }}",
        batches=segments.output,
        table="circle_segments",
        current_table="current_circle_segments",
        conn_id="warehouse",
        max_active_tis_per_dag=1,
    )

    feed >> extract_ids
    receipt_ids >> format_traits
    receipt_traits >> segments
