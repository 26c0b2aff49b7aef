"""A batch as rows of a database table: all of them or none, in one transaction.

The rows of a batch are those with its name in the column ``batch``; a batch that comes again
replaces them. A second table, on request, holds what is current: a row for each user and segment,
with ``since`` and ``until``. What is written how stands in
:mod:`~airflow_am_provider.outbound.statements`.
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.outbound.counts import ReadCounts
from airflow_am_provider.outbound.dialects import dialect_of
from airflow_am_provider.outbound.layout import BASIC, Layout
from airflow_am_provider.outbound.load_report import LoadReport, is_free
from airflow_am_provider.outbound.parquet import batch_path, load_into_parquet
from airflow_am_provider.outbound.reading import read_batch
from airflow_am_provider.outbound.rows import Rows, schema_with
from airflow_am_provider.outbound.statements import PROBE, Statements
from airflow_am_provider.sources.database_hook import connect
from airflow_am_provider.sources.sql_errors import without_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_am_provider.audience_manager.api.answers import Mapping as SegmentMapping
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.dialects import Dialect
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.statements import Tables
    from airflow_am_provider.sources.database_hook import DbApiHook
    from airflow_am_provider.storage.folder import Folder

_QUOTABLE: Final = re.compile(r"[A-Za-z0-9_./:=+@-]+")


def load_into_table(
    inbox: Inbox,
    batch: Batch,
    hook: DbApiHook,
    tables: Tables,
    layout: Layout = BASIC,
    mappings: Sequence[SegmentMapping] | None = None,
    *,
    loads_again: bool = True,
) -> LoadReport | None:
    """Load a complete batch in one transaction.

    :param inbox: where the batch lies.
    :param hook: the database's.
    :param tables: where rows go.
    :param layout: how its lines are made.
    :param mappings: the destination's, for the table of segments' names; None for none.
    :param loads_again: whether it is loaded although it is there, as it is now.
    :return: None when it was not, as another load has done it that was waited for.
    :raises ConfigurationError: when the database has no transactions, or cannot keep a current
        table.
    :raises TransientError: when a file is not, or not yet, what its control file says.
    :raises DataError: when a file cannot be read, or the database does not take a row.
    """
    counts = ReadCounts()
    rows = Rows(batch, layout.more)
    if not dialect_of(hook).is_known:
        _prove_transactions(hook, tables)
    with _statements(hook, tables) as statements:
        statements.make_tables(rows.schema)
        if mappings:
            statements.make_names_table()
        statements.lock()
        kept = {} if loads_again else statements.reports([batch.batch_id]).get(batch.batch_id, {})
        if kept.get("version") == batch.version:
            return None
        why_anew = statements.why_anew(batch)
        statements.forget(batch)
        blocks = read_batch(inbox, batch, counts, layout)
        statements.add((rows.of(block) for block in blocks if len(block.lines.ids)), rows.schema)
        report = LoadReport.of(batch, tables.rows, counts)
        statements.note(batch, report)
        if mappings:
            statements.name_segments(batch.destination, mappings)
        statements.take_in(batch, why_anew)
    return report


def catch_up(
    hook: DbApiHook, tables: Tables, layout: Layout = BASIC, destination: int | None = None
) -> None:
    """Have the current table take in what it lacks of batches that are loaded.

    Those may have been loaded before there was one, or by a task that keeps none. What it lacks
    nothing of stays as it is.

    :param tables: where rows go; nothing is done without a current table.
    :param layout: how lines are made.
    :param destination: whose batches it has; None for all.
    :raises ConfigurationError: when the database cannot keep a current table.
    :raises DataError: when it is not known of a batch whether it is full.
    """
    if tables.current is None:
        return
    with _statements(hook, tables) as statements:
        statements.make_batches_table()
        if statements.has_batches():
            statements.make_tables(schema_with(layout.more))
            statements.lock()
            statements.catch_up(destination)


def load_by_copy(
    inbox: Inbox,
    batch: Batch,
    stage: Folder,
    hook: DbApiHook,
    tables: Tables,
    copy_sql: str,
    layout: Layout = BASIC,
    mappings: Sequence[SegmentMapping] | None = None,
) -> LoadReport:
    """Write a batch into a Parquet file, and have the database take it from there.

    The statement runs in one transaction with the deletion of what was there of the batch, and the
    rows are counted before that ends.

    :param inbox: where the batch lies.
    :param stage: the folder that gets the file, which the database can read.
    :param hook: the database's.
    :param tables: where rows go: a table with the columns of the file, which has to be there.
    :param copy_sql: the database's own statement, with ``{table}``, and ``{url}`` or ``{path}``,
        which is the file's relative to ``stage``.
    :param layout: how its lines are made.
    :param mappings: the destination's, for the names of segments; None for no names.
    :raises ConfigurationError: when the database has no transactions.
    :raises TransientError: when a file is not, or not yet, what its control file says, or the
        database has another number of rows than the file.
    :raises DataError: when a file cannot be read.
    """
    path = batch_path(batch)
    url = f"{stage.url.rstrip('/')}/{path}"
    if not _QUOTABLE.fullmatch(url):
        # It may be in quotes there, and names of files are somebody else's.
        raise DataError(
            f"batch {printable(batch.batch_id)}: {printable(url)!r} has characters that do not go "
            f"into a statement; letters, digits and _ . / : = + @ - do"
        )
    if not dialect_of(hook).is_known:
        _prove_transactions(hook, tables)
    counts = load_into_parquet(inbox, batch, stage, layout, mappings).counts
    report = LoadReport.of(batch, tables.rows, counts)
    with _statements(hook, tables) as statements:
        statements.make_batches_table()
        statements.lock()
        statements.forget(batch)
        for name, value in (("{table}", tables.rows), ("{url}", url), ("{path}", path)):
            copy_sql = copy_sql.replace(name, value)
        statements.copy(copy_sql)
        statements.check_count(batch, counts.lines_loaded)
        statements.note(batch, report)
    return report


def loaded_reports(
    hook: DbApiHook, tables: Tables, batch_ids: Sequence[str], *, makes_table: bool = True
) -> dict[str, dict[str, Any]]:
    """What became of each batch when it was loaded; those that are not are left out.

    :param makes_table: whether the table of batches is made where it is not there yet.
    """
    with _statements(hook, tables, locks=makes_table) as statements:
        if makes_table:
            statements.make_batches_table()
        return statements.reports(batch_ids)


def note_announced(
    hook: DbApiHook,
    tables: Tables,
    report: Mapping[str, Any],
    teller: dict[str, Any],
    *,
    tells: bool = True,
) -> bool:
    """Write down who tells Airflow of a loaded batch.

    :param report: what became of the batch when it was loaded.
    :param teller: as for :func:`~airflow_am_provider.outbound.load_report.is_free`.
    :param tells: False to take back what an earlier try of the same task has noted.
    :return: False when it is not theirs to tell, or it is loaded in another version by now.
    """
    with _statements(hook, tables) as statements:
        statements.lock()
        kept = statements.reports([report["batch"]]).get(report["batch"], {})
        is_theirs = kept.get("version") == report["version"] and is_free(kept, teller)
        if is_theirs:
            statements.note_announced(kept, teller if tells else None)
        return is_theirs


@contextmanager
def _statements(hook: DbApiHook, tables: Tables, *, locks: bool = True) -> Iterator[Statements]:
    """One transaction: all of it or nothing. What the database says of an error quotes no row.

    :param locks: whether other loads into the same tables are kept out from its begin.
    """
    dialect = dialect_of(hook)
    if tables.current and dialect.numbers is None:
        raise ConfigurationError(
            f"current_table: it is kept in PostgreSQL, MySQL and SQLite; in others, make it a view "
            f"of {tables.rows}"
        )
    _check_length(tables, dialect)
    with closing(connect(hook)) as connection:
        statements = Statements(connection.cursor(), dialect, tables)
        with without_rows(lambda: statements.last, f"table {tables.rows}"):
            _begin(connection, hook)
            try:
                if locks:
                    statements.lock_first()
                yield statements
                connection.commit()
            except BaseException:
                # A line that is lost has nothing to roll back, and says less than what was raised.
                with suppress(Exception):
                    connection.rollback()
                raise


def _check_length(tables: Tables, dialect: Dialect) -> None:
    """See that no name is cut off: that of the table beside would be the table's own."""
    for parameter, named, name in (
        ("table", tables.rows, tables.batches),
        ("current_table", tables.current or "", tables.current or ""),
    ):
        last = name.rpartition(".")[2]
        if dialect.longest_name is not None and len(last) > dialect.longest_name:
            raise ConfigurationError(
                f"{parameter}: {named!r} is too long; {last} has {len(last)} characters, and the "
                f"database takes {dialect.longest_name}"
            )


