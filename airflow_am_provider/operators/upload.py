"""Sends a staged delivery to Audience Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_am_provider.audience_manager.companions import MANIFEST_FILE
from airflow_am_provider.formatting.manifest import Manifest
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.links import StagingLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_am_provider.formatting.sent_record import SentRecord


class UploadOperator(BaseOperator):
    """Send a delivery's parts by the transport that the connection names.

    On S3 they go to the environment's bucket under ``PARTNER/date=YYYY-MM-DD/`` with the ACL
    ``bucket-owner-full-control``; over FTP in binary mode, under temporary names that are changed
    when all of them are there (inbound-s3-filenames.md, inbound-ftp-filenames.md).

    What was sent is recorded in ``sent.json`` beside the manifest, so that a retried or cleared
    task sends only what is missing, under the names and the day of the first attempt, and nothing
    at all when the delivery was sent whole.

    :param manifest: what a format operator returned. (templated)
    :param audience_manager_conn_id: the Audience Manager connection. (templated)
    :return: plain JSON for :class:`~airflow_am_provider.sensors.receipt.DeliveryReceiptSensor`:
        the delivery's ID and kind, lines by file name, rows, destination, times and the manifest's
        place.
    :raises AirflowSkipException: when the manifest has no parts.
    :raises AirflowFailException: when a staged part is not what the manifest says, or the
        destination refuses; a person must look.
    :raises AirflowException: when the destination or the line fails; a retry goes on from there.

    Example::

        upload = UploadOperator(task_id="upload", manifest=format_data.output)
    """

    template_fields: Sequence[str] = ("manifest", "audience_manager_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"manifest": "json"}
    operator_extra_links = (StagingLink(),)
    ui_color = "#fde3e1"

    def __init__(
        self,
        *,
        manifest: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.audience_manager_conn_id = audience_manager_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Send what was not sent yet."""
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.hooks.deliveries import send_delivery

        with airflow_errors():
            manifest = Manifest.from_json(self.manifest)
            if not manifest.parts:
                raise AirflowSkipException(
                    f"Delivery {manifest.delivery_id} has no parts: of {manifest.rows_read:,} rows "
                    f"read none was written and {manifest.rows_set_aside:,} were set aside, so "
                    f"there is nothing to send"
                )
            record = send_delivery(AudienceManagerHook(self.audience_manager_conn_id), manifest)
        return delivery_json(manifest, record)


def delivery_json(manifest: Manifest, record: SentRecord) -> dict[str, Any]:
    """What the sensor is told of a delivery.

    :param manifest: the delivery.
    :param record: what became of it.
    """
    return {
        "delivery_id": manifest.delivery_id,
        "kind": manifest.kind,
        "files": manifest.lines_by_file,
        "rows_read": manifest.rows_read,
        "rows_written": manifest.rows_written,
        "rows_set_aside": manifest.rows_set_aside,
        "destination": record.destination,
        "day": record.day,
        "sent_at": record.sent_at,
        "begun_at": record.begun_at,
        "staging": manifest.staging,
        "location": manifest.location,
        "manifest": f"{manifest.location}/{MANIFEST_FILE}",
        "window": {"start": manifest.window_start, "end": manifest.window_end},
    }
