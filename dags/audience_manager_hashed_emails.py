"""### Hashed e-mails

Matches CRM IDs to hashed e-mail addresses: a `c2c_id` file. The addresses are trimmed,
lower-cased and hashed with SHA-256 inside the task; in the clear they are written nowhere, not
even to staging.

All addresses of a customer stand on one line, at most ten, so the query is ordered by customer.

Needs the connections `crm` (any database) and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor

with DAG(
    dag_id="audience_manager_hashed_emails",
    description="Each day's new e-mail addresses of customers, hashed",
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
        "email_dpid": Param(
            898,
            type="integer",
            minimum=1,
            title="E-mail data source",
            description="DPID of the data source for hashed e-mails.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    extract_emails = IdSyncExtractOperator(
        task_id="extract_emails",
        conn_id="crm",
        sql="""
            SELECT customer_id, email
            FROM customer_emails
            WHERE changed_at >= %(window_start)s AND changed_at < %(window_end)s
            ORDER BY customer_id, email
        """,
        prefix="c2c_id",
        master_dpid="{{ params.dpid }}",
        dpids="{{ params.email_dpid }}",
        columns=["customer_id", "email"],
        hash_columns=["email"],
    )
    upload = UploadOperator(task_id="upload", manifest=extract_emails.output)
    receipt = DeliveryReceiptSensor(task_id="receipt", delivery=upload.output, deferrable=True)
