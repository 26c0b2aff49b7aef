"""Where batches of segment files are loaded, and how their lines are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_am_provider.audience_manager.api.answers import Mapping as SegmentMapping
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.layout import Layout
    from airflow_am_provider.outbound.load_report import LoadReport
    from airflow_am_provider.outbound.segment_names import SegmentNames
    from airflow_am_provider.outbound.statements import Tables
    from airflow_am_provider.sources.database_hook import DbApiHook
    from airflow_am_provider.storage import Folder


class LoadTarget(Protocol):
    """Where batches are loaded."""

    def reports(self, batches: Sequence[Batch]) -> Mapping[str, dict[str, Any]]:
        """What became of each batch when it was loaded, by its ID; nothing where it was not."""
        ...

    def report_of_gone(self, batch_id: str) -> Mapping[str, Any]:
        """The same of one whose files are not there any more; nothing where it is not loaded."""
        ...

    def note_announced(
        self, report: Mapping[str, Any], teller: dict[str, Any], *, tells: bool = True
    ) -> bool:
        """Write down who tells Airflow of a loaded batch; False when it is not theirs to tell.

        :param report: what became of it when it was loaded.
        :param tells: False to take back what an earlier try of the same task has noted.
        """
        ...

    def load(self, inbox: Inbox, batch: Batch, *, loads_again: bool) -> LoadReport | None:
        """Load a batch: all of it or nothing.

        :param loads_again: whether it is loaded although it is there, as it is now.
        :return: None when it was not, as another load has done it that was waited for.
        """
        ...

    def catch_up(self, destination: int | None) -> None:
        """Bring up to date what is kept of all batches together.

        :param destination: whose batches are loaded here; None for all.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How lines become rows.

    :param layout: how lines are made.
    :param names: what segments are called; None for rows without names.
    """

    layout: Layout
    names: SegmentNames | None

    def mappings(self, batch: Batch) -> tuple[SegmentMapping, ...] | None:
        """What the segments of a batch's destination are called; None for no names."""
        return None if self.names is None else self.names.of(batch.destination)


@dataclass(frozen=True, kw_only=True)
class ParquetTarget:
    """A folder of Parquet files."""

    folder: Folder
    reading: Reading

    def reports(self, batches: Sequence[Batch]) -> dict[str, dict[str, Any]]:
        """By each file's own metadata."""
        from airflow_am_provider.outbound.parquet import loaded_report

        return {batch.batch_id: loaded_report(self.folder, batch) for batch in batches}

    def report_of_gone(self, batch_id: str) -> Mapping[str, Any]:
        """By the metadata of the file that is called like it."""
        from airflow_am_provider.outbound.parquet import find_report

        return find_report(self.folder, batch_id)

    def note_announced(
        self, report: Mapping[str, Any], teller: dict[str, Any], *, tells: bool = True
    ) -> bool:
        """In a file beside."""
        from airflow_am_provider.outbound.parquet import note_announced

        return note_announced(self.folder, report, teller, tells=tells)

    def load(self, inbox: Inbox, batch: Batch, *, loads_again: bool) -> LoadReport | None:
        """Write a file, which appears whole."""
        from airflow_am_provider.outbound.parquet import load_into_parquet

        mappings = self.reading.mappings(batch)
        return load_into_parquet(inbox, batch, self.folder, self.reading.layout, mappings)

    def catch_up(self, destination: int | None) -> None:
        """Nothing is: each batch has a file."""


@dataclass(frozen=True, kw_only=True)
class TableTarget:
    """A table of a database."""

    hook: DbApiHook
    tables: Tables
    reading: Reading

    def reports(self, batches: Sequence[Batch]) -> dict[str, dict[str, Any]]:
        """By the table of batches beside it."""
        from airflow_am_provider.outbound.table import loaded_reports

        return loaded_reports(self.hook, self.tables, [one.batch_id for one in batches])

    def report_of_gone(self, batch_id: str) -> Mapping[str, Any]:
        """By the table of batches beside it."""
        from airflow_am_provider.outbound.table import loaded_reports

        return loaded_reports(self.hook, self.tables, [batch_id]).get(batch_id, {})

    def note_announced(
        self, report: Mapping[str, Any], teller: dict[str, Any], *, tells: bool = True
    ) -> bool:
        """In the table of batches beside it."""
        from airflow_am_provider.outbound.table import note_announced

        return note_announced(self.hook, self.tables, report, teller, tells=tells)

    def load(self, inbox: Inbox, batch: Batch, *, loads_again: bool) -> LoadReport | None:
        """Write rows in one transaction."""
        from airflow_am_provider.outbound.table import load_into_table

        layout, mappings = self.reading.layout, self.reading.mappings(batch)
        return load_into_table(
            inbox, batch, self.hook, self.tables, layout, mappings, loads_again=loads_again
        )

    def catch_up(self, destination: int | None) -> None:
        """The current table, where there is one."""
        from airflow_am_provider.outbound.table import catch_up

        catch_up(self.hook, self.tables, self.reading.layout, destination)


@dataclass(frozen=True, kw_only=True)
class CopyTarget(TableTarget):
    """A table that takes its rows from Parquet files."""

    stage: Folder
    copy_sql: str

    def load(self, inbox: Inbox, batch: Batch, *, loads_again: bool) -> LoadReport | None:
        """Write a file, and have the database read it."""
        from airflow_am_provider.outbound.table import load_by_copy

        return load_by_copy(
            inbox,
            batch,
            self.stage,
            self.hook,
            self.tables,
            self.copy_sql,
            self.reading.layout,
            self.reading.mappings(batch),
        )
