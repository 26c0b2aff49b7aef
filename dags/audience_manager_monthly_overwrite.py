"""### All customers' loyalty to Audience Manager, once a month

Replaces, for every customer in the CRM, all traits of the loyalty data source: an `.overwrite`
file. Customers who are no longer in the CRM keep what they had; Audience Manager touches only
the users in the file.

Runs on the first of a month send the state of that moment. One run at a time: an older
`.overwrite` must never follow a newer one. Once the last month is sent, and unpausing the DAG
sends it, a backfill of months before it is refused.

All customers are many rows, so several tasks format a share each, on as many workers as there
are; `format_loyalty` makes one delivery of them.

Needs the connections `crm` (any database) and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor

PARTITIONS = 4

with DAG(
    dag_id="audience_manager_monthly_overwrite",
    description="Every customer's loyalty traits, replaced as a whole once a month",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 1 * *", timezone="UTC"),
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
        "target_dpid": Param(
            567,
            type="integer",
            minimum=1,
            title="Loyalty data source",
            description="DPID of the data source whose traits are replaced.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    partition = FormatDataFileOperator.partial(
        task_id="format_partition",
        conn_id="crm",
        sql="SELECT customer_id, loyalty_traits, city FROM customers ORDER BY customer_id",
        dpid="{{ params.dpid }}",
        target_dpid="{{ params.target_dpid }}",
        mode="overwrite",
        id_column="customer_id",
        traits_column="loyalty_traits",
        signal_columns={"city": "home_city"},
        partitions=PARTITIONS,
        # How many of them read from the CRM at once.
        max_active_tis_per_dagrun=2,
    ).expand(partition=list(range(PARTITIONS)))
    format_loyalty = CombinePartitionsOperator(task_id="format_loyalty", formatted=partition.output)
    upload = UploadOperator(task_id="upload", manifest=format_loyalty.output)
    receipt = DeliveryReceiptSensor(task_id="receipt", delivery=upload.output, deferrable=True)
