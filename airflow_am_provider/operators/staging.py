"""What the operators that format share: sources, staging, and what is said in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseHook, BaseOperator

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.formatting.acceptance import ON_EMPTY, limit, nothing_to_send
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.links import StagingLink
from airflow_am_provider.operators.values import optional_whole_number
from airflow_am_provider.operators.window import Window, window_of, with_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from airflow.providers.common.compat.sdk import Context

    from airflow_am_provider.formatting.lines import LineWriter
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook


class StageDeliveryOperator(BaseOperator):
    """Reads rows, formats them and stages the delivery; subclasses say what the lines are.

    Rows come from ``sql`` on ``conn_id``, or from files at ``source``: one of the two.

    :param sql: one SELECT, for any common-sql connection. It may use the placeholders
        ``window_start`` and ``window_end`` in the way of the database's driver, such as
        ``%(window_start)s`` for PostgreSQL: they get the window of the run.
    :param conn_id: the connection it runs on.
    :param parameters: values for placeholders in ``sql``, as the database's driver wants them.
    :param source: URL of a CSV or Parquet file, ``s3://bucket/key`` or an absolute path; of a
        folder, ending in ``/``, whose files are read in the order of their names; or a list.
    :param source_conn_id: AWS connection for ``s3://`` sources; the one of the staging
        location when not given.
    :param delimiter: what separates the fields of CSV files.
    :param audience_manager_conn_id: connection of the type ``audience_manager``, which knows
        the staging location and where deliveries go.
    :param window_start: first moment of the data, ISO 8601, UTC where it names no zone; by default
        the run's data interval.
    :param window_end: first moment after the data, likewise.
    :param max_set_aside: how many rows may break a rule: a whole number is a count, a fraction
        a share of the rows read. Over it the task fails before anything is sent.
    :param on_empty: when there is nothing to send: ``skip`` the task, or ``fail`` it.
    :param compression: ``gzip``, or ``none``.
    :param part_bytes: size in bytes, uncompressed, at which the next part begins.
    :param compressed_part_bytes: size in bytes, compressed, at which the next part begins.
    """

    template_fields: Sequence[str] = (
        "sql",
        "conn_id",
        "parameters",
        "source",
        "source_conn_id",
        "delimiter",
        "audience_manager_conn_id",
        "window_start",
        "window_end",
        "max_set_aside",
        "on_empty",
        "compression",
        "part_bytes",
        "compressed_part_bytes",
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
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        window_start: str | None = None,
        window_end: str | None = None,
        max_set_aside: float | str = 0.01,
        on_empty: str = "skip",
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
        self.audience_manager_conn_id = audience_manager_conn_id
        self.window_start = window_start
        self.window_end = window_end
        self.max_set_aside = max_set_aside
        self.on_empty = on_empty
        self.compression = compression
        self.part_bytes = part_bytes
        self.compressed_part_bytes = compressed_part_bytes

    def line_writer(self) -> LineWriter:
        """What turns rows into lines, from the rendered parameters."""
        raise ConfigurationError(f"{type(self).__name__} formats nothing by itself")

    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the delivery and return its manifest as plain JSON."""
        with airflow_errors():
            manifest = self._stage(context)
        self._log_summary(manifest)
        if not manifest.parts:
            self._nothing_to_send(manifest)
        return manifest.to_json()

    def _stage(self, context: Context) -> Manifest:
        # Arrow and the engine are heavy: they are loaded by the worker, never by the parser.
        from airflow_am_provider.formatting.delivery import Scope, stage_delivery
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        window = window_of(context, self.window_start, self.window_end)
        self.log.info("Window: %s", window)
        if self.on_empty not in ON_EMPTY:
            raise ConfigurationError(
                f"on_empty: {self.on_empty!r} is neither {' nor '.join(map(repr, ON_EMPTY))}"
            )
        hook = AudienceManagerHook(self.audience_manager_conn_id)
        writer = self.line_writer()
        window_start, window_end = window.in_utc
        return stage_delivery(
            self._batches(hook, writer.columns, window),
            writer,
            hook.staging(),
            self._options(),
            scope=Scope(
                destination=hook.destination_name,
                window_start=window_start,
                window_end=window_end,
                run=f"{context['dag_run'].dag_id}/{context['run_id']}",
            ),
            now=datetime.now(UTC),
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
            place: size
            for place in ("part_bytes", "compressed_part_bytes")
            if (size := optional_whole_number(place, getattr(self, place))) is not None
        }
        return FormatOptions(
            encoding=encodings[self.compression],
            sizes=PartSizes(**sizes),
            max_set_aside=limit("max_set_aside", self.max_set_aside),
        )

    def _batches(
        self, hook: AudienceManagerHook, columns: Sequence[str], window: Window
    ) -> Iterator[pa.RecordBatch]:
        if bool(self.sql) == bool(self.source):
            raise ConfigurationError(
                "sql, source: name one of the two, a query or a file to read rows from"
            )
        if self.sql:
            from airflow_am_provider.hooks.sql import read_sql

            if not self.conn_id:
                raise ConfigurationError("conn_id: missing; name the connection that sql runs on")
            parameters = with_window(self.sql, self.parameters, window)
            return read_sql(BaseHook.get_hook(self.conn_id), self.sql, parameters)
        from airflow_am_provider.hooks.sources import read_sources

        urls = [self.source] if isinstance(self.source, str) else list(self.source or ())
        return read_sources(
            hook, urls, columns, aws_conn_id=self.source_conn_id, delimiter=self.delimiter
        )

    def _log_summary(self, manifest: Manifest) -> None:
        self.log.info(
            "Delivery %s: %s rows read = %s written + %s set aside",
            manifest.delivery_id,
            f"{manifest.rows_read:,}",
            f"{manifest.rows_written:,}",
            f"{manifest.rows_set_aside:,}",
        )
        for reason, count in manifest.set_aside_by_reason.items():
            self.log.info("  set aside: %s %s", f"{count:,}", reason)
        if manifest.rejects:
            self.log.info("  which rows: %s/%s", manifest.staging, manifest.rejects)
        for part in manifest.parts:
            self.log.info(
                "  %s: %s lines, %.1f MB, %.1f MB packed",
                part.file_name,
                f"{part.lines:,}",
                part.bytes / 1e6,
                part.compressed_bytes / 1e6,
            )

    def _nothing_to_send(self, manifest: Manifest) -> None:
        if self.on_empty == "skip":
            raise AirflowSkipException(nothing_to_send(manifest))
        with airflow_errors():
            raise DataError(f"{nothing_to_send(manifest)}; on_empty='fail'")
