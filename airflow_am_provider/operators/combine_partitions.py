"""Makes one delivery of the partitions that mapped tasks formatted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.formatting.choices import OnEmpty
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.operators._staging import report_staged
from airflow_am_provider.operators._staging_task import StagingTask
from airflow_am_provider.operators._watermark import note_outcome
from airflow_am_provider.parameters import choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

__all__ = ["CombinePartitionsOperator"]


class CombinePartitionsOperator(StagingTask):
    """Make one delivery, with one numbering and one manifest, of all partitions of a source.

    Parts stay where they lie in staging; nothing is read or written again but the lists of rows
    that were set aside, and the parts of an ``.overwrite`` where ``partition_by`` was given: no
    user may be in two partitions then. ``max_set_aside`` of the format task holds for all
    partitions together.

    :param formatted: What the format operator returned for each partition: the ``.output`` of the
        mapped task. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param on_empty: What happens when there is nothing to send: ``skip`` or ``fail``. (templated)
    :return: the manifest as plain JSON, as of a format operator without partitions.
    :raises AirflowSkipException: when there is nothing to send, unless ``on_empty`` is ``fail``.
    :raises AirflowFailException: when a partition is missing or there twice, when they do not
        belong together, or when more rows were set aside than allowed.

    Example::

        partition = FormatDataFileOperator.partial(
            task_id="format_partition", conn_id="crm", sql="SELECT id, traits FROM customers",
            dpid=478, id_column="id", traits_column="traits", partitions=8,
        ).expand(partition=list(range(8)))
        combine = CombinePartitionsOperator(task_id="combine", formatted=partition.output)
        upload = UploadOperator(task_id="upload", manifest=combine.output)
    """

    template_fields: Sequence[str] = ("formatted", "audience_manager_conn_id", "on_empty")
    template_fields_renderers: ClassVar[dict[str, str]] = {"formatted": "json"}

    def __init__(
        self,
        *,
        formatted: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        on_empty: str = "skip",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.formatted = formatted
        self.audience_manager_conn_id = audience_manager_conn_id
        self.on_empty = on_empty

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Combine the partitions."""
        from airflow_am_provider.deliveries.combining import FormattedPartition, combine
        from airflow_am_provider.deliveries.target.names import target_of
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        with airflow_errors():
            on_empty = choice("on_empty", self.on_empty, OnEmpty)
            partitions = [FormattedPartition.from_json(one) for one in _listed(self.formatted)]
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            targets = hook.targets()
            origin = origin_of(context, self.task_id)
            manifest = combine(partitions, targets, now=datetime.now(UTC), origin=origin)
            self.log.info(
                "%s combined: %s",
                counted(len(partitions), "partition"),
                counted(len(manifest.parts), "file"),
            )
            content = partitions[0].content
            target = targets.named(content.context.destination, target_of(content.file_kind))
            metrics.staged(manifest, content.file_kind, origin.dag_id if origin else "")
            note_outcome(target, content.context.watermark, manifest, on_empty)
            return report_staged(self.log, manifest, on_empty, targets.staging)


def _listed(formatted: Any) -> list[object]:
    return [formatted] if isinstance(formatted, dict) else list(formatted or ())
