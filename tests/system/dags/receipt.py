"""Sends what is staged already and waits for its receipt; OpenLineage is told of it."""

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import dag

from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor


@dag(schedule=None, params={"manifest": {}}, render_template_as_native_obj=True)
def receipt() -> None:
    upload = UploadOperator(
        task_id="upload", manifest="{{ params.manifest }}", audience_manager_conn_id="am"
    )
    DeliveryReceiptSensor(
        task_id="receipt",
        delivery=upload.output,
        audience_manager_conn_id="am",
        deferrable=True,
        poke_interval=1,
        timeout=120,
    )


enable_lineage(receipt())
