"""Waits until Audience Manager acknowledges deliveries, and reconciles them."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow_am_provider.airflow_compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    conf,
)
from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.deliveries.uploads.words import received_in_words
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.asset_events import ACKNOWLEDGED
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.hooks.polling import GRACE, POKE_INTERVAL_S, Seen, Waiting
from airflow_am_provider.links import DeliveryLink
from airflow_am_provider.parameters import choice
from airflow_am_provider.sensors._polling import PollingSensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_am_provider.deliveries.acknowledgement import AcknowledgementStatus, ReceiptWatch
    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.uploads.result import UploadResult

__all__ = ["DeliveryReceiptSensor"]

_ON_BREACH: Final = ("fail", "warn", "skip")


class DeliveryReceiptSensor(PollingSensor):
    """Wait until all files of one or several deliveries are acknowledged, and reconcile them.

    What acknowledges a file is a rung of a ladder: ``picked_up`` by Audience Manager, ``processed``
    by it, or ``counted``: a receipt says how many records were received. On FTP a ``.processed``
    marker shows that a file was picked up, on S3 that it was processed; a receipt shows all of it.
    ``wait`` needs no sign. All signs there are get looked at, and the log, the result and
    ``airflow-am deliveries show`` have them side by side, those that disagree too.

    A receipt counts all files of the partner that were processed together, so a delivery's own
    figures are known when the receipt lists its files and no others; otherwise the totals are
    shared, and the log and the result say so (inbound-receipt-message.md).

    The result is written beside the manifest as ``reconciliation.json`` and returned, and each
    acknowledged delivery is an event of its asset, with its counts: see
    :mod:`airflow_am_provider.hooks.asset_events`. When a delivery was sent again meanwhile, its
    last sending is waited for.

    :param delivery: What :class:`~airflow_am_provider.operators.upload.UploadOperator` returned, or
        a list of that. The task is skipped when the upload was skipped. Example:
        ``upload_traits.output``. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param acknowledged_by: How far each file has to come by any sign: ``picked_up``, ``processed``
        or ``counted``. With ``wait`` a fixed time after the sending was completed is enough, or a
        sign before it that the file was processed. (templated)
    :param wait: How long a fixed wait is, a timedelta or seconds. It is measured by the clock of
        what holds staging, never by that of workers.
    :param limits: How much may be lost, by count of the receipt. A whole number is a number of
        records, a fraction is a share of those received. Fewer or more records received than lines
        sent are a breach in any case. Example: ``{"format_errors": 0, "invalid_aam_id": 0.05}``.
        (templated)
    :param on_breach: What happens over a limit, or when fewer or more records were received than
        lines sent: ``fail`` without a retry, ``warn`` or ``skip``. (templated)
    :param receipts_since: Messages older than this are not looked at: ISO 8601 or a datetime. By
        default an hour before sending began. (templated)
    :param deferrable: Whether to wait in the triggerer, without a worker.
    :param poke_interval: Seconds between two looks. The default can be set in Airflow's
        configuration: ``receipt_poke_interval_s`` in section ``[audience_manager]``.
    :param timeout: Seconds until the task gives up. Audience Manager processes files twice a day.
    :return: the reconciliation as plain JSON; a list of them for several deliveries.
    :raises AirflowSkipException: when nothing was sent, or by ``on_breach``.
    :raises AirflowFailException: by ``on_breach``, or when the connection is wrong.
    :raises AirflowSensorTimeout: when time is up; says which files are awaited.

    Example::

        receipt = DeliveryReceiptSensor(
            task_id="receipt", delivery=upload.output, limits={"format_errors": 0}
        )
    """

    template_fields: Sequence[str] = (
        "delivery",
        "audience_manager_conn_id",
        "acknowledged_by",
        "limits",
        "on_breach",
        "receipts_since",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"delivery": "json", "limits": "json"}
    operator_extra_links = (DeliveryLink(),)
    ui_color = "#e1effd"
    #: For the last line of the log.
    next_after_timeout = (
        "look into what it says; when the receipt has come, clear this task: it looks again, and "
        "nothing is sent for that"
    )

    def __init__(
        self,
        *,
        delivery: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        acknowledged_by: str = "counted",
        wait: timedelta | float = 24 * 3600,
        limits: Mapping[str, int | float] | None = None,
        on_breach: str = "fail",
        receipts_since: datetime | str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = POKE_INTERVAL_S,
        timeout: timedelta | float = 2 * 24 * 3600,
        **kwargs: Any,
    ) -> None:
        outlets = [*(kwargs.pop("outlets", None) or ()), ACKNOWLEDGED]
        super().__init__(poke_interval=poke_interval, timeout=timeout, outlets=outlets, **kwargs)
        self.delivery = delivery
        self.audience_manager_conn_id = audience_manager_conn_id
        self.acknowledged_by = acknowledged_by
        self.wait = wait
        self.limits = limits
        self.on_breach = on_breach
        self.receipts_since = receipts_since
        self.deferrable = deferrable
        self._watch: ReceiptWatch | None = None
        self._marked: Sequence[str] = ()
        self._statuses: Sequence[AcknowledgementStatus] = ()
        self._task: Origin | None = None

    @last_line
    def execute(self, context: Context) -> Any:
        """Look at once; then wait, in the triggerer or here."""
        from airflow_am_provider.deliveries.no_answer import in_short

        self._task = origin_of(context, self.task_id)
        with self._noting_its_end():
            if self.deferrable:
                deadline = datetime.now(UTC) + timedelta(seconds=self.timeout)
                return self._announced(context, self._or_defer(deadline))
            try:
                return self._announced(context, super().execute(context))
            except AirflowSensorTimeout:
                known = self._waiting.told(in_short(self._statuses))
                raise self._time_is_up(known) from None

    @last_line
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the trigger has seen all there is to see, or has given up.

        :param event: the trigger's.
        """
        self._task = origin_of(context, self.task_id)
        with self._noting_its_end():
            return self._go_on(context, event)

    def _go_on(self, context: Context, event: dict[str, Any]) -> Any:
        status, message = event["status"], event["message"]
        if status == "acknowledged":
            # Read again by the worker: receipts do not travel through the database. Markers may be
            # gone by now, so their files' names do.
            self._watch, self._marked = None, event.get("marked", ())
            self._waiting = Waiting(self.poke_interval, failures=event.get("failures", 0))
            deadline = datetime.fromisoformat(event["deadline"])
            return self._announced(context, self._or_defer(deadline))
        if status == "timeout":
            return self._last_look(context, message)
        raise AirflowFailException(message)

    def outcome(self, result: Any) -> str:
        """What Audience Manager has said, for the last line of the log."""
        return ". ".join(map(received_in_words, [result] if isinstance(result, dict) else result))

    def get_openlineage_facets_on_complete(
        self, task_instance: Any
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's provider ``openlineage`` is told.

        :param task_instance: whatever it is; the task knows what it did.
        """
        from airflow_am_provider.hooks.lineage import of_receipt

        return of_receipt(self)

    def _last_look(self, context: Context, known: str) -> Any:
        """Look once more when time is up in the triggerer: what is known then is written down."""
        from airflow_am_provider.deliveries.no_answer import in_short

        self._watch = None
        try:
            seen = self.look()
        except AudienceManagerError as error:
            self.log.warning("The last look failed: %s", error)
        else:
            if seen.is_over:
                return self._announced(context, seen.result)
        raise self._time_is_up(in_short(self._statuses) or known)

    def _time_is_up(self, known: str) -> AirflowSensorTimeout:
        """What is known, what to check and what to ask: three sentences, and a link to more."""
        within = timedelta(seconds=self.timeout)
        sentences = [f"Not acknowledged within {within}: {known.rstrip('.')}.", *self._advice()]
        return AirflowSensorTimeout(" ".join(sentences))

    def _advice(self) -> tuple[str, ...]:
        """What to check and what to ask; what is known goes into the record."""
        from airflow_am_provider.deliveries.no_answer import MORE, what_to_ask
        from airflow_am_provider.deliveries.receipt_report import judge_and_record
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        if not any(status.outstanding for status in self._statuses):
            return (f"Check what did not answer: {MORE}",)
        hook = AudienceManagerHook(self.audience_manager_conn_id)
        try:
            judge_and_record(hook, self._statuses, self.limits or {}, timeout_s=self.timeout)
        except AudienceManagerError as error:
            self.log.warning("What is known was not written down: %s", error)
        try:
            return what_to_ask(self._statuses, hook.targets())
        except AudienceManagerError as error:
            self.log.warning("The past was not looked at: %s", error)
            return what_to_ask(self._statuses)

    def _announced(self, context: Context, result: Any) -> Any:
        """Tell other DAGs of what is acknowledged."""
        from airflow_am_provider.hooks.asset_events import announce
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        found = [result] if isinstance(result, dict) else result or []
        with airflow_errors():
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            announce(context, hook.staging(), hook.destination_name, found)
        return result

    @contextmanager
    def _noting_its_end(self) -> Iterator[None]:
        """Note beside the deliveries that nobody looks any more, and why: the page says it."""
        from airflow_am_provider.deliveries.uploads.result import last_sendings
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.hooks.looking import note_end

        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout) as end:
            error = None if isinstance(end, AirflowSensorTimeout) else str(end)
            with suppress(AirflowSkipException, AudienceManagerError):
                hook = AudienceManagerHook(self.audience_manager_conn_id)
                awaited = last_sendings(hook.targets(), self._given())
                note_end(hook, awaited, error=error, task=self._task)
            raise

    def _or_defer(self, deadline: datetime) -> Any:
        """Look, and give the result when it is over; else wait in the triggerer."""
        from airflow_am_provider.deliveries.fixed_wait import wait_of
        from airflow_am_provider.deliveries.uploads.result import receipts_since
        from airflow_am_provider.triggers.receipt import ReceiptTrigger

        self._waiting.ends_at(deadline)
        seen = self._patiently()
        if seen is not None and seen.is_over:
            return seen.result
        with airflow_errors():
            deliveries = self._given()
        marked = self._marked if self._watch is None else self._watch.marked
        left = max(deadline - datetime.now(UTC), timedelta(0))
        self.defer(
            trigger=ReceiptTrigger(
                deliveries=[delivery.document for delivery in deliveries],
                audience_manager_conn_id=self.audience_manager_conn_id,
                acknowledged_by=self.acknowledged_by,
                since=receipts_since(self.receipts_since, deliveries).isoformat(),
                poll_interval_s=self.poke_interval,
                deadline=deadline.isoformat(),
                marked=sorted(marked),
                wait_s=wait_of(self.wait).total_seconds(),
                failures=self._waiting.failures,
            ),
            method_name="execute_complete",
            timeout=left + GRACE,
        )
        return None

    def look(self) -> Seen:
        """Look once for receipts and markers; judge what they say when all of them are there."""
        from airflow_am_provider.hooks.looking import not_yet

        self._watch = self._watch or self._new_watch()
        statuses = self._statuses = self._watch.look()
        if any(status.outstanding for status in statuses):
            return not_yet(self._watch, statuses, self._task)
        known = self._watch.known(statuses)
        self._waiting.tell(known)
        return Seen(known, is_over=True, result=self._judge(self._watch.hook, statuses))

    def _new_watch(self) -> ReceiptWatch:
        from airflow_am_provider.deliveries.acknowledgement import ReceiptWatch
        from airflow_am_provider.deliveries.fixed_wait import wait_of
        from airflow_am_provider.deliveries.receipt_report import read_limits
        from airflow_am_provider.deliveries.signs import AcknowledgedBy
        from airflow_am_provider.deliveries.uploads.result import last_sendings, receipts_since
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        # All parameters, before waiting for days.
        read_limits(self.limits or {})
        if self.on_breach not in _ON_BREACH:
            raise ConfigurationError(
                f"on_breach: {self.on_breach!r} is none of {', '.join(map(repr, _ON_BREACH))}"
            )
        acknowledged_by = choice("acknowledged_by", self.acknowledged_by, AcknowledgedBy)
        is_fixed = acknowledged_by is AcknowledgedBy.WAIT
        wait = wait_of(self.wait, self.timeout if is_fixed else None)
        hook = AudienceManagerHook(self.audience_manager_conn_id)
        deliveries = last_sendings(hook.targets(), self._deliveries())
        return ReceiptWatch(
            hook,
            deliveries,
            acknowledged_by=acknowledged_by,
            since=receipts_since(self.receipts_since, deliveries),
            marked=self._marked,
            wait=wait,
        )

    def _deliveries(self) -> list[UploadResult]:
        from airflow_am_provider.deliveries.uploads.result import read_deliveries

        deliveries = read_deliveries(self.delivery)
        if not deliveries:
            raise AirflowSkipException("Nothing was sent, so there is no receipt to wait for")
        return deliveries

    def _given(self) -> Sequence[UploadResult]:
        """What is waited for, also where no look came so far."""
        return self._deliveries() if self._watch is None else self._watch.deliveries

    def _judge(self, hook: Connection, statuses: Sequence[AcknowledgementStatus]) -> Any:
        from airflow_am_provider.deliveries.receipt_report import judge_and_record

        reports = judge_and_record(hook, statuses, self.limits or {}, timeout_s=self.timeout)
        metrics.acknowledged(reports)
        problems = "; ".join(report.problem for report in reports if report.problems)
        if problems and self.on_breach == "fail":
            raise AirflowFailException(problems)
        if problems and self.on_breach == "skip":
            raise AirflowSkipException(problems)
        results = [report.to_json() for report in reports]
        return results[0] if isinstance(self.delivery, str | dict) else results
