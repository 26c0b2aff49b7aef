"""Suppression lists: where they lie, and reading them.

A connection may name one list, which holds for every delivery that goes through it; a task may
name another one on top.
"""

from __future__ import annotations

import logging
import re
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.source_files import FolderOpener

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable

    import pyarrow as pa

    from airflow_am_provider.audience_manager.identifiers import IdKind
    from airflow_am_provider.suppression.ids import Suppression

log = logging.getLogger(__name__)

# The name of a table or view, perhaps with its schema and database.
_TABLE = re.compile(r"\w+(\.\w+){0,2}")
_WHOLE_TABLE: Final = "SELECT * FROM :table"


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionSource:
    """Where one list is.

    :param label: what it is called, for messages.
    :param sql: one SELECT, or the name of a table; None for a file.
    :param source: URL of a CSV or Parquet file, or of a folder ending in ``/``; None for a query.
    :param conn_id: the connection of the database, or for S3 where it is not that of staging.
    :param column: the column of the IDs; may be left out where there is only one.
    :param hashed: whether they are SHA-256 hashes of the IDs.
    """

    label: str
    sql: str | None = None
    source: str | None = None
    conn_id: str | None = None
    column: str | None = None
    hashed: bool = False

    @classmethod
    def named(
        cls,
        label: str,
        *,
        sql: str | None,
        source: str | None,
        conn_id: str | None,
        column: str | None,
        hashed: bool,
    ) -> SuppressionSource | None:
        """The list that some settings or parameters name, or None when they name none.

        :param label: what it is called, for messages; the others by their names without
            ``suppression_``.
        :raises ConfigurationError: when they name two, or say of none what it is like.
        """
        for name, value in (("suppression_sql", sql), ("suppression_source", source)):
            # What a template gives for a variable that is not there.
            if value is not None and value.strip() in {"", "None"}:
                raise ConfigurationError(
                    f"{name}: {value!r} names no list, so nobody would be left out; leave the "
                    f"parameter out if that is what you want"
                )
        if sql and source:
            raise ConfigurationError(
                "suppression_sql: a query, and a file as well; name one of them"
            )
        if sql and not conn_id:
            raise ConfigurationError(
                "suppression_conn_id: missing; name the connection that suppression_sql runs on"
            )
        if sql or source:
            return cls(
                label=label,
                sql=sql or None,
                source=source or None,
                conn_id=conn_id or None,
                column=column or None,
                hashed=hashed,
            )
        # Said for a list whose own parameter was misspelt or left empty: nobody would be on it.
        if conn_id or column or hashed:
            raise ConfigurationError(
                "suppression: a list is described and none is named, so nobody would be left out"
            )
        return None

    def batches(self, hook: FolderOpener) -> Generator[pa.RecordBatch]:
        """Read the list."""
        from airflow_am_provider.sources.database_hook import database_hook
        from airflow_am_provider.sources.files import read_sources
        from airflow_am_provider.sources.sql import read_sql

        if self.source:
            columns = None if self.column is None else [self.column]
            return read_sources(
                hook,
                [self.source],
                columns,
                aws_conn_id=self.conn_id,
                asked_by="suppression_conn_id",
            )
        sql = self.sql or ""
        if _TABLE.fullmatch(sql.strip()):
            sql = _WHOLE_TABLE.replace(":table", sql.strip())
        hook_of_list = database_hook(self.conn_id or "", asked_by="suppression_conn_id")
        return read_sql(hook_of_list, sql, None, parameter=f"{self.label}, suppression_sql")


class Settings(Protocol):
    """What a connection says."""

    @property
    def suppression(self) -> SuppressionSource | None:
        """The list that holds for every delivery through it."""
        ...


class Connection(FolderOpener, Protocol):
    """What reading a list needs of an Audience Manager connection."""

    @property
    def settings(self) -> Settings:
        """What it says."""
        ...


def read_suppression(
    hook: Connection,
    sources: Iterable[SuppressionSource],
    *,
    kinds: Collection[IdKind] = (),
    allow_empty: bool = False,
) -> Suppression | None:
    """Read all lists that hold for a delivery: the connection's, and those given here.

    :param hook: the connection.
    :param sources: further lists.
    :param kinds: the kinds of ID that are sent, to count the entries that can be none of them.
    :param allow_empty: whether one of the further lists without any ID means that nobody is on it.
        The connection's is never empty: no task can do without it.
    :return: the IDs; None when no list is named at all.
    :raises ConfigurationError: when a list cannot be read.
    :raises DataError: when one is empty, or its hashes are none.
    """
    from airflow_am_provider.suppression.ids import Suppression

    of_the_connection = hook.settings.suppression
    named = [*sources] if of_the_connection is None else [of_the_connection, *sources]
    if not named:
        return None
    suppression = Suppression()
    for source in named:
        with closing(source.batches(hook)) as batches:
            count = suppression.add(
                batches,
                source.label,
                column=source.column,
                hashed=source.hashed,
                allow_empty=allow_empty and source is not of_the_connection,
                kinds=kinds,
            )
        log.info("%s: %s IDs", source.label, f"{count:,}")
    return suppression


def tell_lists(suppression: Suppression | None) -> None:
    """Log of each list how many of its entries can be no ID, and how many were found.

    :param suppression: the lists, after all rows were looked at.
    """
    for one in () if suppression is None else suppression.lists:
        log.log(logging.INFO if one.found else logging.WARNING, "%s", one)
