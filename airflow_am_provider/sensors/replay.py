"""Sends newer deliveries again after one that came late, so that the newest data is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.polling import POKE_INTERVAL_S, Seen
from airflow_am_provider.links import DeliveryLink
from airflow_am_provider.parameters import choice
from airflow_am_provider.sensors._polling import PollingSensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_am_provider.deliveries.replay import Replay

__all__ = ["ReplayNewerSensor"]


class ReplayNewerSensor(PollingSensor):
    """After a delivery of older data was acknowledged, send the newer ones again, one by one.

    A backfill that runs backwards, or an old day that is run again, sends old changes after newer
    ones, and Audience Manager goes by what it reads last. With ``on_older="replay"`` the upload
    sends them all the same, and this sensor puts the newer changes back in force: the same bytes
    under the same names, each after the receipt of the one before it. When nothing newer was sent,
    which is the usual case, it is skipped.

    It comes after the receipt of the delivery. Between two looks it leaves its worker
    (``mode="reschedule"``); what was sent again is read off the records in staging, so a retry goes
    on where the last attempt stopped.

    :param delivery: What :class:`~airflow_am_provider.operators.upload.UploadOperator` returned for
        the older data, or a list of that. Example: ``upload_traits.output``. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param acknowledged_by: How far each file has to come before the next delivery is sent:
        ``picked_up``, ``processed``, ``counted`` or ``wait``, as for
        :class:`~airflow_am_provider.sensors.receipt.DeliveryReceiptSensor`. (templated)
    :param wait: How long a fixed wait is, with ``acknowledged_by="wait"``: a timedelta or seconds.
    :param limits: How much may be lost, by count of the receipt, as for
        :class:`~airflow_am_provider.sensors.receipt.DeliveryReceiptSensor`. Over a limit the task
        fails. (templated)
    :param mode: ``reschedule`` leaves the worker between two looks, ``poke`` keeps it.
    :param poke_interval: Seconds between two looks. The default can be set in Airflow's
        configuration: ``receipt_poke_interval_s`` in section ``[audience_manager]``.
    :param timeout: Seconds until the task gives up. It waits for each delivery that is sent again.
    :return: ID and number of sending of each delivery that was sent again, as a list.
    :raises AirflowSkipException: when nothing newer was sent.
    :raises AirflowFailException: when the connection is wrong, or a receipt says that more was lost
        than ``limits`` allow.
    :raises AirflowSensorTimeout: when time is up; clear the task to go on.

    Example::

        upload = UploadOperator(task_id="upload", manifest=traits.output, on_older="replay")
        receipt = DeliveryReceiptSensor(task_id="receipt", delivery=upload.output)
        receipt >> ReplayNewerSensor(task_id="replay_newer", delivery=upload.output)
    """

    template_fields: Sequence[str] = (
        "delivery",
        "audience_manager_conn_id",
        "acknowledged_by",
        "limits",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"delivery": "json", "limits": "json"}
    operator_extra_links = (DeliveryLink(),)
    ui_color = "#e1effd"

    def __init__(
        self,
        *,
        delivery: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        acknowledged_by: str = "counted",
        wait: timedelta | float = 24 * 3600,
        limits: Mapping[str, int | float] | None = None,
        mode: str = "reschedule",
        poke_interval: timedelta | float = POKE_INTERVAL_S,
        timeout: timedelta | float = 7 * 24 * 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.delivery = delivery
        self.audience_manager_conn_id = audience_manager_conn_id
        self.acknowledged_by = acknowledged_by
        self.wait = wait
        self.limits = limits

    @last_line
    def execute(self, context: Context) -> Any:
        """Go on until all that is newer is in force again."""
        return super().execute(context)

    def outcome(self, result: Any) -> str:
        """What was sent again, for the last line of the log."""
        again = ", ".join(f"{one['delivery_id']} (sending {one['sending']})" for one in result)
        return f"The newest data is in force again: {again} sent once more and acknowledged"

    def look(self) -> Seen:
        """Go on as far as it goes now."""
        from airflow_am_provider.deliveries.replay import Replay
        from airflow_am_provider.deliveries.uploads.result import read_deliveries
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        hook = AudienceManagerHook(self.audience_manager_conn_id)
        replays = [
            Replay(hook=hook, delivery=delivery) for delivery in read_deliveries(self.delivery)
        ]
        for replay in replays:
            waits_for = self._go_on(replay)
            if waits_for:
                told = f"the newer data that is sent again: {waits_for}"
                return Seen(waits_for, is_over=False, waited_for=told)
        replayed = [one for replay in replays for one in replay.replayed()]
        if not replayed:
            raise AirflowSkipException(
                "Nothing newer was sent, so nothing has to be sent again, which is the usual case"
            )
        return Seen(f"sent again: {len(replayed)}", is_over=True, result=replayed)

    def _go_on(self, replay: Replay) -> str:
        """Send and look until something has to be waited for; what that is, or nothing."""
        from airflow_am_provider.deliveries.acknowledgement import ReceiptWatch
        from airflow_am_provider.deliveries.fixed_wait import wait_of
        from airflow_am_provider.deliveries.receipt_report import judge_and_record
        from airflow_am_provider.deliveries.signs import AcknowledgedBy
        from airflow_am_provider.deliveries.uploads.journal import MustWait
        from airflow_am_provider.deliveries.uploads.result import receipts_since

        try:
            while (sent := replay.step()) is not None:
                watch = ReceiptWatch(
                    replay.hook,
                    [sent],
                    acknowledged_by=choice("acknowledged_by", self.acknowledged_by, AcknowledgedBy),
                    since=receipts_since(None, [sent]),
                    wait=wait_of(self.wait),
                )
                statuses = watch.look()
                if statuses[0].outstanding:
                    return watch.known(statuses)
                self.log.info("%s", watch.known(statuses))
                (report,) = judge_and_record(
                    replay.hook, statuses, self.limits or {}, timeout_s=self.timeout
                )
                metrics.acknowledged([report])
                if report.problems:
                    raise AirflowFailException(report.problem)
        except MustWait as wait:
            return f"Not its turn yet: {wait}"
        return ""
