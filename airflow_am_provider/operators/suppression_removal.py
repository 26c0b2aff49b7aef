"""Takes back what was sent of users who have opted out since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.identifiers import id_kind
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.parameters import optional_whole_number, whole_number
from airflow_am_provider.links import StagingLink
from airflow_am_provider.operators._stage_delivery import report_staged
from airflow_am_provider.operators._suppressing import SuppressingOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.staging import DeliveryContext
    from airflow_am_provider.formatting.lines.data_lines import DataLineWriter
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.suppression.ids import Suppression

__all__ = ["SuppressionRemovalOperator"]


class SuppressionRemovalOperator(SuppressingOperator):
    """Find which users on the suppression list were sent, and stage the removal of their traits.

    Deliveries of the target that lie in staging say which traits were given and taken away. A user
    on the list who has some left gets a line of ``d_unsid`` in a ``.sync`` file
    (inbound-file-contents.md). Users whose traits were removed already are not sent again. Signals
    and ID syncs cannot be taken back by a file.

    What was cleaned from staging is not found: run this more often than the retention of
    :class:`~airflow_am_provider.operators.clean_staging.CleanStagingOperator` is long.

    :param dpid: Number of the data source of the user IDs. Example: ``478``. (templated)
    :param target_dpid: Number of the data source of the traits, when it is not ``dpid``.
        (templated)
    :param id_kind: Kind of the user ID. It follows from ``dpid``, so it is needed only to say
        ``aam_uuid`` for a data source of your own. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)

    For the list see :class:`~airflow_am_provider.operators._suppressing.SuppressingOperator`; that
    of the connection holds here, too.

    :return: the manifest as plain JSON, for
        :class:`~airflow_am_provider.operators.upload.UploadOperator`.
    :raises AirflowSkipException: when nothing is to be removed.
    :raises AirflowFailException: for wrong parameters, and for a list that is empty or cannot be
        read.

    .. code-block:: python

        remove = SuppressionRemovalOperator(task_id="remove", dpid=478)
        upload = UploadOperator(task_id="upload", manifest=remove.output)
    """

    template_fields: Sequence[str] = (
        *SuppressingOperator.template_fields,
        "dpid",
        "target_dpid",
        "id_kind",
        "audience_manager_conn_id",
    )
    operator_extra_links = (StagingLink(),)
    ui_color = "#f7e0d4"

    def __init__(
        self,
        *,
        dpid: int | str,
        target_dpid: int | str | None = None,
        id_kind: str | None = None,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dpid = dpid
        self.target_dpid = target_dpid
        self.id_kind = id_kind
        self.audience_manager_conn_id = audience_manager_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the removals."""
        from airflow_am_provider.deliveries.data_sources import check_data_sources
        from airflow_am_provider.deliveries.staging import DeliveryContext
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.suppression.source import tell_lists

        with airflow_errors():
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            writer = self._writer()
            check_data_sources(hook, writer.file_kind)
            suppression = self.suppression(hook, writer.id_kinds)
            if suppression is None:
                raise ConfigurationError(
                    "suppress_sql, suppress_source: no suppression list is named, here or in the "
                    "connection"
                )
            dag_id, run_id = context["dag_run"].dag_id, context["run_id"]
            delivery_context = DeliveryContext(
                destination=hook.destination_name,
                run=f"{dag_id}/{run_id}",
                series=f"{dag_id}/{self.task_id}",
            )
            manifest = self._staged(hook, writer, suppression, delivery_context)
            tell_lists(suppression)
            return report_staged(self.log.info, manifest, "skip")

    def _writer(self) -> DataLineWriter:
        from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
        from airflow_am_provider.suppression.removals import ID_COLUMN, TRAITS_COLUMN

        return DataLineWriter(
            DataFileSpec(
                dpid=whole_number("dpid", self.dpid),
                target_dpid=optional_whole_number("target_dpid", self.target_dpid),
                id_column=ID_COLUMN,
                id_kind=id_kind(self.id_kind) if self.id_kind else None,
                removed_traits_columns=(TRAITS_COLUMN,),
            )
        )

    def _staged(
        self,
        hook: AudienceManagerHook,
        writer: DataLineWriter,
        suppression: Suppression,
        delivery_context: DeliveryContext,
    ) -> Manifest:
        from airflow_am_provider.deliveries.staging import stage_delivery
        from airflow_am_provider.formatting.pipeline import FormatOptions
        from airflow_am_provider.suppression.removals import removals
        from airflow_am_provider.suppression.sent_data import data_uploads, still_there

        targets = hook.targets()
        sent = data_uploads(targets, destination=hook.destination_name, file_kind=writer.file_kind)
        staging = targets.staging
        return stage_delivery(
            removals(staging, still_there(staging, sent), suppression),
            writer,
            targets,
            # An ID that went through once is not held up by a rule that came later.
            FormatOptions(max_set_aside=1.0),
            context=delivery_context,
            now=datetime.now(UTC),
        )
