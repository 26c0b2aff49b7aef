"""Where a load puts batches, and how it reads their lines, as its parameters say."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.formatting.acceptance import limit
from airflow_am_provider.operators._load_targets import (
    CopyTarget,
    LoadTarget,
    ParquetTarget,
    Reading,
    TableTarget,
)
from airflow_am_provider.parameters import flag, is_given, optional_whole_number, whole_number

if TYPE_CHECKING:
    from airflow_am_provider.outbound.layout import Layout
    from airflow_am_provider.outbound.segment_names import SegmentNames
    from airflow_am_provider.outbound.statements import Tables
    from airflow_am_provider.sources.database_hook import DbApiHook
    from airflow_am_provider.storage import Folder


@dataclass(frozen=True, kw_only=True)
class LoadParameters:
    """Parameters of a load that say where rows go, and how lines are made.

    Each field is the operator's parameter of the same name, as its template rendered it.
    """

    location: str
    source_conn_id: str | None
    api_conn_id: str | None
    header_lines: int | str
    separator_spaces: int | str | None
    line_template: str | None
    max_set_aside: float | str
    segment_names: bool | str
    into: str | None
    into_aws_conn_id: str | None
    table: str | None
    conn_id: str | None
    current_table: str | None
    copy_sql: str | None

    @classmethod
    def of(cls, task: object) -> LoadParameters:
        """What a task's parameters say.

        :param task: an operator that has them as attributes.
        """
        return cls(**{field.name: getattr(task, field.name) for field in fields(cls)})

    def target(self) -> LoadTarget:
        """Where batches go.

        :raises ConfigurationError: when parameters contradict each other, or one is wrong.
        """
        copies = is_given(self.copy_sql)
        if copies:
            self._check_copy()
        elif is_given(self.into) == is_given(self.table):
            raise ConfigurationError(
                "into or table: one of them says where rows go; both go with copy_sql only"
            )
        if is_given(self.current_table) and not is_given(self.table):
            raise ConfigurationError(
                "current_table: it goes with table, and is in the same database; from Parquet "
                "files, a query says what is current"
            )
        reading = Reading(layout=self._layout(), names=self._names())
        if not is_given(self.table):
            return ParquetTarget(folder=self._folder(), reading=reading)
        hook, tables = self._database()
        if not copies:
            return TableTarget(hook=hook, tables=tables, reading=reading)
        return CopyTarget(
            hook=hook,
            tables=tables,
            reading=reading,
            stage=self._folder(),
            copy_sql=str(self.copy_sql),
        )

    def _folder(self) -> Folder:
        from airflow_am_provider.hooks.outbound_inbox import open_folder

        is_s3 = self.location.startswith("s3://")
        aws_conn_id = self.into_aws_conn_id or (self.source_conn_id if is_s3 else None)
        return open_folder(str(self.into), aws_conn_id, asked_by="into_aws_conn_id")

    def _database(self) -> tuple[DbApiHook, Tables]:
        from airflow_am_provider.outbound.statements import Tables
        from airflow_am_provider.sources.database_hook import database_hook

        if not is_given(self.conn_id):
            raise ConfigurationError(f"conn_id: missing; the table {self.table!r} is in a database")
        current = str(self.current_table) if is_given(self.current_table) else None
        tables = Tables(rows=str(self.table), current=current)
        return database_hook(str(self.conn_id), asked_by="conn_id"), tables

    def _layout(self) -> Layout:
        from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
        from airflow_am_provider.outbound.layout import Layout

        text = self.line_template
        return Layout(
            header_lines=whole_number("header_lines", self.header_lines),
            separator_spaces=optional_whole_number("separator_spaces", self.separator_spaces),
            template=LineTemplate.parse(str(text)) if is_given(text) else None,
            max_set_aside=limit("max_set_aside", self.max_set_aside, "lines"),
        )

    def _check_copy(self) -> None:
        statement = str(self.copy_sql)
        if not (is_given(self.into) and is_given(self.table)):
            raise ConfigurationError(
                "copy_sql: into and table: both are needed, the folder of the Parquet files and "
                "the table that gets their rows"
            )
        if "{table}" not in statement or not ("{url}" in statement or "{path}" in statement):
            raise ConfigurationError(
                "copy_sql: {table}, and {url} or {path}, have to stand in it, for the table and "
                "for the file"
            )
        if is_given(self.current_table):
            raise ConfigurationError(
                "current_table: it does not go with copy_sql; make it a view of the table"
            )

    def _names(self) -> SegmentNames | None:
        if not flag("segment_names", self.segment_names):
            return None
        if not is_given(self.api_conn_id):
            raise ConfigurationError(
                "api_conn_id: missing; segment_names=True asks Adobe's REST API"
            )
        from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook
        from airflow_am_provider.outbound.segment_names import SegmentNames

        return SegmentNames(AudienceManagerApiHook(str(self.api_conn_id)).mappings)
