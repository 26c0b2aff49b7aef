"""What a user sees of the example DAGs: their forms, their data sources, the README's graph."""

from __future__ import annotations

import itertools
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

ROOT = Path(__file__).parents[1]
DAGS = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))


def _dag(name: str) -> DAG:
    (dag,) = (
        one
        for one in runpy.run_path(str(ROOT / "dags" / f"{name}.py")).values()
        if isinstance(one, DAG)
    )
    return dag


def _defaults(dag: DAG) -> dict[str, Any]:
    return {name: dag.params.get_param(name).value for name in dag.params}


def test_the_graph_of_the_readme_is_the_graph() -> None:
    graph = (ROOT / "README.md").read_text().partition("```mermaid\n")[2].partition("```")[0]
    drawn = set()
    for line in graph.splitlines()[1:]:
        tasks = re.split(r"\s*-->\s*", line.strip())
        drawn |= set(itertools.pairwise(tasks))
    dag = _dag("audience_manager_daily")
    assert drawn == {
        (task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids
    }


def test_what_replaces_and_what_changes_traits_goes_to_different_data_sources() -> None:
    """An ``.overwrite`` takes away what a ``.sync`` to the same data source has said."""
    targets = {
        name: _defaults(dag)["target_dpid"]
        for name, dag in ((name, _dag(name)) for name in DAGS)
        if "target_dpid" in dag.params
    }
    assert len(targets) >= 4
    assert len(set(targets.values())) == len(targets), targets


@pytest.mark.parametrize("name", DAGS)
def test_no_param_is_called_as_airflows_own_range(name: str) -> None:
    """The backfill form has From and To of its own, which say which runs there are."""
    params = _dag(name).params
    titles = [str(params.get_param(each).schema.get("title")) for each in params]
    assert not {"From", "To", "Start", "End"} & set(titles)
