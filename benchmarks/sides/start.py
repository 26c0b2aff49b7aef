"""What comes before any work: importing, and reading DAG files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.readings import Outcome
from benchmarks.sides.commands import run_commands

if TYPE_CHECKING:
    from benchmarks.readings import Stopwatch

_DAGS: Final = Path(__file__).parents[2] / "dags"
# What a DAG processor has loaded by itself.
_AIRFLOW: Final = """
import sys, time, importlib.util
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task, Asset, TaskGroup
from airflow.sdk import BaseHook, BaseNotifier
from airflow.providers.standard.operators.empty import EmptyOperator
begun = time.process_time()
"""
_PROVIDER: Final = """
import airflow_am_provider.operators.data_file, airflow_am_provider.operators.upload
import airflow_am_provider.sensors.receipt
"""
_PARSE: Final = """
for number, path in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"dag_{number}", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""
_TELL: Final = "print(time.process_time() - begun)"


def start(stopwatch: Stopwatch, *, what: str) -> Outcome:
    """Import the provider's operators, or read all example DAGs, in a process that has Airflow.

    :param what: ``provider`` or ``dags``; the outcome's bytes are microseconds over Airflow's,
        of processor time: imports do nothing but compute.
    """
    paths = sorted(map(str, _DAGS.glob("*.py")))
    code = _AIRFLOW + (_PROVIDER if what == "provider" else _PARSE) + _TELL
    command = [sys.executable, "-c", code, *paths]
    (printed,) = run_commands(stopwatch, [command])
    return Outcome(rows=len(paths), bytes=round(float(printed.splitlines()[-1]) * 1e6))
