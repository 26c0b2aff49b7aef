"""The window of a run that says nothing of time: from what was delivered last up to this run."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.window import Window
from airflow_am_provider.formatting.choices import OnEmpty
from airflow_am_provider.hooks.origin import run_type
from airflow_am_provider.operators._window import BACKFILL, RunWindow, moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.sources.query_window import Zone

# Runs that come by themselves. What a person starts in between is extra, as is a backfill.
_MOVING: Final = ("scheduled", "asset_triggered")


class NothingNew(Exception):
    """All up to this run was delivered by runs that came after it."""


def watermark_window(
    context: Mapping[str, Any],
    target: Target,
    begin: object,
    *,
    zone: Zone,
    is_partition: bool,
) -> RunWindow | None:
    """The window from the last delivered moment up to the run's ``run_after``.

    The run's first task to ask claims it; tries, cleared tasks and the other partitions get the
    same one, also when other runs came meanwhile.

    :param context: the task's context.
    :param target: the delivery's, which knows up to where rows were delivered.
    :param begin: where the first window of all begins, ISO 8601.
    :param zone: of ``begin``, where it names none.
    :param is_partition: whether this task formats one partition of the delivery.
    :return: None in a backfill, unless the run claimed its window before.
    :raises ConfigurationError: in a mapped task that is no partition.
    :raises NothingNew: when all of it was delivered already.
    """
    start = moment_of("watermark_start", begin, zone)
    map_index = getattr(context.get("ti"), "map_index", None)
    if not is_partition and map_index is not None and map_index >= 0:
        raise ConfigurationError(
            "watermark_start: a mapped task can have no watermark, since its number does not say "
            "what it delivered before; map over partition, use one task for each, or set "
            "window_start and "
            "window_end"
        )
    run, kind = context["dag_run"], run_type(context)
    name, is_moving = f"{run.dag_id}/{context['task'].task_id}", kind in _MOVING
    window = target.claimed_window(name, context["run_id"])
    source = "this run's before, from the watermark"
    if window is None and kind == BACKFILL:
        return None
    if window is None:
        begins, ends = start.astimezone(UTC).isoformat(), run.run_after.astimezone(UTC).isoformat()
        window = target.claim_window(name, context["run_id"], start=begins, end=ends)
        if window is None:
            raise NothingNew(
                f"All up to {target.state().watermarks.get(name, begins)} was delivered, and this "
                f"run is due at {ends}: nothing is left for it"
            )
        source = (
            "from watermark_start, as nothing was delivered yet, up to when this run was due"
            if window == Window.parse(begins, ends)
            else "from the watermark, up to when this run was due"
        )
    return RunWindow(
        start=window.start,
        end=window.end,
        source=source if is_moving else f"{source}; a {kind} run moves no watermark",
        watermark=name if is_moving else None,
    )


def note_outcome(
    target: Target, watermark: str | None, manifest: Manifest, on_empty: OnEmpty
) -> None:
    """Move the watermark when a window had nothing to send; a delivery moves it when it is sent.

    :param target: the delivery's.
    :param watermark: its name; None where the run moves no watermark.
    :param manifest: what became of the window.
    :param on_empty: with ``fail`` a window without rows is not done with.
    """
    if watermark is not None and not manifest.parts and on_empty is OnEmpty.SKIP:
        from airflow_am_provider.deliveries.target.commands import NoteEmptyWindow

        end = manifest.window.end
        assert end is not None
        target.decide(NoteEmptyWindow(watermark=watermark, end=end.isoformat()))
