"""### Segments from Audience Manager into a table, once a day

Adobe writes the segments of a destination into a bucket of yours, about 14:00 UTC, up to a day
late. Each run waits until the batch of its day is complete, and loads it: `segments` gets the rows
as they came, `current_segments` who is in which segment now, with `since` and `until`. Nothing of
a batch is loaded before all of it is there and right, and each batch is loaded once.

A backfill loads days gone by, as far as their files are there; in whatever order, the current table
ends the same.

Needs the connections `warehouse` (PostgreSQL or SQLite) and `aws_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor

with DAG(
    dag_id="audience_manager_outbound",
    description="Segments that Audience Manager exports, into a table",
    doc_md=__doc__,
    schedule="0 14 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "location": Param(
            "s3://acme-segments/from-adobe",
            type="string",
            title="Where Adobe puts its files",
            description="s3://bucket/prefix, or an absolute path.",
        ),
        "destination": Param(
            1234,
            type="integer",
            minimum=1,
            title="Destination",
            description="Its ID in Audience Manager, the first number in the files' names.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    arrived = OutboundFilesSensor(
        task_id="arrived",
        location="{{ params.location }}",
        destination="{{ params.destination }}",
        batch_date="{{ ds }}",
        deferrable=True,
    )
    OutboundLoadOperator(
        task_id="load",
        location="{{ params.location }}",
        destination="{{ params.destination }}",
        batches=arrived.output,
        table="segments",
        current_table="current_segments",
        conn_id="warehouse",
    )
