"""Which task stages a delivery, from its context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.origin import Origin
from airflow_am_provider.operators._window import run_type

if TYPE_CHECKING:
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
