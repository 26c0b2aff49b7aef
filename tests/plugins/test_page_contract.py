"""Made-up answers, which the browser side is tried with, have what the server side answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.deliveries.figures import TITLES
from airflow_am_provider.outbound.notes import TaskNotes
from tests.plugins import page_deliveries, page_server
from tests.plugins.page_server import PageServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.plugins.conftest import Page

DAYS = {"since": "2026-10-01", "until": "2026-11-28"}
# Whose keys are names of reasons, figures or other values.
OPEN = {"set_aside", "failed", "figures"}


@pytest.fixture
def made_up() -> Iterator[PageServer]:
    with PageServer() as server:
        server.deliveries = [
            row for row in server.deliveries if row["set_aside"] and row["window"] is not None
        ]
        yield server


def names(value: Any, path: str = "") -> set[str]:
    """Every name in an answer, with the names above it; of a list those of all its entries."""
    if isinstance(value, list):
        return {name for one in value for name in names(one, path)}
    if not isinstance(value, dict) or path.rpartition(".")[2] in OPEN:
        return set()
    return {
        name
        for key, inner in value.items()
        for name in {f"{path}.{key}", *names(inner, f"{path}.{key}")}
    }


@pytest.mark.parametrize(
    "path",
    ["deliveries", "facets", "calendar", "charts/records", "charts/quality", "charts/audiences"],
)
def test_tables_and_charts(page: Page, made_up: PageServer, path: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in DAYS.items())
    real = names(page.get(f"{path}?{query}"))
    needed = names(made_up.answer(path, DAYS))
    assert needed, path
    assert needed - real == set()


def test_batches(page: Page, made_up: PageServer) -> None:
    staging = page.targets.staging
    origin = {"dag_id": "a", "run_id": "1", "task_id": "load", "map_index": -1}
    facts = {"state": "loaded", "series": "1", "day": "2026-11-27", "batch": "b", "version": "v"}
    TaskNotes(staging, origin).tell([{**facts, "rows_loaded": 7}])
    made_up.batches = page_deliveries.batches()
    needed = names(made_up.answer("outbound", {}))
    assert len(needed) > 20
    assert needed - names(page.get("outbound")) == set()


def test_one_delivery(page: Page, made_up: PageServer) -> None:
    needed = names([made_up.answer(f"deliveries/{id_}", {}) for id_ in ids(made_up.answer)])
    real = names([page.get(f"deliveries/{id_}") for id_ in ids(lambda path, _: page.get(path))])
    # No guard has looked at these.
    missing = {name for name in needed - real if not name.startswith(".guard.")}
    assert missing == set()


def test_figures_are_called_by_one_name() -> None:
    table = (Path(page_server.__file__).parents[2] / "ui" / "src" / "deliveries.tsx").read_text()
    headings = set(re.findall(r"^ +([A-Z][a-z ]+)$", table, re.MULTILINE))
    # How many were written stands with the delivery; here it follows from the two beside it.
    titles = {title.capitalize() for title in TITLES.values()} - {"Rows written"}
    assert titles <= headings


def ids(ask: Callable[[str, dict[str, str]], Any]) -> list[str]:
    return [row["delivery_id"] for row in ask("deliveries", {})["deliveries"]]
