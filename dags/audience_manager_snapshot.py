"""### What has changed among all customers, once a day

For a CRM that knows who has which trait today, and not what has changed. Each run reads all
customers and compares them with those of the last delivery that was acknowledged; traits that came
are added, traits that went are removed, and customers who are gone lose all of theirs. Nothing is
sent when nothing has changed.

An extract that lacks more than a fifth of all traits stops the run before anything is staged: an
empty table removes nobody. If that many are to go, trigger the run with another *Most removed*.

The runs of days gone by would all read today's customers, so there is no catching up, and a
backfill has no use.

Needs the connections `crm` (any database) and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor

with DAG(
    dag_id="audience_manager_snapshot",
    description="Traits that customers gained and lost since the last delivery",
    doc_md=__doc__,
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "dpid": Param(478, type="integer", minimum=1, title="CRM data source"),
        "target_dpid": Param(
            568,
            type="integer",
            minimum=1,
            title="Data source of the traits",
            description="Not one that an .overwrite goes to.",
        ),
        "max_removed": Param(
            0.2,
            type="number",
            minimum=0,
            title="Most removed",
            description="Share of all traits that may be missing, from 0.0 to 1.0; over 1 a count.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    compare = SnapshotDiffOperator(
        task_id="compare",
        conn_id="crm",
        sql="SELECT customer_id, loyalty_traits FROM customers",
        snapshot="customers",
        dpid="{{ params.dpid }}",
        target_dpid="{{ params.target_dpid }}",
        id_column="customer_id",
        traits_column="loyalty_traits",
        max_removed="{{ params.max_removed }}",
    )
    upload = UploadOperator(task_id="upload", manifest=compare.output, deferrable=True)
    receipt = DeliveryReceiptSensor(task_id="receipt", delivery=upload.output, deferrable=True)
