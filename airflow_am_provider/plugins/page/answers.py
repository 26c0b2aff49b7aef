"""Rows of the index in the words of the page's answers: JSON, and CSV."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow_am_provider.deliveries.figures import match_rate
from airflow_am_provider.links import airflow_path
from airflow_am_provider.plugins.page.index import COLUMNS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

CSV_COLUMNS: Final = (
    "delivery_id",
    "created_at",
    "kind",
    "window_start",
    "window_end",
    "connection",
    "environment",
    "destination",
    "data_source",
    "target_data_source",
    "mode",
    "state",
    "standing",
    "state_words",
    "since",
    "is_outstanding",
    "needs_attention",
    "reason",
    "rows_read",
    "rows_written",
    "rows_set_aside",
    "set_aside",
    "lines",
    "parts",
    "bytes",
    "received",
    "stored",
    "match_rate",
    "times_sent",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "is_backfill",
)
# What the index has of these under the same name; a window is one value in JSON.
_STORED: Final = tuple(
    name for name in CSV_COLUMNS if name in COLUMNS and not name.startswith("window_")
)
# The same for all rows.
_airflow_path: Final = cache(airflow_path)
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def answer(row: sqlite3.Row | Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    window = None
    if row["window_start"] or row["window_end"]:
        window = {"start": row["window_start"], "end": row["window_end"]}
    return {
        **{name: row[name] for name in _STORED},
        "window": window,
        "connection": row["conn_id"],
        "is_outstanding": bool(row["is_outstanding"]),
        "needs_attention": bool(row["needs_attention"]),
        "set_aside": json.loads(row["set_aside"] or "{}"),
        "match_rate": match_rate(row["received"], row["stored"]),
        "is_backfill": bool(row["is_backfill"]),
        "run_url": run_url(row["dag_id"], row["run_id"]),
        "task_url": task_url(row["dag_id"], row["run_id"], row["task_id"], row["map_index"]),
    }


def csv_lines(rows: Iterable[sqlite3.Row]) -> Iterator[str]:
    """A CSV file, line by line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        facts = answer(row)
        window = facts["window"] or {}
        facts["window_start"], facts["window_end"] = window.get("start"), window.get("end")
        facts["set_aside"] = "; ".join(f"{name}: {n}" for name, n in facts["set_aside"].items())
        writer.writerow([_cell(facts[name]) for name in CSV_COLUMNS])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def run_url(dag_id: str | None, run_id: str | None) -> str | None:
    """Airflow's page of a run; that of the DAG where the run is not known."""
    if not dag_id:
        return None
    run = f"/runs/{_quoted(run_id)}" if run_id else ""
    return f"{_airflow_path()}/dags/{_quoted(dag_id)}{run}"


def task_url(
    dag_id: str | None, run_id: str | None, task_id: str | None, map_index: int | None
) -> str | None:
    """Airflow's page of a task instance; that of the task where the run is not known."""
    if not dag_id or not task_id:
        return None
    mapped = f"/mapped/{map_index}" if run_id and map_index is not None and map_index >= 0 else ""
    return f"{run_url(dag_id, run_id)}/tasks/{_quoted(task_id)}{mapped}"


def failed_runs_url(dag_id: str | None) -> str:
    """Airflow's list of runs that have failed, of a DAG or of all."""
    runs = f"dags/{_quoted(dag_id)}/runs" if dag_id else "dag_runs"
    return f"{_airflow_path()}/{runs}?state=failed"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
