"""Makes a delivery of what an extract changes, and a snapshot that holds once it is processed."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.audience_manager.ordering import target_of
from airflow_am_provider.formatting.data_lines import DataLineWriter
from airflow_am_provider.formatting.delivery import NO_TIMESTAMP, stage_content
from airflow_am_provider.formatting.snapshot_diff import difference
from airflow_am_provider.stores.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import pyarrow as pa

    from airflow_am_provider.formatting.comparison import Counts
    from airflow_am_provider.formatting.data_lines import DataFileSpec
    from airflow_am_provider.formatting.delivery import Content, Scope
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.formatting.snapshot_diff import DiffOptions
    from airflow_am_provider.stores.entry import Folder
    from airflow_am_provider.stores.snapshot_series import (
        Acknowledgements,
        SnapshotRecord,
        SnapshotSeries,
    )

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StagedDifference:
    """What was staged.

    :param manifest: the delivery's; without parts when nothing has changed.
    :param counts: what the comparison found.
    :param record: the record of the new snapshot; None when nothing has changed.
    """

    manifest: Manifest
    counts: Counts
    record: SnapshotRecord | None


def stage_difference(
    read: Callable[[], Iterable[pa.RecordBatch]],
    spec: DataFileSpec,
    staging: Folder,
    options: FormatOptions,
    diff: DiffOptions,
    *,
    series: SnapshotSeries,
    deliveries: Acknowledgements,
    scope: Scope,
    now: datetime,
) -> StagedDifference:
    """Compare an extract with the last acknowledged one and stage the difference.

    A task that is tried again with the same rows stages the same delivery.

    :param read: begins to read the extract. What it is compared with is settled before, so that
        the rows are newer than those of every snapshot.
    :param spec: which columns hold what.
    :param staging: the staging location.
    :param options: how to write the parts, and how many rows may be set aside.
    :param diff: how much may be removed.
    :param series: the snapshots of this extract.
    :param deliveries: says which are acknowledged.
    :param scope: what the content is said of.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :raises ConfigurationError: when the columns hold something else than traits.
    :raises DataError: when more rows are set aside or more traits removed than allowed, or a
        snapshot cannot be read. Nothing is staged.
    :raises TransientError: when another task has made a snapshot meanwhile. Nothing is staged.
    """
    target = target_of(DataLineWriter(spec).file_name(NO_TIMESTAMP))
    basis = series.basis(deliveries, Lane(staging, scope.destination, target))
    log.info("Compared with %s", basis)
    path = series.new_path(now)
    found = difference(
        read(),
        spec,
        staging,
        options,
        diff,
        bases=basis.bases,
        snapshot=path,
        scope=scope,
        now=now,
    )
    content, record, counts = found.content, None, found.counts
    _tell(content, counts)
    if content.result.parts:
        newest = basis.newest
        again = None if newest is None else replace(content, follows=newest.number - 1)
        if newest is not None and again is not None and again.identity == newest.delivery_id:
            # The same as last time: another attempt at the newest one.
            content, record = again, newest
            staging.delete(path)
        else:
            content = replace(content, follows=0 if newest is None else newest.number)
            try:
                record = series.add(basis, path, content.identity, asdict(counts), now)
            except TransientError:
                _discard(content, staging)
                raise
        log.info("Snapshot %d: %s", record.number, record.path)
    # The record comes first: a snapshot without its delivery does no harm, the reverse would.
    manifest = stage_content(content, staging, now=now)
    series.tidy(basis)
    return StagedDifference(manifest=manifest, counts=counts, record=record)


def _tell(content: Content, counts: Counts) -> None:
    log.info(
        "%s rows read = %s of users that have changed + %s unchanged + %s set aside",
        f"{content.result.rows_read:,}",
        f"{counts.rows_changed:,}",
        f"{counts.rows_unchanged:,}",
        f"{content.result.rows_set_aside:,}",
    )
    log.info(
        "%s users have changed, %s have not: %s traits added, %s removed; %s traits in all",
        f"{counts.users_changed:,}",
        f"{counts.users_unchanged:,}",
        f"{counts.additions:,}",
        f"{counts.removals:,}",
        f"{counts.traits:,}",
    )


def _discard(content: Content, staging: Folder) -> None:
    for path in (*(part.path for part in content.result.parts), content.result.rejects):
        if path is not None:
            staging.delete(path)
