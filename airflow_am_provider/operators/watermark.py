"""The window of a run that says nothing of time: from what was delivered last up to this run."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.operators.window import BACKFILL, Window, moment_of, run_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.hooks.query_window import Zone

# Runs that come by themselves. What a person starts in between is extra, as is a backfill.
_MOVING: Final = ("scheduled", "asset_triggered")


class NothingNew(Exception):
    """All up to this run was delivered by runs that came after it."""


def watermark_window(
    context: Mapping[str, Any],
    hook: AudienceManagerHook,
    begin: object,
    *,
    zone: Zone,
    is_share: bool,
) -> Window | None:
    """The window from the last delivered moment up to the run's ``run_after``.

    The run's first task to ask claims it; tries, cleared tasks and the other partitions get the
    same one, also when other runs came meanwhile.

    :param context: the task's context.
    :param hook: leads to the staging location, where the notes lie.
    :param begin: where the first window of all begins, ISO 8601.
    :param zone: of ``begin``, where it names none.
    :param is_share: whether this task formats one partition of the delivery.
    :return: None in a backfill, unless the run claimed its window before.
    :raises ConfigurationError: in a mapped task that is no partition.
    :raises NothingNew: when all of it was delivered already.
    """
    from airflow_am_provider.stores.watermark import Watermark

    start = moment_of("watermark_start", begin, zone)
    map_index = getattr(context.get("ti"), "map_index", None)
    if not is_share and map_index is not None and map_index >= 0:
        raise ConfigurationError(
            "watermark_start: a mapped task has none, since one of its number tells nobody what it "
            "delivered before; map over partition, make a task of each, or set window_start and "
            "window_end"
        )
    run, kind = context["dag_run"], run_type(context)
    destination = hashlib.sha256(hook.destination_name.encode()).hexdigest()[:12]
    folder = f"watermarks/{run.dag_id}/{context['task'].task_id}/{destination}"
    watermark, is_moving = Watermark(hook.staging(), folder), kind in _MOVING
    claimed = watermark.claimed(context["run_id"])
    if claimed is not None:
        window, source = claimed, "this run's before, from the watermark"
    elif kind == BACKFILL:
        return None
    else:
        delivered = watermark.up_to()
        begins, ends = delivered or start, run.run_after.astimezone(UTC)
        if begins >= ends:
            raise NothingNew(
                f"All up to {begins.isoformat()} was delivered, and this run is due at "
                f"{ends.isoformat()}: nothing is left for it"
            )
        window = watermark.claim(context["run_id"], begins, ends)
        source = (
            "from the watermark, up to when this run was due"
            if delivered
            else "from watermark_start, as nothing was delivered yet, up to when this run was due"
        )
    return Window(
        start=window[0],
        end=window[1],
        source=source if is_moving else f"{source}; a {kind} run moves no watermark",
        watermark=folder if is_moving else None,
    )


def note_outcome(
    hook: AudienceManagerHook, folder: str | None, manifest: Manifest, on_empty: str
) -> None:
    """Note what a window's rows became, so that a later run can tell whether they were sent.

    :param hook: leads to the staging location.
    :param folder: of the notes; None where the run moves no watermark.
    :param on_empty: with ``fail`` a window without rows is not done with.
    """
    if folder is not None and (manifest.parts or on_empty == "skip"):
        from airflow_am_provider.stores.watermark import Watermark

        Watermark(hook.staging(), folder).note(manifest)
