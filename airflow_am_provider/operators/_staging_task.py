"""What operators share that put a delivery into staging."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.links import DeliveryLink, StagingLink
from airflow_am_provider.operators._row_source import RowSource
from airflow_am_provider.operators._staging import (
    AskedWindow,
    format_options,
    stage_rows,
    staged_in_words,
)
from airflow_am_provider.operators._suppression import SuppressionLists
from airflow_am_provider.sources.running_queries import cancel_queries, cancelled_in_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_am_provider.formatting.lines.line_writer import LineWriter


class StagingTask(BaseOperator):
    """A task that stages a delivery and returns its manifest."""

    operator_extra_links = (StagingLink(), DeliveryLink())
    ui_color = "#f7e0d4"

    def outcome(self, result: dict[str, Any]) -> str:
        """What was staged, for the last line of the log."""
        return staged_in_words(result)

    def get_openlineage_facets_on_complete(
        self, task_instance: Any
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's provider ``openlineage`` is told.

        :param task_instance: whatever it is; the task knows what it did.
        """
        from airflow_am_provider.hooks.lineage import of_format

        return of_format(self)


class QueryTask(StagingTask):
    """One that reads its rows from a database or from files."""

    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}

    def on_kill(self) -> None:
        """End the query as well when the task is ended from outside."""
        cancel_queries()


class RowsTask(QueryTask):
    """One that formats each row for itself; partitions may divide the rows."""

    audience_manager_conn_id: str
    on_empty: str

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the delivery and return its manifest as plain JSON, or that of one partition."""
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        with airflow_errors(), cancelled_in_time():
            writer = self._line_writer()
            # Whatever fails below, the log says for whom.
            self.log.info("Target: %s", writer.file_kind.stem)
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            return stage_rows(
                context,
                hook,
                RowSource.of(self),
                writer,
                window=AskedWindow.of(self),  # type: ignore[arg-type]  # each has them
                suppression=SuppressionLists.of(self),
                options=format_options(hook, self),  # type: ignore[arg-type]  # each has them
                on_empty=self.on_empty,
                task_id=self.task_id,
                log=self.log,
            )

    @abstractmethod
    def _line_writer(self) -> LineWriter:
        """What writes the lines of the file, by the task's parameters."""
