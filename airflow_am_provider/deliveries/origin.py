"""Which task of which run staged a delivery: for people, and for who may see it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The task that staged a delivery first. Nothing is decided by it.

    :param dag_id: its DAG.
    :param run_id: the run.
    :param task_id: the task.
    :param map_index: which of its mapped tasks; -1 for none.
    :param run_type: ``scheduled``, ``manual``, ``backfill`` or ``asset_triggered``.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    run_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as it stands among the figures of the delivery's entry."""
        return asdict(self)
