"""Made-up answers, which the browser side is tried with, have what the server side answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
    needed = names(made_up.answer(path, DAYS)) - {
        # Limits that are drawn where there are such.
        ".limits.max_hours_to_acknowledgement",
        ".limits.max_set_aside",
    }
    assert needed, path
    assert needed - real == set()


def test_one_delivery(page: Page, made_up: PageServer) -> None:
    needed = names([made_up.answer(f"deliveries/{id_}", {}) for id_ in ids(made_up.answer)])
    real = names([page.get(f"deliveries/{id_}") for id_ in ids(lambda path, _: page.get(path))])
    # No guard has looked at these.
    missing = {name for name in needed - real if not name.startswith(".guard.")}
    assert missing == set()


def ids(ask: Callable[[str, dict[str, str]], Any]) -> list[str]:
    return [row["delivery_id"] for row in ask("deliveries", {})["deliveries"]]
