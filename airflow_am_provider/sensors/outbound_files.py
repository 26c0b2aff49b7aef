"""Waits for batches of segment files from Audience Manager."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSensorTimeout, conf
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.hooks.asset_events import arrived_batches
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.inbox_parameters import INBOX_PARAMETERS, inbox_of
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.hooks.outbound_notes import BatchNotes
from airflow_am_provider.hooks.polling import GRACE, POKE_INTERVAL_S
from airflow_am_provider.parameters import is_given
from airflow_am_provider.sensors._polling import PollingSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_am_provider.hooks.polling import Seen
    from airflow_am_provider.outbound.arrival import ArrivalWatch

__all__ = ["OutboundFilesSensor"]


class OutboundFilesSensor(PollingSensor):
    """Wait until a batch of segment files is complete, where Adobe puts them.

    A batch is complete when every file that its control file (``.info``) lists is there with its
    size. The control file may come before them, after them, or twice. What the files have inside is
    held against their checksums when they are loaded. Of several batches it waits for all that are
    on their way, files without a control file included: what stays incomplete for a day after the
    time in its name is told in the log, and holds no other up. For accounts that get no control
    files, ``quiet_period`` says how long nothing of a batch may have changed.

    In a run that an
    :class:`~airflow_am_provider.triggers.outbound_arrival.OutboundArrivalTrigger` on the same
    location has started, it does not wait: it returns the batches that have arrived.

    Names that end in ``.tmp`` are passed over. Days without a batch and days with two are told in
    the log. Pages: outbound-file-name-contents.md, transfer-control-files.md.

    :param location: Where Adobe puts its files: ``s3://bucket/prefix``, an absolute path, or
        ``sftp:///directory``, ``ftps:///directory`` or ``ftp:///directory`` on the host of the
        connection. (templated)
    :param source_conn_id: Airflow connection that leads there: of the type ``aws`` for S3
        (``aws_default`` if None), ``sftp``, or ``ftp`` for FTP and FTPS. (templated)
    :param destination: ID of the destination whose batches count; None for all. (templated)
    :param batch_date: The day in UTC that the timestamp in the names is of, such as ``{{ ds }}``;
        of a time with a zone, its day in UTC. None for all that is there. (templated)
    :param sync_mode: ``full`` or ``iter``; None for both. Batches whose names say neither are taken
        for this. (templated)
    :param quiet_period: Seconds, for accounts without control files. None where they come. Not with
        ``mode="reschedule"``, where each look is a process that knows nothing of those before; take
        ``deferrable=True`` to wait without a worker. (templated)
    :param name_template: How the account's names are made, in Adobe's macros:
        ``<SYNC_TYPE>_<ORDER_ID>_<SYNC_MODE>_<TIMESTAMP>SPLITNUM.csv``. None takes every form that
        Adobe's pages show. (templated)
    :param timestamp_digits: 10 or 13, where names do not say which: ``1566906141001`` is both. With
        control files it is not needed. (templated)
    :param api_conn_id: Connection of the type ``audience_manager_api``. The outbound history of
        Adobe's REST API is asked then, once an hour, and what it has and the location has not is
        told. Needs ``destination``. None to ask nobody. (templated)
    :param audience_manager_conn_id: Connection of the type ``audience_manager``: what is seen of
        batches is noted in its staging location, for the page in Airflow's UI. None for no notes.
        (templated)
    :param deferrable: Whether to wait in the triggerer, without a worker.
    :param poke_interval: Seconds between two looks.
    :param timeout: Seconds until the task gives up. Adobe sends once a day, up to a day late.
    :return: for each complete batch, oldest first: ``batch``, ``version``, ``mode``, ``files`` and
        ``bytes``; without ``version`` in a run that an arrival has started.
    :raises AirflowFailException: when a parameter or the connection is wrong.
    :raises AirflowSensorTimeout: when time is up; says what is missing.

    Example::

        OutboundFilesSensor(
            task_id="arrived", location="s3://acme-segments/from-adobe", batch_date="{{ ds }}"
        )
    """

    template_fields: Sequence[str] = (*INBOX_PARAMETERS, "audience_manager_conn_id")
    ui_color = "#e1effd"

    def __init__(
        self,
        *,
        location: str,
        source_conn_id: str | None = None,
        destination: int | str | None = None,
        batch_date: str | None = None,
        sync_mode: str | None = None,
        quiet_period: float | str | None = None,
        name_template: str | None = None,
        timestamp_digits: int | str | None = None,
        api_conn_id: str | None = None,
        audience_manager_conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = POKE_INTERVAL_S,
        timeout: timedelta | float = 2 * 24 * 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.location = location
        self.source_conn_id = source_conn_id
        self.destination = destination
        self.batch_date = batch_date
        self.sync_mode = sync_mode
        self.quiet_period = quiet_period
        self.name_template = name_template
        self.timestamp_digits = timestamp_digits
        self.api_conn_id = api_conn_id
        self.audience_manager_conn_id = audience_manager_conn_id
        self.deferrable = deferrable
        self._watch: ArrivalWatch | None = None
        self._notes = BatchNotes(None, None)

    @last_line
    def execute(self, context: Context) -> Any:
        """Take what has started the run; else look at once, then wait, in the triggerer or here."""
        arrived = arrived_batches(context.get("triggering_asset_events"), self.location)
        if arrived:
            return [self._as_it_arrived(batch) for batch in arrived]
        self._notes = BatchNotes.of(self.audience_manager_conn_id, origin_of(context, self.task_id))
        if not self.deferrable:
            with airflow_errors():
                self._check_mode()
            return super().execute(context)["batches"]
        deadline = datetime.now(UTC) + timedelta(seconds=self.timeout)
        self._waiting.ends_at(deadline)
        seen = self._patiently()
        if seen is not None and seen.is_over:
            return seen.result["batches"]
        self._defer(deadline)
        return None

    @last_line
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the trigger has seen a complete batch, or has given up.

        :param event: the trigger's.
        """
        if event["status"] == "arrived":
            self.log.info("%s", event["message"])
            return event["batches"]
        if event["status"] == "timeout":
            raise AirflowSensorTimeout(
                f"No complete batch within {timedelta(seconds=self.timeout)}. What is known: "
                f"{event['message']}"
            )
        raise AirflowFailException(event["message"])

    def outcome(self, result: list[dict[str, Any]]) -> str:
        """What has arrived, for the last line of the log."""
        count = counted(len(result), "complete batch", "complete batches")
        return f"{count} in {self.location}: {', '.join(str(one['batch']) for one in result)}"

    def look(self) -> Seen:
        """Look once."""
        from airflow_am_provider.hooks.outbound_inbox import arrival_watch, seen_batches

        self._watch = self._watch or arrival_watch(**inbox_of(self))
        return seen_batches(self._watch, self._notes)

    def _check_mode(self) -> None:
        if self.reschedule and is_given(self.quiet_period):
            raise ConfigurationError(
                "quiet_period: it cannot be seen with mode='reschedule', where each look is a "
                "process that knows nothing of those before; take mode='poke', or deferrable=True "
                "to wait without a worker"
            )

    def _as_it_arrived(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of an event; what was sent again since is taken as it is then.

        But for a quiet period: there it is the version that was seen quiet.
        """
        names = ["batch", "mode", "files", "bytes"]
        if is_given(self.quiet_period):
            names.append("version")
        return {name: batch.get(name) for name in names}

    def _defer(self, deadline: datetime) -> None:
        from airflow_am_provider.triggers.outbound import OutboundFilesTrigger

        self.defer(
            trigger=OutboundFilesTrigger(
                inbox=inbox_of(self),
                poll_interval_s=self.poke_interval,
                deadline=deadline.isoformat(),
                failures=self._waiting.failures,
                notes=self._notes.to_json(),
            ),
            method_name="execute_complete",
            timeout=max(deadline - datetime.now(UTC), timedelta(0)) + GRACE,
        )
