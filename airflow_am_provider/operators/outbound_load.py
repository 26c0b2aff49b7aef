"""Loads complete batches of segment files into Parquet or a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_am_provider.airflow_compat import AirflowSkipException
from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.asset_events import LOADED
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.inbox_parameters import INBOX_PARAMETERS, inbox_of
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.hooks.outbound_notes import BatchNotes
from airflow_am_provider.operators._load_parameters import LoadParameters
from airflow_am_provider.parameters import flag, is_given, optional_whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_am_provider.operators._load_targets import LoadTarget
    from airflow_am_provider.outbound.arrival import Look
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.load_report import LoadReport

__all__ = ["OutboundLoadOperator"]

# How many batches a warning names.
_NAMED = 5


class OutboundLoadOperator(BaseOperator):
    """Load complete batches of segment files into Parquet or a table, each exactly once.

    Files are streamed, and held against the sizes, checksums and lines of the control file while
    they are read; nothing of a batch is loaded unless all of it is right. A batch that was loaded
    already is passed over; one that Adobe sends again with other content replaces its own rows. A
    line that breaks the layout is set aside and counted: lines read = rows loaded + set aside.

    Parquet: one file a batch, ``DESTINATION/DAY/BATCH.parquet``, and beside it
    ``BATCH.rejects.csv`` with the file, number and reason of each line that was set aside.
    Table: PostgreSQL (by COPY), MySQL (by LOAD DATA where the connection has ``local_infile``),
    SQLite, or any other database that can roll back, in one transaction; or a warehouse's, by its
    own statement from Parquet. Columns of all: ``user_id``, ``id_dpid`` (which kind of ID; empty
    for AAM UUIDs), ``segments``, ``removed_segments``, ``destination``, ``mode``, ``batch_time``,
    ``batch``.

    :param location: Where Adobe puts its files, as for
        :class:`~airflow_am_provider.sensors.outbound_files.OutboundFilesSensor`. (templated)
    :param source_conn_id: As for the sensor. (templated)
    :param batches: What the sensor returned, such as ``arrived.output``. None for every complete
        batch that is there and not loaded yet. (templated)
    :param destination: As for the sensor. (templated)
    :param batch_date: As for the sensor. (templated)
    :param sync_mode: As for the sensor. ``current_table`` needs it where names do not say the mode.
        (templated)
    :param quiet_period: Seconds, as for the sensor; only for accounts without control files. Needs
        ``batches``: the sensor has waited, and what it saw has to be there unchanged. (templated)
    :param name_template: As for the sensor. (templated)
    :param timestamp_digits: As for the sensor. (templated)
    :param api_conn_id: As for the sensor; ``segment_names`` needs it too. (templated)
    :param header_lines: How many lines at the begin of each file are none of data. (templated)
    :param separator_spaces: How many spaces stand between fields. None to see it from the lines; it
        matters for users who were only removed, see docs/outbound.md. (templated)
    :param line_template: How lines are made, in Adobe's macros, where it is not the basic layout:
        ``<UUID><TAB><SEGMENT_LIST;separator="|">``. What cannot be read back for certain is
        refused; see docs/outbound.md. (templated)
    :param max_set_aside: How many lines of a batch may break the layout. A whole number is a count,
        a fraction is a share of its lines: ``1`` is one line, ``1.0`` is all. Over the limit
        nothing of it is loaded, and the task fails: lines that are made in another way would look
        like users who left all segments. (templated)
    :param segment_names: Ask Adobe's REST API, by ``api_conn_id``, what segments are called.
        Parquet files get the columns ``segment_names`` and ``removed_segment_names`` then, and a
        table has ``TABLE_names`` beside it. (templated)
    :param into: Parquet: the folder that gets the files, ``s3://bucket/prefix`` or an absolute
        path. Either this or ``table``; with ``copy_sql`` both. (templated)
    :param into_aws_conn_id: AWS connection for it. If None, ``source_conn_id`` where files come
        from S3, else ``aws_default``. (templated)
    :param table: The table that gets the rows, with its schema before a dot. It is made when it is
        not there, and beside it ``TABLE_batches``, with what is loaded. (templated)
    :param conn_id: Airflow connection of the database. (templated)
    :param current_table: A table that holds what is current: ``destination``, ``id_dpid`` (which
        kind of ID; 0 where names do not say), ``user_id``, ``segment``, ``since``, ``until``. A
        full batch replaces what its destination and kind of ID have, an incremental one is merged.
        It holds what all batches in ``table`` say, of ``destination`` where that is given: what was
        loaded without it is taken in by the next run. In PostgreSQL, MySQL and SQLite. None for
        none. (templated)
    :param copy_sql: The warehouse's own statement that takes a Parquet file into the table, with
        ``{table}``, and ``{url}`` or ``{path}`` (relative to ``into``) for the file. Needs both
        ``into`` and ``table``. Example: ``COPY {table} FROM '{url}' IAM_ROLE default FORMAT
        PARQUET``. (templated)
    :param reload: Load also what is loaded already. (templated)
    :param audience_manager_conn_id: As for the sensor: where it is noted what is loaded, for the
        page. (templated)
    :return: for each batch: ``batch``, ``version``, ``url``, ``lines_read``, ``rows_loaded``,
        ``lines_set_aside``, ``set_aside`` by reason, ``header_lines``,
        ``files_without_checksum``.
    :raises AirflowSkipException: when there is nothing to load.
    :raises AirflowFailException: when a parameter is wrong, a file cannot be read, or too many
        lines break the layout.
    :raises AirflowException: when a file is not, or not yet, what its control file says.

    Example::

        OutboundLoadOperator(
            task_id="load",
            location="s3://acme-segments/from-adobe",
            batches=arrived.output,
            table="segments",
            current_table="current_segments",
            conn_id="warehouse",
        )
    """

    template_fields: Sequence[str] = (
        *INBOX_PARAMETERS,
        "batches",
        "header_lines",
        "separator_spaces",
        "line_template",
        "max_set_aside",
        "segment_names",
        "into",
        "into_aws_conn_id",
        "table",
        "conn_id",
        "current_table",
        "copy_sql",
        "reload",
        "audience_manager_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"batches": "json"}
    ui_color = "#e4f0ef"

    def __init__(
        self,
        *,
        location: str,
        source_conn_id: str | None = None,
        batches: object = None,
        destination: int | str | None = None,
        batch_date: str | None = None,
        sync_mode: str | None = None,
        quiet_period: float | str | None = None,
        name_template: str | None = None,
        timestamp_digits: int | str | None = None,
        api_conn_id: str | None = None,
        header_lines: int | str = 0,
        separator_spaces: int | str | None = None,
        line_template: str | None = None,
        max_set_aside: float | str = 0.01,
        segment_names: bool | str = False,
        into: str | None = None,
        into_aws_conn_id: str | None = None,
        table: str | None = None,
        conn_id: str | None = None,
        current_table: str | None = None,
        copy_sql: str | None = None,
        reload: bool | str = False,
        audience_manager_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        outlets = [*(kwargs.pop("outlets", None) or ()), LOADED]
        super().__init__(outlets=outlets, **kwargs)
        self.location = location
        self.source_conn_id = source_conn_id
        self.batches = batches
        self.destination = destination
        self.batch_date = batch_date
        self.sync_mode = sync_mode
        self.quiet_period = quiet_period
        self.name_template = name_template
        self.timestamp_digits = timestamp_digits
        self.api_conn_id = api_conn_id
        self.header_lines = header_lines
        self.separator_spaces = separator_spaces
        self.line_template = line_template
        self.max_set_aside = max_set_aside
        self.segment_names = segment_names
        self.into = into
        self.into_aws_conn_id = into_aws_conn_id
        self.table = table
        self.conn_id = conn_id
        self.current_table = current_table
        self.copy_sql = copy_sql
        self.reload = reload
        self.audience_manager_conn_id = audience_manager_conn_id

    @last_line
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Load what is complete and not loaded yet."""
        from airflow_am_provider.hooks.asset_events import announce_loaded, teller_of
        from airflow_am_provider.hooks.outbound_inbox import open_inbox

        notes = BatchNotes.of(self.audience_manager_conn_id, origin_of(context, self.task_id))
        with airflow_errors():
            target = LoadParameters.of(self).target()
            inbox = open_inbox(self.location, self.source_conn_id)
            # What fails holds no other batch up.
            failed: list[AudienceManagerError] = []
            look = self._look()
            wanted, gone = self._wanted(look, target, failed)
            self._tell_of_left(look, wanted, target)
            notes.found(wanted, gone=[kept["batch"] for kept in gone])
            loads_again = flag("reload", self.reload)
            known = {} if loads_again else target.reports(wanted)
            teller = teller_of(context)
            loaded = [one for kept in gone for one in self._untold(target, kept, teller)]
            for batch in wanted:
                kept = known.get(batch.batch_id, {})
                if kept.get("version") == batch.version:
                    self.log.info("Batch %s is loaded already, as it is now", batch.batch_id)
                    notes.loaded(batch, None)
                    loaded += self._untold(target, kept, teller)
                    continue
                try:
                    report = target.load(inbox, batch, loads_again=loads_again)
                except (TransientError, DataError) as error:
                    self.log.warning("Batch %s is not loaded: %s", batch.batch_id, error)
                    failed.append(error)
                    continue
                if report is None:
                    self.log.info("Batch %s was loaded by another task meanwhile", batch.batch_id)
                    notes.loaded(batch, None)
                    kept = target.reports([batch])[batch.batch_id]
                    loaded += self._untold(target, kept, teller)
                    continue
                loaded.append(report.to_json())
                notes.loaded(batch, report.to_json())
                self._tell(report)
                metrics.loaded(report, self.dag_id)
            try:
                target.catch_up(optional_whole_number("destination", self.destination))
            except DataError as error:
                failed.append(error)
            if failed:
                # What may go better next time counts for more: Airflow tries again then.
                raise min(failed, key=lambda error: not isinstance(error, TransientError))
            # Last of all: what fails before it tells nothing, and the next try does.
            told = [one for one in loaded if teller and target.note_announced(one, teller)]
        if not loaded:
            found = f"{len(wanted)} complete, all of them loaded" if wanted else "no complete batch"
            lost = f"; {len(gone)} loaded, whose files are gone" if gone else ""
            raise AirflowSkipException(f"Nothing to load from {self.location}: {found}{lost}")
        announce_loaded(context.get("outlet_events"), told)
        return loaded

    def outcome(self, result: list[dict[str, Any]]) -> str:
        """What was loaded, for the last line of the log."""
        rows = sum(one["rows_loaded"] for one in result)
        return f"{counted(len(result), 'batch', 'batches')} loaded: {counted(rows, 'row')}"

    def get_openlineage_facets_on_complete(
        self, task_instance: Any
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's provider ``openlineage`` is told.

        :param task_instance: whatever it is; the task knows what it did.
        """
        from airflow_am_provider.hooks.lineage import of_load

        return of_load(self)

    def _untold(
        self, target: LoadTarget, kept: Mapping[str, Any], teller: dict[str, Any] | None
    ) -> list[dict[str, Any]]:
        """The report of a batch that is loaded already, if Airflow has not heard of it."""
        from airflow_am_provider.hooks.asset_events import has_heard
        from airflow_am_provider.outbound.load_report import is_due, is_free, without_note

        # A task that told, and was cleared, may have failed before Airflow knew its success.
        if teller is None or not (
            is_due(kept, teller) or (is_free(kept, teller) and not has_heard(kept))
        ):
            return []
        # By a try that failed afterwards. Should this one fail too, and be cleared, it is another
        # teller, to whom the note would say that it was told.
        target.note_announced(kept, teller, tells=False)
        return [without_note(kept)]

    def _tell(self, report: LoadReport) -> None:
        counts = report.counts
        self.log.info(
            "Batch %s: %s lines read = %s rows loaded + %s lines set aside, now in %s",
            report.batch_id,
            f"{counts.lines_read:,}",
            f"{counts.lines_loaded:,}",
            f"{counts.lines_set_aside:,}",
            report.url,
        )
        for reason in counts.reasons():
            self.log.warning("Batch %s: %s", report.batch_id, reason)
        if counts.unchecked:
            self.log.info(
                "Batch %s: %s of its files have no checksum that can be one; their sizes are right",
                report.batch_id,
                f"{counts.unchecked:,}",
            )

    def _tell_of_left(self, look: Look, wanted: list[Batch], target: LoadTarget) -> None:
        """Name what became complete after the run of its day."""
        from airflow_am_provider.outbound.arrival import left_behind

        left = left_behind(look, wanted)
        known = target.reports(left) if left else {}
        names = [batch.batch_id for batch in left if not known.get(batch.batch_id)]
        if names:
            self.log.warning(
                "Complete, older than what this run loads, and not loaded: %s. Runs of later days "
                "do not load it: clear the tasks of its day",
                ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else ""),
            )

    def _look(self) -> Look:
        from airflow_am_provider.hooks.outbound_inbox import arrival_watch

        if is_given(self.quiet_period) and not is_given(self.batches):
            # A single look cannot tell a batch that is quiet from one that is on its way.
            raise ConfigurationError(
                "batches: missing; whether a batch without a control file was quiet for "
                "quiet_period, only a task that waits can see. Put an OutboundFilesSensor with the "
                "same quiet_period before this task, and give batches what it returns, such as "
                "arrived.output"
            )
        look = arrival_watch(**inbox_of(self), waits=False).look()
        self.log.info("%s: %s", self.location, look)
        for note in look.notes:
            self.log.warning("%s", note)
        return look

    def _wanted(
        self, look: Look, target: LoadTarget, failed: list[AudienceManagerError]
    ) -> tuple[list[Batch], list[Mapping[str, Any]]]:
        """What is to be loaded; of the sensor's batches, those that are as it has seen them.

        :param failed: gets why the others are not.
        :return: with it, the reports of those that are loaded, and whose files are gone.
        """
        from airflow_am_provider.outbound.arrival import find_batch

        if not is_given(self.batches):
            return list(look.complete), []
        if not isinstance(self.batches, list):
            raise ConfigurationError(
                f"batches: {type(self.batches).__name__} is not what OutboundFilesSensor returns"
            )
        wanted: list[Batch] = []
        gone: list[Mapping[str, Any]] = []
        for found in self.batches:
            if not isinstance(found, dict) or not is_given(found.get("batch")):
                raise ConfigurationError(
                    f"batches: {type(found).__name__} is in it, and is no batch as "
                    f"OutboundFilesSensor returns it, such as {{'batch': NAME, 'version': VERSION}}"
                )
            batch_id, version = str(found["batch"]), str(found.get("version") or "")
            try:
                wanted.append(find_batch(look, batch_id, version))
            except (TransientError, ConfigurationError) as error:
                is_there = any(batch.batch_id == batch_id for batch in look.complete)
                kept = {} if is_there else self._report_of_gone(target, batch_id, version)
                if kept:
                    self.log.info("Batch %s is loaded already; its files are gone", batch_id)
                    gone.append(kept)
                else:
                    self.log.warning("%s", error)
                    failed.append(error)
        return wanted, gone

    def _report_of_gone(self, target: LoadTarget, batch_id: str, version: str) -> Mapping[str, Any]:
        """What became of a batch that is not there any more; nothing when it is to be loaded."""
        if flag("reload", self.reload):
            return {}
        kept = target.report_of_gone(batch_id)
        return kept if version in ("", kept.get("version")) else {}
