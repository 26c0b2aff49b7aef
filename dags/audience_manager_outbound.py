"""### Segments from Audience Manager into a table, as they arrive

Adobe writes the segments of a destination into a bucket of yours, about 14:00 UTC, up to a day
late. The triggerer watches the bucket: as soon as all of a batch is there, it starts a run, which
loads the batch. `segments` gets the rows as they came, `current_segments` who is in which segment
now, with `since` and `until`. Nothing of a batch is loaded before all of it is there and right, and
each batch is loaded once.

Besides, each day at 14:00 a run waits for the batch of that day. It mostly finds it loaded, and its
`load` is skipped; when nothing comes for two days, it fails, and so you hear of it.

A backfill loads days gone by, as far as their files are there; in whatever order, the current table
ends the same.

Needs the connections `warehouse` (PostgreSQL or SQLite) and `aws_default`. Where there is
`audience_manager_default` too, the page *Audience Manager* shows which batches are missing, arrived
and loaded. Your bucket and the destination stand below: what is watched cannot be a param of a run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from airflow_am_provider.triggers.outbound_arrival import OutboundArrivalTrigger

# Where Adobe puts its files, and the ID of the destination: the first number in their names.
LOCATION = "s3://acme-segments/from-adobe"
DESTINATION = 1234

batches = Asset(
    "audience_manager_batches_of_1234",
    watchers=[
        AssetWatcher(
            name="audience_manager_batches_of_1234",
            trigger=OutboundArrivalTrigger(location=LOCATION, destination=DESTINATION),
        )
    ],
)

with DAG(
    dag_id="audience_manager_outbound",
    description="Segments that Audience Manager exports, into a table",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 14 * * *", timezone="UTC"), assets=[batches]
    ),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["audience-manager", "example"],
) as dag:
    arrived = OutboundFilesSensor(
        task_id="arrived",
        location=LOCATION,
        destination=DESTINATION,
        # A run that an arrival has started has no day: it takes the batches that have arrived.
        batch_date="{{ ds | default('') }}",
        audience_manager_conn_id="audience_manager_default",
        deferrable=True,
    )
    OutboundLoadOperator(
        task_id="load",
        location=LOCATION,
        destination=DESTINATION,
        batches=arrived.output,
        table="segments",
        current_table="current_segments",
        conn_id="warehouse",
        audience_manager_conn_id="audience_manager_default",
        # The run of the day and the run of the arrival find the same batch: the second skips it.
        max_active_tis_per_dag=1,
    )
