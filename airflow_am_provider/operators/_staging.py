"""What the operators that format have in common: rows in, a delivery in staging out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from airflow_am_provider.airflow_compat import AirflowSkipException
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.figures import lines_in_words, rows_in_words
from airflow_am_provider.deliveries.manifest import nothing_to_send, said_of_joined_rows
from airflow_am_provider.deliveries.reasons import reasons_in_words
from airflow_am_provider.formatting.acceptance import limit
from airflow_am_provider.formatting.choices import OnEmpty
from airflow_am_provider.formatting.remarks import warnings_of
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.origin import map_index_of, origin_of
from airflow_am_provider.operators._packing import packing_of
from airflow_am_provider.operators._watermark import NothingNew, note_outcome, watermark_window
from airflow_am_provider.operators._window import window_of
from airflow_am_provider.parameters import choice, is_given, optional_whole_number
from airflow_am_provider.sources.query_window import Zone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context
    from airflow.sdk.types import Logger

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.deliveries.staging import FormattedContent
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.operators._row_source import RowSource
    from airflow_am_provider.operators._suppression import SuppressionLists
    from airflow_am_provider.operators._window import RunWindow
    from airflow_am_provider.storage.folder import Folder

_logger = logging.getLogger(__name__)


class FormatTask(Protocol):
    """Parameters that each operator has which formats rows, as their templates rendered them."""

    window_start: str | None
    window_end: str | None
    window_timezone: str | None
    max_set_aside: float | str
    compression: str | None
    part_bytes: int | str | None
    compressed_part_bytes: int | str | None


@dataclass(frozen=True, kw_only=True)
class AskedWindow:
    """What a task's parameters say of its window, as their templates rendered them."""

    start: str | None
    end: str | None
    timezone: str | None
    watermark_start: str | None = None

    @classmethod
    def of(cls, task: FormatTask) -> AskedWindow:
        """What a task says; not each kind of task can have a watermark."""
        return cls(
            start=task.window_start,
            end=task.window_end,
            timezone=task.window_timezone,
            watermark_start=getattr(task, "watermark_start", None),
        )

    def of_run(self, context: Context) -> RunWindow:
        """The run's window, where it does not follow from a watermark."""
        return window_of(context, self.start, self.end, zone=self._zone)

    def of_delivery(
        self, context: Context, target: Target, on_empty: OnEmpty, *, is_partition: bool
    ) -> RunWindow:
        """The run's window; where it has none of its own, from the watermark if there is one.

        :param target: the delivery's, which knows up to where rows were delivered.
        :param on_empty: what becomes of the task when all was delivered already.
        :param is_partition: whether the task formats one partition of the delivery.
        """
        zone, begin = self._zone, self.watermark_start
        if not is_given(begin):
            return self.of_run(context)
        left = partial(
            watermark_window, context, target, begin, zone=zone, is_partition=is_partition
        )
        try:
            return window_of(context, self.start, self.end, zone=zone, watermark=left)
        except NothingNew as reason:
            raise _nothing(str(reason), on_empty) from None

    @property
    def _zone(self) -> Zone:
        return Zone.parse("window_timezone", self.timezone)


def format_options(hook: AudienceManagerHook, task: FormatTask) -> FormatOptions:
    """How to write parts, as a task's parameters say."""
    from airflow_am_provider.formatting.parts import PartSizes
    from airflow_am_provider.formatting.pipeline import FormatOptions

    sizes = {
        name: optional_whole_number(name, getattr(task, name))
        for name in ("part_bytes", "compressed_part_bytes")
    }
    encoding, recipient = packing_of(hook, task.compression)
    return FormatOptions(
        encoding=encoding,
        recipient=recipient,
        sizes=PartSizes(**{name: size for name, size in sizes.items() if size is not None}),
        max_set_aside=limit("max_set_aside", task.max_set_aside),
    )


