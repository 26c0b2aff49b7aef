"""Sends a staged delivery to Audience Manager."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_am_provider.airflow_compat import (
    AirflowFailException,
    AirflowSkipException,
    conf,
)
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.uploads.words import sent_in_words
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import CLEAR, last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.hooks.polling import GRACE, POKE_INTERVAL_S
from airflow_am_provider.links import DeliveryLink, StagingLink
from airflow_am_provider.parameters import flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

__all__ = ["UploadOperator"]


class UploadOperator(BaseOperator):
    """Send a delivery's parts by the transport that the connection names, when it is their turn.

    On S3 they go to the environment's bucket under ``PARTNER/date=YYYY-MM-DD/`` with the ACL
    ``bucket-owner-full-control``; over SFTP and FTP byte for byte, under temporary names that are
    changed when all of them are there (inbound-s3-filenames.md, inbound-ftp-filenames.md).

    What was sent is noted beside the manifest, so that a retried or cleared task sends only what is
    missing, under the names and the day of the first attempt, and nothing at all when the delivery
    was sent whole.

    Audience Manager promises no order between files (faq/faq-inbound-data-ingestion.md). So a
    delivery that takes something away from users, an ``.overwrite`` or one with removed traits,
    waits until what went to the same target before it is acknowledged, and what comes after it
    waits for it. Deliveries that only add wait for nothing.

    :param manifest: What a format operator returned. Example: ``format_traits.output``. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param after: Uploads that must be acknowledged first, such as the ID sync's: what
        ``UploadOperator`` returned, or a list of that. None stands for an upload that was skipped.
        Example: ``upload_ids.output``. (templated)
    :param on_older: What happens when newer data was already sent to the same target. ``refuse``
        fails with a sentence that names both. ``send`` sends the old data all the same. ``replay``
        sends it too, and :class:`~airflow_am_provider.sensors.replay.ReplayNewerSensor` then sends
        the newer data again. An ``.overwrite`` is compared with other ``.overwrite`` deliveries
        only. (templated)
    :param in_order: Whether the delivery waits for its turn. Use False for accounts that get
        neither receipts nor markers: there, nothing says when a delivery was processed. (templated)
    :param deferrable: Whether to wait in the triggerer, without a worker.
    :param poke_interval: Seconds between two looks. The default can be set in Airflow's
        configuration: ``receipt_poke_interval_s`` in section ``[audience_manager]``.
    :param order_timeout: Seconds to wait for the delivery's turn. After that the task fails and
        names what it waits for.
    :return: plain JSON for :class:`~airflow_am_provider.sensors.receipt.DeliveryReceiptSensor`:
        the delivery's ID and kind, lines by file name, rows, destination, times and the manifest's
        place.
    :raises AirflowSkipException: when the manifest has no parts, or another version of the same
        window took its place.
    :raises AirflowFailException: when a staged part is not what the manifest says, the data is
        older than what was sent, its turn did not come in time, or the destination refuses; a
        person must look.
    :raises AirflowException: when the destination or the line fails; a retry goes on from there.
        What fails while it waits for its turn is looked at again for as long as there is time.

    Example::

        upload = UploadOperator(task_id="upload", manifest=format_data.output)
    """

    template_fields: Sequence[str] = (
        "manifest",
        "audience_manager_conn_id",
        "after",
        "on_older",
        "in_order",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"manifest": "json", "after": "json"}
    operator_extra_links = (StagingLink(), DeliveryLink())
    ui_color = "#fde3e1"
    #: For the last line of the log, after a failure that no retry helps.
    next_after_failure = (
        f"{CLEAR}. Where that leads to another bucket, host or folder, clear the task that "
        f"formatted it instead, with all that is after it: a delivery is made for its destination"
    )

    def __init__(
        self,
        *,
        manifest: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        after: object = None,
        on_older: str = "refuse",
        in_order: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = POKE_INTERVAL_S,
        order_timeout: float = 3 * 24 * 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.audience_manager_conn_id = audience_manager_conn_id
        self.after = after
        self.on_older = on_older
        self.in_order = in_order
        self.deferrable = deferrable
        self.poke_interval = poke_interval
        self.order_timeout = order_timeout

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Send what was not sent yet, when nothing has to be processed before it."""
        return self._send(context, datetime.now(UTC) + timedelta(seconds=self.order_timeout))

    @last_line
    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when it is the delivery's turn, or the trigger has given up.

        :param event: the trigger's.
        """
        status, message = event["status"], event["message"]
        if status == "free":
            return self._send(context, datetime.fromisoformat(event["deadline"]))
        if status == "timeout":
            raise self._not_its_turn(message)
        raise AirflowFailException(message)

    def outcome(self, result: dict[str, Any]) -> str:
        """What was sent, for the last line of the log."""
        return sent_in_words(result)

    def get_openlineage_facets_on_complete(
        self, task_instance: Any
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's provider ``openlineage`` is told.

        :param task_instance: whatever it is; the task knows what it did.
        """
        from airflow_am_provider.hooks.lineage import of_upload

        return of_upload(self)

    def _send(self, context: Context, deadline: datetime) -> dict[str, Any]:
        from airflow_am_provider.deliveries.uploads.journal import MustWait, Superseded
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.operators._upload_failure import noting_failure

        with airflow_errors():
            manifest = Manifest.from_json(self.manifest)
            if not manifest.parts:
                raise AirflowSkipException(
                    f"Delivery {manifest.delivery_id} has no parts: of {manifest.rows_read:,} rows "
                    f"read none was written and {manifest.rows_set_aside:,} were set aside, so "
                    f"there is nothing to send"
                )
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            while True:
                try:
                    with noting_failure(hook, manifest, origin_of(context, self.task_id)):
                        return self._sent(hook, manifest)
                except MustWait as wait:
                    self.log.info("Not its turn yet: %s", wait)
                except Superseded as reason:
                    raise AirflowSkipException(
                        f"Nothing was sent: {reason}. That one is sent in its place"
                    ) from None
                self._wait(hook, manifest, deadline)

    def _sent(self, hook: AudienceManagerHook, manifest: Manifest) -> dict[str, Any]:
        """Send it, if it is its turn; see the hook."""
        sent = hook.upload(
            self.manifest, on_older=self.on_older, after=self.after, in_order=self.in_order
        )
        assert sent is not None  # it has parts
        return sent

    def _wait(self, hook: AudienceManagerHook, manifest: Manifest, deadline: datetime) -> None:
        """Wait for its turn: in the triggerer, or here by the same looks."""
        from airflow_am_provider.deliveries.uploads.result import read_deliveries
        from airflow_am_provider.deliveries.uploads.sending import checked_manifest
        from airflow_am_provider.triggers.queue import QueueTrigger

        trigger = QueueTrigger(
            manifest=checked_manifest(hook, manifest).to_json(),
            audience_manager_conn_id=self.audience_manager_conn_id,
            on_older=str(self.on_older),
            after=[one.document for one in read_deliveries(self.after)],
            in_order=flag("in_order", self.in_order),
            poll_interval_s=self.poke_interval,
            deadline=deadline.isoformat(),
        )
        if self.deferrable:
            left = max(deadline - datetime.now(UTC), timedelta(0))
            self.defer(trigger=trigger, method_name="execute_complete", timeout=left + GRACE)
        waiting = trigger.waiting()
        if waiting.until_over(trigger.look) is None:
            raise self._not_its_turn(waiting.told())

    def _not_its_turn(self, known: str) -> AirflowFailException:
        return AirflowFailException(
            f"Nothing was sent: its turn did not come within "
            f"{timedelta(seconds=self.order_timeout)}. {known}"
        )
