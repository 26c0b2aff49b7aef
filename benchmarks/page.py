"""``python -m benchmarks.page``: what requests of the page cost with many deliveries.

Fills a staging location, has the page's server index it, and asks as a browser would, in this
process: app, auth manager's rights, query and JSON, without the network.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).with_name("results")
_DAGS = 20
_STREAMS = 100


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=50, help="how often each request is made")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    args = parser.parse_args()
    here = machine()
    print(*report.heading(here), sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="airflow-am-bench-") as directory:
        # Before Airflow is imported.
        os.environ["AIRFLOW_HOME"] = f"{directory}/airflow"
        found = _measure(Path(directory), args.deliveries, args.repeats)
    result = {"machine": here, "deliveries": args.deliveries, "repeats": args.repeats, **found}
    path = args.results / f"page-{args.deliveries}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


def _measure(directory: Path, deliveries: int, repeats: int) -> dict[str, Any]:
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.plugins.page.app import create_app
    from airflow_am_provider.plugins.page.index import Index
    from airflow_am_provider.plugins.page.places import Place
    from airflow_am_provider.plugins.page.refresher import Refresher
    from airflow_am_provider.storage import LocalFolder
    from demo.page_deliveries import fill

    targets = Targets(LocalFolder(directory / "staging"))
    fill(targets, deliveries, files=False, streams=_streams())
    place = Place(conn_id="am", targets=targets, destination="production/acme")
    index = Index(directory / "index")

    class Still(Refresher):
        """Looks when it is told to, so that no look falls into a measured request."""

        def ask(self, wait_s: float = 0.0) -> None:
            pass

    refresher = Still(index, lambda: [place], every_s=0)
    processor = time.process_time()
    figures = {
        "build_s": _seconds(refresher.refresh),
        "build_processor_s": time.process_time() - processor,
        "look_without_changes_s": _seconds(refresher.refresh),
        "index_mb": sum(file.stat().st_size for file in index.folder.iterdir()) / 1e6,
    }
    for name, value in figures.items():
        print(f"  {name:44} {value:.2f}", flush=True)
    app = create_app(index, refresher, lambda _: place)
    return {**figures, "requests": _requests(app, repeats)}


def _requests(app: Any, repeats: int) -> dict[str, Any]:
    from fastapi.testclient import TestClient

    from airflow_am_provider.plugins.page.access import Rights, rights_of

    everybody = Rights(everything=True)
    few = Rights(everything=False, dag_ids=frozenset(f"dag_{number}" for number in range(5)))
    today = datetime.now(UTC).date()
    month = f"since={today - timedelta(days=29)}&until={today}"
    client, measured = TestClient(app), {}
    first = client.get("/api/deliveries", headers={}).status_code
    assert first == 401, first
    app.dependency_overrides[rights_of] = lambda: everybody
    page = client.get("/api/deliveries").json()
    deep = client.get("/api/deliveries?limit=500").json()["next_cursor"]
    some = page["deliveries"][0]["delivery_id"]
    for title, rights, path in (
        ("first page", everybody, "deliveries"),
        ("first page, 5 of 20 DAGs", few, "deliveries"),
        ("a page farther down", everybody, f"deliveries?cursor={deep}"),
        ("filter by data source", everybody, "deliveries?data_source=1007"),
        ("filter by state", everybody, "deliveries?state=failed"),
        ("search for text that is nowhere", everybody, "deliveries?q=nowhere"),
        ("tab of a run", everybody, f"deliveries?dag_id=dag_1&run_id={_run_of(page, 'dag_1')}"),
        ("one delivery", everybody, f"deliveries/{some}"),
        ("facets", everybody, "facets"),
        ("calendar, 30 days", everybody, f"calendar?{month}"),
        ("records, 30 days", everybody, f"charts/records?{month}"),
        ("quality, 90 days", everybody, "charts/quality"),
        ("audiences, 30 days", everybody, f"charts/audiences?{month}"),
        ("CSV of all", everybody, "deliveries.csv"),
    ):
        app.dependency_overrides[rights_of] = lambda rights=rights: rights
        url = f"/api/{path}"
        size = len(client.get(url).raise_for_status().content)
        count = max(1, repeats // 25) if path.endswith("csv") else repeats
        ask = partial(client.get, url)
        times, processor = zip(*(_milliseconds(ask) for _ in range(count)), strict=True)
        late = quantiles(times, n=20)[-1] if count > 1 else times[0]
        measured[title] = {
            "median_ms": round(median(times), 2),
            "p95_ms": round(late, 2),
            "processor_ms": round(median(processor), 2),
            "bytes": size,
        }
        print(
            f"  {title:36} {median(times):8.1f} ms, p95 {late:8.1f} ms, "
            f"{median(processor):8.1f} ms of processor, {size:10,} bytes",
            flush=True,
        )
    return measured


def _run_of(page: dict[str, Any], dag_id: str) -> str:
    from urllib.parse import quote

    runs = [one["run_id"] for one in page["deliveries"] if one["dag_id"] == dag_id]
    return quote(runs[0] if runs else "none", safe="")


def _streams() -> tuple[Any, ...]:
    from airflow_am_provider.audience_manager.names import Mode
    from demo.page_deliveries import Stream

    return tuple(
        Stream(
            destination="production/acme" if number % 10 else "beta/acme",
            target=str(1000 + number),
            name=f"ftp_dpm_{1000 + number}",
            mode=Mode.SYNC if number % 3 else Mode.OVERWRITE,
            dag_id=f"dag_{number % _DAGS}",
            rows=1_000_000,
        )
        for number in range(_STREAMS)
    )


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of the processor, which other work on the machine changes less."""
    processor = time.process_time()
    passed = _seconds(work)
    return 1000 * passed, 1000 * (time.process_time() - processor)


if __name__ == "__main__":
    main()
