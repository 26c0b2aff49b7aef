"""What the operators that format share: sources, staging, and what is said in the log."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_am_provider.airflow_compat import AirflowSkipException
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.deliveries.manifest import nothing_to_send, said_of_joined_rows
from airflow_am_provider.formatting.acceptance import ON_EMPTY, limit
from airflow_am_provider.formatting.remarks import warnings_of
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.parameters import optional_whole_number
from airflow_am_provider.links import StagingLink
from airflow_am_provider.operators._suppressing import SuppressingOperator
from airflow_am_provider.operators._watermark import NothingNew, note_outcome, watermark_window
from airflow_am_provider.operators._window import Window, window_of
from airflow_am_provider.sources.placeholders import asks_for
from airflow_am_provider.sources.query_window import Zone
from airflow_am_provider.sources.running_queries import cancel_queries, cancelled_in_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    from airflow.sdk import Context

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.sources.partition_bounds import Bounds

_logger = logging.getLogger(__name__)


class StageDeliveryOperator(SuppressingOperator):
    """Reads rows, formats them and stages the delivery; subclasses say what the lines are.

    Rows come from ``sql`` on ``conn_id``, or from files at ``source``: one of the two.

    :param sql: One SELECT that gives the rows, or a path that ends in ``.sql``. Name either ``sql``
        or ``source``. It may use the placeholders ``window_start`` and ``window_end``, written as
        the database's driver wants them: they get the run's window as moments. Where the window is
        made of whole days, ``window_start_date`` and ``window_end_date`` get dates
        (``docs/windows.md``). Example: ``SELECT customer_id, traits FROM changes WHERE changed_at
        >= %(window_start)s AND changed_at < %(window_end)s``. (templated)
    :param conn_id: Airflow connection of the database that ``sql`` runs on, of any common-sql
        provider. Needed with ``sql``. (templated)
    :param parameters: Values for other placeholders in ``sql``: a dict or a list, as the database's
        driver wants them. Example: ``{"platform": "ios"}``. (templated)
    :param source: CSV or Parquet files to read the rows from: a URL, or a list of URLs. A URL is
        ``s3://bucket/key`` or an absolute path. It names a file, a folder, or, with ``*`` and ``?``
        in the last name, all files of such names. Known endings are ``.parquet``, ``.pq``,
        ``.csv``, ``.csv.gz``, ``.tsv`` and ``.tsv.gz``. Example:
        ``s3://crm/exports/customers_*.parquet``. (templated)
    :param source_conn_id: AWS connection for ``s3://`` sources. When not given, the AWS connection
        of the staging location is used. (templated)
    :param delimiter: The character between the fields of a CSV file. (templated)
    :param encoding: The text encoding of CSV files, by a name that Python knows. Files are sent in
        UTF-8, whatever they were read in. Example: ``latin-1``, ``windows-1252`` or ``utf-16``.
        (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param window_start: First moment of the data, in ISO 8601. A time without a zone is in
        ``window_timezone``. When not given, the window is the run's partition, its data interval,
        or what ``watermark_start`` says. Example: ``2026-03-01``. (templated)
    :param window_end: First moment after the data, in ISO 8601. A time without a zone is in
        ``window_timezone``. Example: ``2026-03-02``. (templated)
    :param window_timezone: Name of the time zone in which days begin and ``sql`` runs. UTC when not
        given. PostgreSQL, MySQL and DuckDB read times and dates without a zone in this zone,
        whatever the server or the connection says. Example: ``Europe/Berlin``. (templated)
    :param watermark_start: Turns on the watermark, for runs that have neither a partition nor a
        data interval: the start of the very first window, in ISO 8601. Each later window goes from
        the end of the last window whose delivery was sent to the moment at which the run was due
        (``run_after``). Runs that are scheduled or triggered by assets move the watermark.
        Backfills never use it. Example: ``2026-01-01``. (templated)
    :param max_set_aside: How many rows may break a rule. A whole number is a count, a fraction is a
        share of the rows read: ``1`` is one row, ``1.0`` is all rows. Over the limit nothing is
        sent. Example: ``100`` or ``0.01``. (templated)
    :param on_empty: What happens when there is nothing to send: ``skip`` or ``fail``. (templated)
    :param partitions: Into how many partitions the rows are divided, by user ID. With ``partition``
        this task formats one of them, and
        :class:`~airflow_am_provider.operators.combine_partitions.CombinePartitionsOperator` makes
        one delivery of all. Without ``partition`` this task formats all of them, one after the
        other. Example: ``8``. (templated)
    :param partition: Which partition this task formats, counted from 0. This is what to
        ``.expand()`` over. (templated)
    :param partition_by: What the rows are divided by: an SQL expression for ``sql``, or ``files``
        for ``source``. It must be the same for all rows of a user ID. The default depends on the
        source (``docs/operators.md#partitions``). Example: ``customer_number``. (templated)
    :param partition_bounds: Divides the rows of ``sql`` by ranges of ``partition_by``, which an
        index finds, and not by a hash. It lists where each range but the last ends, in ascending
        order: numbers, texts, dates or times. Example: ``[1000, 2000]`` makes three partitions:
        below 1000 or without a value, from 1000 to below 2000, and from 2000. (templated)
    :param compression: How files are packed: ``gzip`` or ``none``. (templated)
    :param part_bytes: Uncompressed size in bytes at which the next part begins. 1,000,000,000 when
        not given, at most 5,000,000,000. (templated)
    :param compressed_part_bytes: Compressed size in bytes at which the next part begins.
        250,000,000 when not given, at most 997,902,848. (templated)

    For the users of whom nothing is sent see
    :class:`~airflow_am_provider.operators._suppressing.SuppressingOperator`.
    """

    template_fields: Sequence[str] = (
        "sql",
        "conn_id",
        "parameters",
        "source",
        "source_conn_id",
        "delimiter",
        "encoding",
        "audience_manager_conn_id",
        "window_start",
        "window_end",
        "window_timezone",
        "watermark_start",
        "max_set_aside",
        "on_empty",
        "partitions",
        "partition",
        "partition_by",
        "partition_bounds",
        "compression",
        "part_bytes",
        "compressed_part_bytes",
        *SuppressingOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    operator_extra_links = (StagingLink(),)
    ui_color = "#f7e0d4"

    def __init__(
        self,
        *,
        sql: str | None = None,
        conn_id: str | None = None,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        source: str | Sequence[str] | None = None,
        source_conn_id: str | None = None,
        delimiter: str = ",",
        encoding: str = "utf-8",
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        window_start: str | None = None,
        window_end: str | None = None,
        window_timezone: str | None = None,
        watermark_start: str | None = None,
        max_set_aside: float | str = 0.01,
        on_empty: str = "skip",
        partitions: int | str | None = None,
        partition: int | str | None = None,
        partition_by: str | None = None,
        partition_bounds: Sequence[float | str | date] | None = None,
        compression: str = "gzip",
        part_bytes: int | str | None = None,
        compressed_part_bytes: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.source = source
        self.source_conn_id = source_conn_id
        self.delimiter = delimiter
        self.encoding = encoding
        self.audience_manager_conn_id = audience_manager_conn_id
        self.window_start = window_start
        self.window_end = window_end
        self.window_timezone = window_timezone
        self.watermark_start = watermark_start
        self.max_set_aside = max_set_aside
        self.on_empty = on_empty
        self.partitions = partitions
        self.partition = partition
        self.partition_by = partition_by
        self.partition_bounds = partition_bounds
        self.compression = compression
        self.part_bytes = part_bytes
        self.compressed_part_bytes = compressed_part_bytes

    def line_writer(self) -> LineWriter:
        """What turns rows into lines, from the rendered parameters."""
        raise ConfigurationError(f"{type(self).__name__} formats nothing by itself")

    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the delivery and return its manifest as plain JSON, or that of one partition."""
        # Arrow and the engine are heavy: they are loaded by the worker, never by the parser.
        from airflow_am_provider.deliveries.combining import FormattedPartition
        from airflow_am_provider.deliveries.data_sources import check_data_sources
        from airflow_am_provider.deliveries.staging import (
            DeliveryContext,
            format_content,
            stage_content,
        )
        from airflow_am_provider.deliveries.target.names import target_of
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.operators._source_rows import source_rows
        from airflow_am_provider.suppression.source import tell_lists

        with airflow_errors(), cancelled_in_time():
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            writer, options = self.line_writer(), self._options()
            check_data_sources(hook, writer.file_kind)
            targets = hook.targets()
            target = targets.named(hook.destination_name, target_of(writer.file_kind))
            window = self._window(context, target)
            self.log.info("Window: %s", window)
            check_on_empty(self.on_empty)
            bounds = self._bounds()
            count, partition = self._partition(window, bounds)
            writer.suppression = self.suppression(hook, writer.id_kinds)
            if hook.settings.api_conn_id:
                writer.name_traits()
            # What is allowed of all rows says nothing of a share of them.
            if partition is not None:
                options = replace(options, max_set_aside=1.0, is_partition=True)
            window_start, window_end = window.in_utc
            staging, now = targets.staging, datetime.now(UTC)
            rows = source_rows(self, hook, writer.columns, window, count, partition, bounds)
            content = format_content(
                rows.batches,
                writer,
                staging,
                options,
                context=DeliveryContext(
                    destination=hook.destination_name,
                    window_start=window_start,
                    window_end=window_end,
                    run=f"{context['dag_run'].dag_id}/{context['run_id']}",
                    series=f"{context['dag_run'].dag_id}/{self.task_id}",
                    # Partitions, mapped or not, are shares of one delivery.
                    map_index=-1 if partition is not None else map_index_of(context),
                    watermark=window.watermark,
                ),
                now=now,
            )
            if partition is None:
                tell_lists(writer.suppression)
                manifest = stage_content(content, targets, now=now)
                note_outcome(target, window.watermark, manifest, self.on_empty)
                return report_staged(self.log.info, manifest, self.on_empty)
        result = content.result
        self.log.info(
            "Partition %s: %s rows read = %s written + %s set aside, %d parts",
            partition,
            f"{result.rows_read:,}",
            f"{result.rows_written:,}",
            f"{result.rows_set_aside:,}",
            len(result.parts),
        )
        return FormattedPartition(
            partition=partition,
            partitioning=rows.partitioning,
            is_by_user=rows.is_by_user,
            staging=staging.url,
            content=content,
            max_set_aside=limit("max_set_aside", self.max_set_aside),
        ).to_json()

    def on_kill(self) -> None:
        """End the query as well when the task is ended from outside."""
        cancel_queries()

    def _window(self, context: Context, target: Target) -> Window:
        """The run's window; where it has none of its own, from the watermark if there is one."""
        zone, watermark = self._zone(), None
        if self.watermark_start not in (None, "", "None"):
            is_partition = self.partition not in (None, "", "None")
            watermark = partial(
                watermark_window,
                context,
                target,
                self.watermark_start,
                zone=zone,
                is_partition=is_partition,
            )
        try:
            return window_of(
                context, self.window_start, self.window_end, zone=zone, watermark=watermark
            )
        except NothingNew as reason:
            if self.on_empty == "fail":
                raise DataError(f"{reason}; on_empty='fail'") from None
            raise AirflowSkipException(str(reason)) from None

    def _zone(self) -> Zone:
        return Zone.parse("window_timezone", self.window_timezone)

    def _bounds(self) -> Bounds | None:
        """Of ranges, where the rows are divided by those."""
        from airflow_am_provider.sources.partition_bounds import Bounds

        return None if self.partition_bounds is None else Bounds(self.partition_bounds)

    def _partition(
        self, window: Window, bounds: Bounds | None
    ) -> tuple[int | None, Partition | None]:
        """Into how many shares the rows are divided, and which of them is this task's."""
        from airflow_am_provider.deliveries.partition import Partition

        count = optional_whole_number("partitions", self.partitions)
        if bounds is not None:
            count = bounds.count if count is None else bounds.check(count)
        number = optional_whole_number("partition", self.partition)
        if count is None:
            if number is not None or self.partition_by:
                raise ConfigurationError("partitions: missing; partition says nothing without it")
            return None, None
        if number is None:
            return Partition(number=0, count=count).count, None
        partition = Partition(number=number, count=count)
        self.log.info("Partition %s. %s", partition, self._as_of(window))
        return count, partition

    def _as_of(self, window: Window) -> str:
        """What partitions that are read at different moments have in common."""
        if self.source:
            return "All of them read the same files: one that changes meanwhile is an error"
        asks = any(asks_for(self.sql or "", name) for name in ("window_end", "window_end_date"))
        if window.end is not None and asks:
            return f"All of them end with the window, at {window.end.isoformat()}"
        return (
            "Each reads the rows as they are at its own moment: sql asks for no window_end. Each "
            "row is in exactly one partition all the same"
        )

    def _options(self) -> FormatOptions:
        from airflow_am_provider.audience_manager.names import Encoding
        from airflow_am_provider.formatting.parts import PartSizes
        from airflow_am_provider.formatting.pipeline import FormatOptions

        encodings = {"gzip": Encoding.GZIP, "none": Encoding.PLAIN}
        if self.compression not in encodings:
            raise ConfigurationError(
                f"compression: {self.compression!r} is neither 'gzip' nor 'none' "
                f"(inbound-file-compression.md)"
            )
        sizes = {
            parameter: size
            for parameter in ("part_bytes", "compressed_part_bytes")
            if (size := optional_whole_number(parameter, getattr(self, parameter))) is not None
        }
        return FormatOptions(
            encoding=encodings[self.compression],
            sizes=PartSizes(**sizes),
            max_set_aside=limit("max_set_aside", self.max_set_aside),
        )


def map_index_of(context: Context) -> int:
    """Which of its mapped tasks a task is; -1 where it is not mapped."""
    index = getattr(context.get("ti"), "map_index", None)
    return index if isinstance(index, int) else -1


def report_staged(log: Callable[..., object], manifest: Manifest, on_empty: str) -> dict[str, Any]:
    """Tell the log what was staged.

    :param log: takes a message and its values.
    :param on_empty: what to do when nothing was, ``skip`` or ``fail``.
    :return: the manifest as plain JSON.
    :raises AirflowSkipException: when there is nothing to send, with ``skip``.
    :raises DataError: likewise, with ``fail``.
    """
    log(
        "Delivery %s: %s rows read = %s written + %s set aside",
        manifest.delivery_id,
        f"{manifest.rows_read:,}",
        f"{manifest.rows_written:,}",
        f"{manifest.rows_set_aside:,}",
    )
    if joined := said_of_joined_rows(manifest):
        log("  %s", joined)
    for reason, count in manifest.set_aside_by_reason.items():
        log("  set aside: %s %s", f"{count:,}", reason)
    for warning in warnings_of(manifest.remarks):
        _logger.warning("  %s", warning)
    if manifest.rejects:
        log("  which rows: %s/%s", manifest.staging, manifest.rejects)
    for part in manifest.parts:
        log(
            "  %s: %s lines, %.1f MB, %.1f MB packed",
            part.file_name,
            f"{part.lines:,}",
            part.bytes / 1e6,
            part.compressed_bytes / 1e6,
        )
    if manifest.parts:
        return manifest.to_json()
    if on_empty == "skip":
        raise AirflowSkipException(nothing_to_send(manifest))
    raise DataError(f"{nothing_to_send(manifest)}; on_empty='fail'")


def check_on_empty(on_empty: str) -> None:
    """Refuse what ``on_empty`` cannot be.

    :raises ConfigurationError: when it is neither ``skip`` nor ``fail``.
    """
    if on_empty not in ON_EMPTY:
        raise ConfigurationError(
            f"on_empty: {on_empty!r} is neither {' nor '.join(map(repr, ON_EMPTY))}"
        )
