"""Takes back what was sent of users who have opted out since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.formatting.choices import OnEmpty
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.operators._packing import packing_of
from airflow_am_provider.operators._staging import (
    report_staged,
)
from airflow_am_provider.operators._staging_task import StagingTask
from airflow_am_provider.operators._suppression import SuppressionLists
from airflow_am_provider.parameters import optional_id_kind, optional_whole_number, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.staging import DeliveryContext
    from airflow_am_provider.formatting.lines.data_lines import DataLineWriter
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.suppression.ids import Suppression

__all__ = ["SuppressionRemovalOperator"]


class SuppressionRemovalOperator(StagingTask):
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
        "dpid",
        "target_dpid",
        "id_kind",
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
        dpid: int | str,
        target_dpid: int | str | None = None,
        id_kind: str | None = None,
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
        self.dpid = dpid
        self.target_dpid = target_dpid
        self.id_kind = id_kind
        self.audience_manager_conn_id = audience_manager_conn_id
        self.suppression_sql = suppression_sql
        self.suppression_source = suppression_source
        self.suppression_conn_id = suppression_conn_id
        self.suppression_column = suppression_column
        self.suppression_hashed = suppression_hashed
        self.suppression_allow_empty = suppression_allow_empty

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the removals."""
        from airflow_am_provider.deliveries.data_sources import check_data_sources
        from airflow_am_provider.deliveries.staging import DeliveryContext
        from airflow_am_provider.formatting.pipeline import FormatOptions
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.suppression.source import tell_lists

        with airflow_errors():
            writer = self._writer()
            self.log.info("Target: %s", writer.file_kind.stem)
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            check_data_sources(hook, writer.file_kind)
            if hook.settings.api_conn_id:
                writer.name_traits()
            encoding, recipient = packing_of(hook)
            # An ID that went through once is not held up by a rule that came later.
            options = FormatOptions(max_set_aside=1.0, encoding=encoding, recipient=recipient)
            lists = SuppressionLists.of(self)
            suppression = lists.read(hook, writer.id_kinds)
            if suppression is None:
                raise ConfigurationError(
                    "suppression_sql, suppression_source: no suppression list is named, here or in "
                    "the connection"
                )
            dag_id, run_id = context["dag_run"].dag_id, context["run_id"]
            delivery_context = DeliveryContext(
                destination=hook.destination_name,
                run=f"{dag_id}/{run_id}",
                series=f"{dag_id}/{self.task_id}",
            )
            origin = origin_of(context, self.task_id)
            manifest = self._staged(hook, writer, suppression, options, delivery_context, origin)
            tell_lists(suppression)
            metrics.staged(manifest, writer.file_kind, dag_id)
            return report_staged(self.log, manifest, OnEmpty.SKIP, hook.staging())

    def _writer(self) -> DataLineWriter:
        from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
        from airflow_am_provider.suppression.removals import ID_COLUMN, TRAITS_COLUMN

        return DataLineWriter(
            DataFileSpec(
                dpid=whole_number("dpid", self.dpid),
                target_dpid=optional_whole_number("target_dpid", self.target_dpid),
                id_column=ID_COLUMN,
                id_kind=optional_id_kind(self.id_kind),
                removed_traits_columns=(TRAITS_COLUMN,),
            )
        )

    def _staged(
        self,
        hook: AudienceManagerHook,
        writer: DataLineWriter,
        suppression: Suppression,
        options: FormatOptions,
        delivery_context: DeliveryContext,
        origin: Origin | None,
    ) -> Manifest:
        from airflow_am_provider.deliveries.staging import stage_delivery
        from airflow_am_provider.suppression.removals import removals
        from airflow_am_provider.suppression.sent_data import data_uploads, still_there

        targets = hook.targets()
        sent = data_uploads(targets, destination=hook.destination_name, file_kind=writer.file_kind)
        staging = targets.staging
        return stage_delivery(
            removals(staging, still_there(staging, sent), suppression),
            writer,
            targets,
            options,
            context=delivery_context,
            now=datetime.now(UTC),
            origin=origin,
        )
