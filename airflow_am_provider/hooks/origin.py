"""Which task is at work, from its context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.deliveries.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context


def origin_of(context: Context, task_id: str) -> Origin | None:
    """The task that runs; None outside of a run.

    :param context: the task's context.
    :param task_id: its ID.
    """
    run = context.get("dag_run")
    if run is None:
        return None
    return Origin(
        dag_id=run.dag_id,
        run_id=context["run_id"],
        task_id=task_id,
        map_index=map_index_of(context),
        run_type=run_type(context),
    )


def map_index_of(context: Context) -> int:
    """Which of its mapped tasks a task is; -1 where it is not mapped."""
    index = getattr(context.get("ti"), "map_index", None)
    return index if isinstance(index, int) else -1


def run_type(context: Mapping[str, Any]) -> str:
    """``scheduled``, ``manual``, ``backfill`` …

    A run's ID does not tell: one that a backfill does again keeps its own.
    """
    found = getattr(context.get("dag_run"), "run_type", None)
    return str(getattr(found, "value", found))
