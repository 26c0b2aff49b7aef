"""Deliver what has changed since the last acknowledged extract: additions and removals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.identifiers import id_kind
from airflow_am_provider.formatting.acceptance import limit
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.parameters import (
    name,
    names,
    numbers_by_column,
    optional_whole_number,
    some_text,
    whole_number,
)
from airflow_am_provider.operators._stage_delivery import (
    StageDeliveryOperator,
    check_on_empty,
    report_staged,
)
from airflow_am_provider.operators._window import window_of
from airflow_am_provider.sources.running_queries import cancelled_in_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec

__all__ = ["SnapshotDiffOperator"]


class SnapshotDiffOperator(StageDeliveryOperator):
    """Compare a full extract with the last acknowledged one, and stage what has changed.

    Each user that has changed becomes ``USERID<TAB>d_sid=…,d_unsid=…`` in a ``.sync`` file
    (inbound-file-contents.md); users that are no more in the extract lose all their traits. What
    was delivered and is not acknowledged counts as perhaps arrived, perhaps not: the file is right
    either way. Without an acknowledged extract before, everything is an addition.

    A row that breaks a rule is set aside, and takes nothing away from its user; one of a user on a
    suppression list takes away all that the user has. Only traits can be compared: nothing takes an
    ``ic`` code or a signal back.

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

    All parameters are template fields. For the source, staging and limits see
    :class:`~airflow_am_provider.operators._stage_delivery.StageDeliveryOperator`; ``partition``
    and ``watermark_start`` are refused, as a share of the rows would remove all others.

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
        *StageDeliveryOperator.template_fields,
        "snapshot",
        "dpid",
        "id_column",
        "id_kind",
        "target_dpid",
        "traits_column",
        "traits_separator",
        "trait_flags",
        "max_removed",
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the delivery and return its manifest as plain JSON."""
        from airflow_am_provider.deliveries.data_sources import check_data_sources
        from airflow_am_provider.deliveries.staging import DeliveryContext
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.operators._source_rows import source_rows
        from airflow_am_provider.snapshots.difference import DiffOptions
        from airflow_am_provider.snapshots.series import SnapshotSeries
        from airflow_am_provider.snapshots.staging_difference import stage_difference
        from airflow_am_provider.suppression.source import tell_lists

        with airflow_errors(), cancelled_in_time():
            if self.watermark_start not in (None, "", "None"):
                raise ConfigurationError(
                    "watermark_start: what is compared is a full extract; one that begins where "
                    "the last one ended would remove everybody else"
                )
            window = window_of(context, self.window_start, self.window_end, zone=self._zone())
            self.log.info("Window: %s", window)
            check_on_empty(self.on_empty)
            bounds = self._bounds()
            count, partition = self._partition(window, bounds)
            if partition is not None:
                raise ConfigurationError(
                    "partition: a share of the rows would remove all others; leave it out, with "
                    "partitions one task reads all of them"
                )
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            spec = self._spec()
            check_data_sources(hook, spec.file_kind)
            columns = (spec.id_column, *spec.item_columns)
            destination = hook.destination_name
            suppression = self.suppression(hook, (spec.kind,))
            extract = some_text("snapshot", self.snapshot)
            series = SnapshotSeries.of(hook.targets(), destination, spec, extract)
            staged = stage_difference(
                lambda: source_rows(self, hook, columns, window, count, None, bounds).batches,
                spec,
                self._options(),
                DiffOptions(
                    max_removed=limit("max_removed", self.max_removed, "traits"),
                    suppression=suppression,
                ),
                series=series,
                # The rows are those of this moment, whatever window the run is of: what is
                # extracted later is newer.
                context=DeliveryContext(
                    destination=destination,
                    run=f"{context['dag_run'].dag_id}/{context['run_id']}",
                    series=series.location,
                ),
                now=datetime.now(UTC),
            )
            tell_lists(suppression)
            return report_staged(self.log.info, staged.manifest, self.on_empty)

    def _spec(self) -> DataFileSpec:
        from airflow_am_provider.formatting.lines.data_lines import DataFileSpec

        return DataFileSpec(
            dpid=whole_number("dpid", self.dpid),
            target_dpid=optional_whole_number("target_dpid", self.target_dpid),
            id_column=name("id_column", self.id_column),
            id_kind=id_kind(self.id_kind) if self.id_kind else None,
            traits_columns=names("traits_column", self.traits_column),
            traits_separator=str(self.traits_separator),
            trait_flags=numbers_by_column("trait_flags", self.trait_flags),
        )