def stage_rows(
    context: Context,
    hook: AudienceManagerHook,
    source: RowSource,
    writer: LineWriter,
    *,
    window: AskedWindow,
    suppression: SuppressionLists,
    options: FormatOptions,
    on_empty: str,
    task_id: str,
    log: Logger,
) -> dict[str, Any]:
    """Read rows, format them, and stage the delivery; or, of a partition, its part of it.

    :return: the manifest as plain JSON, or that of one partition.
    """
    from airflow_am_provider.deliveries.combining import check_can_compare
    from airflow_am_provider.deliveries.data_sources import check_data_sources
    from airflow_am_provider.deliveries.staging import (
        DeliveryContext,
        format_content,
        stage_content,
    )
    from airflow_am_provider.deliveries.target.names import target_of
    from airflow_am_provider.suppression.source import tell_lists

    if_empty, share = choice("on_empty", on_empty, OnEmpty), source.share
    check_data_sources(hook, writer.file_kind)
    if hook.settings.api_conn_id:
        writer.name_traits()
    targets = hook.targets()
    target = targets.named(hook.destination_name, target_of(writer.file_kind))
    found = window.of_delivery(context, target, if_empty, is_partition=share is not None)
    log.info("Window: %s", found)
    if share is not None:
        log.info("Partition %s. %s", share, source.as_of(found))
    writer.suppression = suppression.read(hook, writer.id_kinds)
    now = datetime.now(UTC)
    dag_id, run_id = context["dag_run"].dag_id, context["run_id"]
    rows = source.rows(hook, writer.columns, found)
    if share is not None and not rows.is_by_user:
        check_can_compare(writer.file_kind.packed(options.encoding))
    content = format_content(
        rows.batches,
        writer,
        targets.staging,
        replace(options, is_partition=share is not None),
        context=DeliveryContext(
            destination=hook.destination_name,
            window=found.of_data,
            run=f"{dag_id}/{run_id}",
            series=f"{dag_id}/{task_id}",
            # Partitions, mapped or not, are shares of one delivery.
            map_index=-1 if share is not None else map_index_of(context),
            watermark=found.watermark,
        ),
        now=now,
    )
    if share is None:
        tell_lists(writer.suppression)
        origin = origin_of(context, task_id)
        manifest = stage_content(content, targets, now=now, origin=origin)
        metrics.staged(manifest, content.file_kind, dag_id)
        note_outcome(target, found.watermark, manifest, if_empty)
        return report_staged(log, manifest, if_empty, targets.staging)
    return _formatted(
        content,
        share,
        partitioning=rows.partitioning,
        is_by_user=rows.is_by_user,
        staging=targets.staging.url,
    )


def report_staged(
    log: Logger, manifest: Manifest, on_empty: OnEmpty, staging: Folder
) -> dict[str, Any]:
    """Tell the log what was staged.

    :param log: the task's.
    :param on_empty: what to do when nothing was.
    :param staging: where it lies.
    :return: the manifest as plain JSON.
    :raises AirflowSkipException: when there is nothing to send, with ``skip``.
    :raises DataError: when there is nothing to send, with ``fail``.
    """
    document = manifest.to_json()
    log.info("Delivery %s: %s", manifest.delivery_id, rows_in_words(document))
    if joined := said_of_joined_rows(manifest):
        log.info("  %s", joined)
    for sentence in reasons_in_words(manifest.set_aside_by_reason, staging, manifest.rejects):
        log.info("  %s", sentence)
    for warning in warnings_of(manifest.remarks):
        _logger.warning("  %s", warning)
    if manifest.rejects:
        log.info("  which rows, by their numbers: %s/%s", manifest.staging, manifest.rejects)
    for part in manifest.parts:
        log.info(
            "  %s: %s, %.1f MB, %.1f MB packed",
            part.file_name,
            counted(part.lines, "line"),
            part.bytes / 1e6,
            part.compressed_bytes / 1e6,
        )
    if manifest.parts:
        return document
    raise _nothing(nothing_to_send(manifest), on_empty)


def staged_in_words(result: Mapping[str, Any]) -> str:
    """What a format task did, in a sentence.

    :param result: what it returned: a manifest, or one partition of a delivery.
    """
    lines = sum(part["lines"] for part in result["parts"])
    what = f"{rows_in_words(result)}; {lines_in_words(result['rows_written'], lines)}"
    if "partition" in result:
        return (
            f"Partition {result['partition'] + 1} of {result['partitions']} is formatted, and not "
            f"a delivery yet: {what}"
        )
    files = counted(len(result["parts"]), "file")
    return f"Delivery {result['delivery_id']} is staged, and not sent yet: {what} in {files}"


def _formatted(
    content: FormattedContent,
    share: Partition,
    *,
    partitioning: str,
    is_by_user: bool,
    staging: str,
) -> dict[str, Any]:
    from airflow_am_provider.deliveries.combining import FormattedPartition

    return FormattedPartition(
        partition=share,
        partitioning=partitioning,
        is_by_user=is_by_user,
        staging=staging,
        content=content,
    ).to_json()


def _nothing(reason: str, on_empty: OnEmpty) -> Exception:
    if on_empty is OnEmpty.FAIL:
        return DataError(f"{reason}; on_empty='fail'")
    return AirflowSkipException(reason)
