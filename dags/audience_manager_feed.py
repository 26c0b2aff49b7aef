"""### ID pairs from a Customer Data Feed into an ID sync

Your pages declare the IDs of customers who log in, and Adobe's feed of events has them beside the
devices' UUIDs. Each run extracts the hours of the feed that are new, keeps the events as Parquet,
and sends the pairs of the last two days as an ID sync.

Each run looks back two days, so that late hours come in too; pairs that went before go once more,
which does no harm.

Needs the connections `aws_default` and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor

with DAG(
    dag_id="audience_manager_feed",
    description="UUIDs and declared IDs from a Customer Data Feed, as an ID sync",
    doc_md=__doc__,
    schedule="30 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "location": Param(
            "s3://aam-cdf/acme",
            type="string",
            title="The feed's folder",
            description="What stands above day=…, as s3://bucket/prefix.",
        ),
        "into": Param(
            "s3://acme-events/audience-manager",
            type="string",
            title="Where Parquet files go",
            description="s3://bucket/prefix",
        ),
        "dpid": Param(478, type="integer", minimum=1, title="Data source of the declared IDs"),
    },
    tags=["audience-manager", "example"],
) as dag:
    feed = EventFeedExtractOperator(
        task_id="feed",
        location="{{ params.location }}",
        into="{{ params.into }}",
        window_end="{{ dag_run.logical_date or dag_run.run_after }}",
        dpid="{{ params.dpid }}",
    )
    extract_ids = IdSyncExtractOperator(
        task_id="extract_ids",
        source="{{ ti.xcom_pull('feed')['id_pairs_url'] }}",
        source_conn_id="aws_default",
        columns=["aam_uuid", "declared_id"],
        master_dpid=0,
        dpids="{{ params.dpid }}",
    )
    upload = UploadOperator(task_id="upload", manifest=extract_ids.output)
    DeliveryReceiptSensor(
        task_id="receipt",
        delivery=upload.output,
        acknowledged_by="processed",
        deferrable=True,
    )
    feed >> extract_ids
