"""The benchmarks run from end to end; how fast, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.readings import Stopwatch
from benchmarks.running import run_side
from benchmarks.sides.comparing import compare, first_snapshot
from benchmarks.suite import COMPARISONS
from benchmarks.world import world

pytestmark = pytest.mark.slow

ROWS = 20_000
# Those of several workers start many processes: two of their sides stand for all, below. Growth has
# the sides of others, with more and more rows.
# The others take longer.
ONE_WORKER = [
    name
    for name in COMPARISONS
    if not name.startswith("workers") and name not in {"growth", "overwrite", "roads", "refresh"}
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(ONE_WORKER, tmp_path_factory.mktemp("results"))


def results_of(names: list[str], folder: Path) -> dict[str, Any]:
    arguments = ["--rows", str(ROWS), "--repeats", "1", "--results", str(folder)]
    arguments += ["--only", *names]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        capture_output=True,
        cwd=Path(__file__).parents[1],
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_each_comparison_leaves_its_results(results: dict[str, Any]) -> None:
    assert set(results) == {f"{name}-{ROWS}" for name in ONE_WORKER}
    for result in results.values():
        assert result["machine"]["cores"] >= 1
        assert result["machine"]["packages"]["pyarrow"]


def test_each_side_writes_all_rows_or_says_why_it_did_not_run(results: dict[str, Any]) -> None:
    for result in results.values():
        for name, side in result["sides"].items():
            if side["missing"]:
                assert side["readings"] == [], name
                continue
            (reading,) = side["readings"]
            if result["name"] not in ("staging", "start"):
                assert reading["rows"] == ROWS, name
            assert min(reading[what] for what in ("seconds", "cpu_seconds", "peak_mb")) > 0, name


def test_figures_are_there_for_all_sides_that_ran(results: dict[str, Any]) -> None:
    postgres = results[f"postgres-{ROWS}"]
    if any(side["missing"] for side in postgres["sides"].values()):
        pytest.skip("no PostgreSQL here that was built with TLS")
    assert [figure["title"] for figure in postgres["figures"]] == [
        "traits: time over COPY's",
        "attrs: time over COPY's",
        "traits: processor over its",
        "attrs: processor over its",
    ]


@pytest.mark.long
def test_growth_leaves_its_results(tmp_path: Path) -> None:
    (result,) = results_of(["growth"], tmp_path).values()
    rows = [reading["rows"] for side in result["sides"].values() for reading in side["readings"]]
    assert sorted(rows) == [ROWS, ROWS, 3 * ROWS, 3 * ROWS, 10 * ROWS, 10 * ROWS]


def test_a_worker_that_is_killed_and_replaced_changes_no_line(tmp_path: Path) -> None:
    with world(tmp_path) as servers:
        sides = COMPARISONS["workers"](servers, ROWS).sides
        whole, killed = (
            run_side(sides[name], servers) for name in ("2 workers", "2 workers, one killed")
        )
    assert (whole.rows, killed.rows) == (ROWS, ROWS)
    assert len(killed.content.split()) == 4
    assert killed.content == whole.content


def test_what_is_said_again_is_measured_beside_a_difference_without(tmp_path: Path) -> None:
    extract = tmp_path / "extract.parquet"
    users = pa.array([f"user-{number}" for number in range(8_000)])
    pq.write_table(pa.table({"id": users, "traits": pa.repeat("24", len(users))}), extract)
    arguments = {"extract": str(extract), "folder": str(tmp_path)}
    first_snapshot(Stopwatch(), **arguments)
    nothing, a_day, everybody = (
        compare(Stopwatch(), **arguments, days=days).bytes for days in (0, 1, None)
    )
    # A hundredth has changed. The turns of a day are an 80th of the others, by a hash.
    assert nothing == sum(
        len(f"user-{number}\td_sid=1,d_unsid=24\n") for number in range(0, 8_000, 100)
    )
    assert nothing < a_day < nothing + everybody / 40
    assert everybody > 8_000 * len("user-1\td_sid=24\n")
