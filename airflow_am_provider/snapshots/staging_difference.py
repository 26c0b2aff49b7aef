"""Makes a delivery of what an extract changes, and a snapshot that holds once it is processed."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.staging import stage_content
from airflow_am_provider.deliveries.target.commands import NewExtract
from airflow_am_provider.snapshots.difference import difference
from airflow_am_provider.snapshots.refresh import NEVER, Refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date, datetime

    import pyarrow as pa

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.staging import DeliveryContext, FormattedContent
    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.snapshots.comparison import Counts
    from airflow_am_provider.snapshots.difference import DiffOptions
    from airflow_am_provider.snapshots.refresh import TimesToLive
    from airflow_am_provider.snapshots.series import SnapshotSeries
    from airflow_am_provider.storage.folder import Folder

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StagedDifference:
    """What was staged.

    :param manifest: the delivery's; without parts when nothing has changed.
    :param counts: what the comparison found.
    :param snapshot: the new snapshot, relative to the staging location; None when nothing has
        changed, or the same lines were staged last time.
    """

    manifest: Manifest
    counts: Counts
    snapshot: str | None


def stage_difference(
    read: Callable[[], Iterable[pa.RecordBatch]],
    spec: DataFileSpec,
    options: FormatOptions,
    diff: DiffOptions,
    *,
    series: SnapshotSeries,
    context: DeliveryContext,
    now: datetime,
    origin: Origin | None = None,
    run_day: date | None = None,
    ttl: TimesToLive = NEVER,
) -> StagedDifference:
    """Compare an extract with what may be in force and stage the difference.

    A task that is tried again with the same rows stages the same delivery.

    :param read: begins to read the extract. What it is compared with is settled before, so that
        the rows are newer than those of every snapshot.
    :param spec: which columns hold what.
    :param options: how to write the parts, and how many rows may be set aside.
    :param diff: how much may be removed.
    :param series: the snapshots of this extract.
    :param context: what the delivery is for: destination, window, task.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :param origin: the task that does it, if one does.
    :param run_day: the run's day, which decides whose turn it is to be said again; by default that
        of ``now``.
    :param ttl: when traits expire that are not said again; never, by default.
    :raises ConfigurationError: when the columns hold something else than traits.
    :raises DataError: when more rows are set aside or more traits removed than allowed, or a
        snapshot cannot be read. Nothing is staged.
    :raises TransientError: when another task has made a snapshot meanwhile. Nothing is staged.
    """
    targets = series.targets
    basis = series.basis()
    log.info("Compared with %s", series.describe(basis))
    path = series.new_path(now)
    refresh = Refresh.of(basis.series, run_day or now.date(), ttl)
    _tell_turns(refresh)
    found = difference(
        read(),
        spec,
        targets.staging,
        options,
        diff,
        bases=series.bases(basis),
        snapshot=path,
        context=context,
        now=now,
        refresh=refresh,
    )
    content, counts = found.content, found.counts
    _tell(content, counts)
    if not content.result.parts:
        manifest = stage_content(content, targets, now=now)
        return StagedDifference(manifest=manifest, counts=counts, snapshot=None)
    extract = NewExtract(
        series=series.location,
        follows=basis.series.last_number,
        path=path,
        compared=basis.sequence,
        counts={name: count for name, count in asdict(counts).items() if isinstance(count, int)},
        refreshed=refresh.noted,
    )
    try:
        manifest = stage_content(content, targets, now=now, extract=extract, origin=origin)
    except TransientError:
        _discard(content, path, targets.staging)
        raise
    known = series.basis().series
    is_kept = any(one.path == path for one in known.in_force)
    if not is_kept:
        # The same lines as last time: another attempt at the newest one.
        targets.staging.delete(path)
    series.tidy()
    return StagedDifference(manifest=manifest, counts=counts, snapshot=path if is_kept else None)


def _tell(content: FormattedContent, counts: Counts) -> None:
    log.info(
        "%s rows read = %s of users that have changed + %s unchanged + %s set aside",
        f"{content.result.rows_read:,}",
        f"{counts.rows_changed:,}",
        f"{counts.rows_unchanged:,}",
        f"{content.result.rows_set_aside:,}",
    )
    log.info(
        "%s users have changed, %s have not: %s traits added, %s removed, %s refreshed, which is "
        "said again before they expire; %s traits in all",
        f"{counts.users_changed:,}",
        f"{counts.users_unchanged:,}",
        f"{counts.additions:,}",
        f"{counts.removals:,}",
        f"{counts.refreshed:,}",
        f"{counts.traits:,}",
    )


def _tell_turns(refresh: Refresh) -> None:
    if refresh.is_late():
        log.warning(
            "The last acknowledged extract had the turns up to %s, %s days before this run, so "
            "traits that were to be said again since may have expired. They are said again now",
            refresh.since[-1].until,
            refresh.days_since,
        )


def _discard(content: FormattedContent, snapshot: str, staging: Folder) -> None:
    result = content.result
    for path in (*(part.path for part in result.parts), result.rejects, result.contents, snapshot):
        if path is not None:
            staging.delete(path)
