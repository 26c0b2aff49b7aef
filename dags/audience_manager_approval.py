"""### All customers' city to Audience Manager, and a person is asked when something looks wrong

Replaces, for every customer in the CRM, all signals of the profile data source: an `.overwrite`
file, once a month. `guard` compares it with the deliveries before it. When it is unlike them, with
half the rows, say, or when it would empty more than a fifth of the users, nothing is sent, and the
task waits under *Required Actions* for a person who has looked at the figures.

| answer | what happens |
| --- | --- |
| *Approve* | the delivery is sent as it is |
| *Reject* | it is abandoned, with name and reason in its record, and the run fails |
| none | the run waits. To be asked again later, clear `guard` |

Trigger the run with the param *Send without asking* to let it pass.

Needs the connections `crm` (any database) and `audience_manager_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor

with DAG(
    dag_id="audience_manager_approval",
    description="Every customer's city, once a month; a person is asked when it looks wrong",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 1 * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "dpid": Param(478, type="integer", minimum=1, title="CRM data source"),
        "target_dpid": Param(
            569,
            type="integer",
            minimum=1,
            title="Profile data source",
            description="DPID of the data source whose signals are replaced: one that no other "
            "DAG sends to.",
        ),
        "approved": Param(
            False,
            type="boolean",
            title="Send without asking",
            description="Whatever the guard finds. The figures are in its log.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    format_city = FormatDataFileOperator(
        task_id="format_city",
        conn_id="crm",
        sql="SELECT customer_id, city FROM customers ORDER BY customer_id",
        dpid="{{ params.dpid }}",
        target_dpid="{{ params.target_dpid }}",
        mode="overwrite",
        id_column="customer_id",
        signal_columns={"city": "home_city"},
        # Who has no city any more shall have none at Audience Manager.
        remove_all_of_users_without_items=True,
    )
    guard = GuardOperator(
        task_id="guard",
        manifest=format_city.output,
        approved="{{ params.approved }}",
        on_breach="ask",
    )
    upload = UploadOperator(task_id="upload", manifest=guard.output, deferrable=True)
    receipt = DeliveryReceiptSensor(task_id="receipt", delivery=upload.output, deferrable=True)