def _begin(connection: Any, hook: DbApiHook) -> None:
    if hook.supports_autocommit:
        hook.set_autocommit(connection, False)
    # Some drivers begin a transaction only when they are asked.
    begin = getattr(connection, "begin", None)
    if callable(begin):
        begin()


def _prove_transactions(hook: DbApiHook, tables: Tables) -> None:
    """See that what is rolled back is gone, in a database of which that is not known.

    :raises ConfigurationError: when it is not: a load that is killed would leave half a batch.
    """
    with closing(connect(hook)) as connection:
        statements = Statements(connection.cursor(), dialect_of(hook), tables)
        with without_rows(lambda: statements.last, f"table {tables.rows}"):
            _begin(connection, hook)
            statements.make_batches_table()
            connection.commit()
            _begin(connection, hook)
            statements.note_probe()
            try:
                connection.rollback()
                is_gone = not statements.reports([PROBE])
            except Exception:  # noqa: BLE001  # each driver has errors of its own
                is_gone = False
            if not is_gone:
                statements.forget_probe()
                connection.commit()
                raise ConfigurationError(
                    f"conn_id: what is rolled back stays in {tables.batches}, so that a load that "
                    f"is killed would leave half a batch. Load into Parquet (into='s3://…'), and "
                    f"let the database take it from there"
                )
