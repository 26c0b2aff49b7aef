"""Deliver what has changed since the last acknowledged extract: additions and removals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_am_provider.formatting.acceptance import limit
from airflow_am_provider.formatting.choices import OnEmpty
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.operators._api import api_of
from airflow_am_provider.operators._row_source import RowSource
from airflow_am_provider.operators._staging import (
    AskedWindow,
    format_options,
    report_staged,
)
from airflow_am_provider.operators._staging_task import QueryTask
from airflow_am_provider.operators._suppression import SuppressionLists
from airflow_am_provider.parameters import (
    choice,
    name,
    names,
    numbers_by_column,
    optional_id_kind,
    optional_whole_number,
    some_text,
    whole_number,
)
from airflow_am_provider.sources.running_queries import cancelled_in_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from airflow.sdk import Context

    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.snapshots.refresh import TimesToLive

__all__ = ["SnapshotDiffOperator"]


class SnapshotDiffOperator(QueryTask):
    """Compare a full extract with the last acknowledged one, and stage what has changed.

    Each user that has changed becomes ``USERID<TAB>d_sid=…,d_unsid=…`` in a ``.sync`` file
    (inbound-file-contents.md). Users that are not in the extract any more lose all their traits,
    and so do those on a suppression list. What was delivered and is not acknowledged counts as
    perhaps arrived, perhaps not: the file is right either way. Without an acknowledged extract
    before, everything is an addition.

    A row without traits says that its user has none. One that breaks a rule is set aside, and takes
    nothing away from its user. Only traits can be compared: nothing takes an ``ic`` code or a
    signal back. One task reads the whole extract, also where ``partitions`` divide it: a share of
    the rows would remove all others.

    :param snapshot: Name of the extract. It is compared with earlier extracts of the same name,
        destination, ``dpid`` and ``target_dpid``, whichever DAG they came from. A new name begins
        anew. Example: ``customers``. (templated)
    :param dpid: Number of the data source of the user IDs. Example: ``478``. (templated)
    :param id_column: Column with the user ID, which is sent byte for byte. (templated)
    :param id_kind: Kind of the user ID. It follows from ``dpid``, so it is needed only to say
        ``aam_uuid`` for a data source of your own. (templated)
    :param target_dpid: Number of the data source whose traits are set, when it is not ``dpid``.
        Needed for device IDs. (templated)
    :param traits_column: Column or columns with the IDs of traits that the user has. A value is one
        ID, several IDs with commas between them, or a list. A row without any says that its user
        has none. Example: ``traits`` or ``["traits", "loyalty"]``. (templated)
    :param traits_separator: What stands between the trait IDs of a text: one character, or ``json``
        for texts such as ``[1, 2]``. Lists and PostgreSQL's arrays need none. Example: ``;``.
        (templated)
    :param trait_flags: Boolean columns, and the trait that each stands for. True means that the
        user has the trait, anything else that the user has not. CSV files have no such columns.
        Example: ``{"is_member": 24}``. (templated)
    :param max_removed: How many traits of the last extract may be missing in this one, over all
        users. A whole number is a count, a fraction is a share: ``1.0`` is all. Over the limit the
        task fails, says its figures, and stages nothing. Example: ``100`` or ``0.2``. (templated)
    :param trait_ttl_days: After how many days a trait expires that is not sent again, as Audience
        Manager shows it with the trait; 0 for never. What users still have is said again every two
        thirds of that time, each day for a share of them. For traits with other times a mapping
        from trait IDs, with ``default`` for all others, 120 if it is left out. ``api`` asks Adobe's
        REST API, by the ``api_conn_id`` of the connection. Example: ``90``, ``{"default": 120,
        "24": 30, "28": 0}`` or ``api``. (templated)
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
    :param window_start: First moment of the data, in ISO 8601. A time without a zone is in
        ``window_timezone``. When not given, the window is the run's own: its partition or its data
        interval. Example: ``2026-03-01``. (templated)
    :param window_end: First moment after the data, in ISO 8601. A time without a zone is in
        ``window_timezone``. Example: ``2026-03-02``. (templated)
    :param window_timezone: Name of the time zone in which days begin and ``sql`` runs. UTC when not
        given. PostgreSQL, MySQL and DuckDB read times and dates without a zone in this zone,
        whatever the server or the connection says. Example: ``Europe/Berlin``. (templated)
    :param partitions: Into how many partitions the rows are divided, by user ID. By default one
        task reads all of them, one after the other. Example: ``8``. (templated)
    :param partition_by: What the rows are divided by: an SQL expression for ``sql``, or ``files``
        for ``source``. It must be the same for all rows of a user ID. The default depends on the
        source (``docs/operators.md#partitions``). Example: ``customer_number``. (templated)
    :param partition_bounds: Divides the rows of ``sql`` by ranges of ``partition_by``, which an
        index finds, and not by a hash. It lists where each range but the last ends, in ascending
        order: numbers, texts, dates or times. Example: ``[1000, 2000]`` makes three partitions:
        below 1000 or without a value, from 1000 to below 2000, and from 2000. (templated)
    :param max_set_aside: How many rows may break a rule. A whole number is a count, a fraction is a
        share of the rows read: ``1`` is one row, ``1.0`` is all rows. Over the limit nothing is
        sent. Example: ``100`` or ``0.01``. (templated)
    :param on_empty: What happens when there is nothing to send: ``skip`` or ``fail``. (templated)
    :param compression: How files are packed: ``gzip``, ``none``, or encrypted by PGP: ``pgp`` or
        ``gpg``, which names end in then. When not given, it is ``pgp`` where the connection has a
        public key, and ``gzip`` elsewhere. (templated)
    :param part_bytes: Uncompressed size in bytes at which the next part begins. 1,000,000,000 when
        not given, at most 5,000,000,000. (templated)
    :param compressed_part_bytes: Compressed size in bytes at which the next part begins.
        250,000,000 when not given, at most 997,902,848. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param suppression_sql: One SELECT that gives the suppression list, or the name of a table. Name
        either ``suppression_sql`` or ``suppression_source``. Example: ``SELECT customer_id FROM
        opt_outs``. (templated)
    :param suppression_source: File with the suppression list, the IDs of users of whom nothing is
        sent. It is a URL of a file of the kinds that ``source`` takes, or of a folder of them. A
        CSV file has a header, ``,`` between its fields, and is in UTF-8, or in UTF-16 with its byte
        order mark. Example: ``s3://crm/opt_outs.csv``. (templated)
    :param suppression_conn_id: Connection of the suppression list. For ``suppression_sql`` it is
        the database's. For ``suppression_source`` it is the AWS connection, when that is not the
        one of the staging location. (templated)
    :param suppression_column: Column of the IDs in the suppression list. Needed when the list has
        more than one column. (templated)
    :param suppression_hashed: Says that the suppression list holds the SHA-256 of the IDs, as 64
        hexadecimal digits. (templated)
    :param suppression_allow_empty: Says that the suppression list may be empty, which means that
        nobody is on it. Otherwise an empty list is an error, as it may be a broken one. The
        connection's own list never may. (templated)
    :return: the manifest as plain JSON.
    :raises AirflowFailException: for wrong parameters, for data that breaks the rules beyond
        ``max_set_aside``, for more removals than ``max_removed``; retrying does not help.
    :raises AirflowException: when the database or the staging location does not answer, or another
        task has compared the same extract meanwhile.
    :raises AirflowSkipException: when nothing has changed and ``on_empty="skip"``.

    .. code-block:: python

        SnapshotDiffOperator(
            task_id="compare",
            conn_id="crm",
            sql="SELECT customer_id, traits FROM customers",
            snapshot="customers",
            dpid=478,
            id_column="customer_id",
            traits_column="traits",
        )
    """

    template_fields: Sequence[str] = (
        "snapshot",
        "dpid",
        "id_column",
        "id_kind",
        "target_dpid",
        "traits_column",
        "traits_separator",
        "trait_flags",
        "max_removed",
        "trait_ttl_days",
        "sql",
        "conn_id",
        "parameters",
        "source",
        "source_conn_id",
        "delimiter",
        "encoding",
        "window_start",
        "window_end",
        "window_timezone",
        "partitions",
        "partition_by",
        "partition_bounds",
        "max_set_aside",
        "on_empty",
        "compression",
        "part_bytes",
        "compressed_part_bytes",
        "audience_manager_conn_id",
        "suppression_sql",
        "suppression_source",
        "suppression_conn_id",
        "suppression_column",
        "suppression_hashed",
        "suppression_allow_empty",
    )

    def __init__(
        self,
        *,
        snapshot: str,
        dpid: int | str,
        id_column: str,
        id_kind: str | None = None,
        target_dpid: int | str | None = None,
        traits_column: str | Sequence[str] | None = None,
        traits_separator: str = ",",
        trait_flags: Mapping[str, int | str] | None = None,
        max_removed: float | str = 0.2,
        trait_ttl_days: int | str | Mapping[str | int, int | str] | None = 120,
        sql: str | None = None,
        conn_id: str | None = None,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        source: str | Sequence[str] | None = None,
        source_conn_id: str | None = None,
        delimiter: str = ",",
        encoding: str = "utf-8",
        window_start: str | None = None,
        window_end: str | None = None,
        window_timezone: str | None = None,
        partitions: int | str | None = None,
        partition_by: str | None = None,
        partition_bounds: Sequence[float | str | date] | None = None,
        max_set_aside: float | str = 0.01,
        on_empty: str = "skip",
        compression: str | None = None,
        part_bytes: int | str | None = None,
        compressed_part_bytes: int | str | None = None,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        suppression_sql: str | None = None,
        suppression_source: str | None = None,
        suppression_conn_id: str | None = None,
        suppression_column: str | None = None,
        suppression_hashed: bool | str = False,
        suppression_allow_empty: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.dpid = dpid
        self.id_column = id_column
        self.id_kind = id_kind
        self.target_dpid = target_dpid
        self.traits_column = traits_column
        self.traits_separator = traits_separator
        self.trait_flags = trait_flags
        self.max_removed = max_removed
        self.trait_ttl_days = trait_ttl_days
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.source = source
        self.source_conn_id = source_conn_id
        self.delimiter = delimiter
        self.encoding = encoding
        self.window_start = window_start
        self.window_end = window_end
        self.window_timezone = window_timezone
        self.partitions = partitions
        self.partition_by = partition_by
        self.partition_bounds = partition_bounds
        self.max_set_aside = max_set_aside
        self.on_empty = on_empty
        self.compression = compression
        self.part_bytes = part_bytes
        self.compressed_part_bytes = compressed_part_bytes
        self.audience_manager_conn_id = audience_manager_conn_id
        self.suppression_sql = suppression_sql
        self.suppression_source = suppression_source
        self.suppression_conn_id = suppression_conn_id
        self.suppression_column = suppression_column
        self.suppression_hashed = suppression_hashed
        self.suppression_allow_empty = suppression_allow_empty

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the delivery and return its manifest as plain JSON."""
        from airflow_am_provider.deliveries.data_sources import check_data_sources
        from airflow_am_provider.deliveries.staging import DeliveryContext
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.snapshots.difference import DiffOptions
        from airflow_am_provider.snapshots.series import SnapshotSeries
        from airflow_am_provider.snapshots.staging_difference import stage_difference
        from airflow_am_provider.suppression.source import tell_lists

        with airflow_errors(), cancelled_in_time():
            on_empty = choice("on_empty", self.on_empty, OnEmpty)
            spec = self._spec()
            self.log.info("Target: %s", spec.file_kind.stem)
            source = RowSource.of(self, without=("partition",))
            asked = AskedWindow.of(self)
            window = asked.of_run(context)
            self.log.info("Window: %s", window)
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            check_data_sources(hook, spec.file_kind)
            columns = (spec.id_column, *spec.item_columns)
            lists = SuppressionLists.of(self)
            # First what fails at once, then what takes time.
            options = format_options(hook, self)
            suppression = lists.read(hook, (spec.kind,))
            ttl = self._times_to_live(hook, spec)
            extract = some_text("snapshot", self.snapshot)
            series = SnapshotSeries.of(hook.targets(), hook.destination_name, spec, extract)
            staged = stage_difference(
                lambda: source.rows(hook, columns, window).batches,
                spec,
                options,
                DiffOptions(
                    max_removed=limit("max_removed", self.max_removed, "traits"),
                    suppression=suppression,
                    name_traits=hook.settings.api_conn_id is not None,
                ),
                series=series,
                # The rows are those of this moment, whatever window the run is of: what is
                # extracted later is newer.
                context=DeliveryContext(
                    destination=hook.destination_name,
                    run=f"{context['dag_run'].dag_id}/{context['run_id']}",
                    series=series.location,
                ),
                now=datetime.now(UTC),
                origin=origin_of(context, self.task_id),
                # The same in each attempt, and not this worker's clock.
                run_day=context["dag_run"].run_after.astimezone(UTC).date(),
                ttl=ttl,
            )
            tell_lists(suppression)
            metrics.staged(staged.manifest, spec.file_kind, context["dag_run"].dag_id)
            return report_staged(self.log, staged.manifest, on_empty, hook.staging())

    def _times_to_live(self, hook: AudienceManagerHook, spec: DataFileSpec) -> TimesToLive:
        """When traits expire: as it is set, or as the API says."""
        from airflow_am_provider.snapshots.api_times import BY_API, times_by_api
        from airflow_am_provider.snapshots.refresh import TimesToLive

        if self.trait_ttl_days != BY_API:
            return TimesToLive.parse("trait_ttl_days", self.trait_ttl_days)
        api = api_of(hook, needed_for="trait_ttl_days='api'")
        return times_by_api(api, spec.target_dpid or spec.dpid)

    def _spec(self) -> DataFileSpec:
        from airflow_am_provider.formatting.lines.data_lines import DataFileSpec

        return DataFileSpec(
            dpid=whole_number("dpid", self.dpid),
            target_dpid=optional_whole_number("target_dpid", self.target_dpid),
            id_column=name("id_column", self.id_column),
            id_kind=optional_id_kind(self.id_kind),
            traits_columns=names("traits_column", self.traits_column),
            traits_separator=str(self.traits_separator),
            trait_flags=numbers_by_column("trait_flags", self.trait_flags),
        )
