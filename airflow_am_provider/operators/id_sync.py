"""Extract ID sync files: IDs of the same people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.names import IdSyncPrefix
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.operators._staging_task import RowsTask
from airflow_am_provider.parameters import choice, flag, names, whole_number, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from airflow_am_provider.formatting.lines.line_writer import LineWriter

__all__ = ["IdSyncExtractOperator"]


class IdSyncExtractOperator(RowsTask):
    """Extract IDs of the same people and stage them as an ID sync file.

    Audience Manager skips data of users it cannot map, so an ID sync goes first, and the data
    waits for its receipt (id-sync-file-based.md). A row of which any ID is on a suppression list is
    set aside.

    :param master_dpid: Number of the data source of the first column. 0 stands for AAM UUIDs. In a
        ``c2c_id`` file it is the CRM's. Example: ``0``. (templated)
    :param dpids: Numbers of the data sources of the other columns, in the order of the columns.
        Example: ``[478]`` or ``478,479``. (templated)
    :param columns: Columns with the IDs, the master's first. In a ``c2c_id`` file all others hold
        e-mails, and rows of one CRM ID must follow each other. Example: ``["aam_uuid",
        "customer_id"]``. (templated)
    :param prefix: ``adobe_id`` maps device IDs to device IDs or CRM IDs. ``c2c_id`` maps CRM IDs to
        hashed e-mails. (templated)
    :param hash_columns: Those of the columns that hold plain e-mail addresses. They are trimmed,
        lower-cased and hashed with SHA-256 before they leave the task. Example: ``["email"]``.
        (templated)
    :param allow_crm_master: Permit CRM IDs as master of an ``adobe_id`` file. Use it when an
        earlier file synchronised these IDs. (templated)
    :param refuse_hyphens: Set rows aside in which a MAID, TIFA or Vizio IFA has hyphens. Otherwise
        they are sent, with a warning: Adobe has not confirmed hyphens. (templated)
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
    :param watermark_start: Turns on the watermark, for runs that have neither a partition nor a
        data interval: the start of the very first window, in ISO 8601. Each later window goes from
        the end of the last window whose delivery was sent to the moment at which the run was due
        (``run_after``). Runs that are scheduled or triggered by assets move the watermark.
        Backfills never use it. Example: ``2026-01-01``. (templated)
    :param partitions: Into how many partitions the rows are divided, by user ID. By default one
        task reads all of them, one after the other. Example: ``8``. (templated)
    :param partition: Which partition this task formats, counted from 0. This is what to
        ``.expand()`` over.
        :class:`~airflow_am_provider.operators.combine_partitions.CombinePartitionsOperator` then
        makes one delivery of all partitions. (templated)
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
    :return: the manifest as plain JSON; with ``partition``, what
        :class:`~airflow_am_provider.operators.combine_partitions.CombinePartitionsOperator` takes.
    :raises AirflowFailException: for wrong parameters, and for data that breaks the rules beyond
        ``max_set_aside``; retrying does not help.
    :raises AirflowException: when the database or the staging location does not answer.
    :raises AirflowSkipException: when there is nothing to send and ``on_empty="skip"``.

    .. code-block:: python

        IdSyncExtractOperator(
            task_id="extract_ids",
            conn_id="crm",
            sql="SELECT aam_uuid, customer_id FROM customers WHERE aam_uuid IS NOT NULL",
            master_dpid=0,
            dpids=[478],
            columns=["aam_uuid", "customer_id"],
        )
    """

    template_fields: Sequence[str] = (
        "master_dpid",
        "dpids",
        "columns",
        "prefix",
        "hash_columns",
        "allow_crm_master",
        "refuse_hyphens",
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
        "watermark_start",
        "partitions",
        "partition",
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
        master_dpid: int | str,
        dpids: Sequence[int | str] | int | str,
        columns: Sequence[str],
        prefix: str = "adobe_id",
        hash_columns: Sequence[str] | str = (),
        allow_crm_master: bool | str = False,
        refuse_hyphens: bool | str = False,
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
        watermark_start: str | None = None,
        partitions: int | str | None = None,
        partition: int | str | None = None,
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
        self.master_dpid = master_dpid
        self.dpids = dpids
        self.columns = columns
        self.prefix = prefix
        self.hash_columns = hash_columns
        self.allow_crm_master = allow_crm_master
        self.refuse_hyphens = refuse_hyphens
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
        self.watermark_start = watermark_start
        self.partitions = partitions
        self.partition = partition
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

    def _line_writer(self) -> LineWriter:
        from airflow_am_provider.formatting.lines.id_sync import id_sync_writer
        from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncSpec

        return id_sync_writer(
            IdSyncSpec(
                master_dpid=whole_number("master_dpid", self.master_dpid),
                dpids=whole_numbers("dpids", self.dpids),
                columns=names("columns", self.columns),
                prefix=choice("prefix", self.prefix, IdSyncPrefix),
                hash_columns=names("hash_columns", self.hash_columns),
                allow_crm_master=flag("allow_crm_master", self.allow_crm_master),
                refuse_hyphens=flag("refuse_hyphens", self.refuse_hyphens),
            )
        )
