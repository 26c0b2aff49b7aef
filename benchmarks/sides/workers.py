"""Partitions by several workers, processes that are told one partition after the other."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from benchmarks.sides.product import (
    load_what_execute_imports,
    new_run_id,
    outcome_of,
    run_context,
)

if TYPE_CHECKING:
    from benchmarks.readings import Outcome, Stopwatch

_KILLED = -9


def format_in_partitions(
    stopwatch: Stopwatch,
    *,
    kind: str,
    source: dict[str, str],
    partitions: int,
    workers: int,
    on_a_core_each: bool = False,
    kill_after_rows: int | None = None,
) -> Outcome:
    """Rows to parts of one delivery.

    :param kill_after_rows: after so many rows the first worker ends as by kill -9; another is
        started, and its partition is formatted anew.
    """
    load_what_execute_imports("aws_default")
    run_id = new_run_id()
    tasks = deque(
        {"kind": kind, **source, "partitions": partitions, "partition": number, "run_id": run_id}
        for number in range(partitions)
    )
    if kill_after_rows is not None:
        tasks[0]["dies_after_rows"] = kill_after_rows
    crew = _Crew(tasks)
    started = [_Worker(str(number) if on_a_core_each else "any") for number in range(workers)]
    with stopwatch, ThreadPoolExecutor(workers) as pool:
        list(pool.map(crew.work, started))
        manifest = CombinePartitionsOperator(task_id="combine", formatted=crew.formatted).execute(
            run_context(run_id)
        )
    cpu_seconds = resource.getrusage(resource.RUSAGE_CHILDREN)
    stopwatch.add(
        cpu_seconds=cpu_seconds.ru_utime + cpu_seconds.ru_stime - crew.starting_cpu_s,
        peak_mb=crew.peak_mb,
    )
    texts = [one["text_sha256"] for one in sorted(crew.formatted, key=_number)]
    assert len(crew.formatted) == partitions
    assert crew.killed == (kill_after_rows is not None)
    return replace(outcome_of(manifest), content=" ".join(texts))


def _number(partition: dict[str, Any]) -> int:
    number: int = partition["partition"]
    return number


class _Worker:
    """A process that formats partitions; made, it is ready."""

    def __init__(self, core: str) -> None:
        self.core = core
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.partition_worker", core],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        answer = self._answer()
        assert answer is not None
        self.starting_cpu_s: float = answer["ready_after_cpu_s"]

    def format(self, task: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None when the process was killed meanwhile."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> int:
        """Let it go; gives its status."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        return self._process.wait()

    def _answer(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        # Airflow may print a word of its own.
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        return None


class _Crew:
    """What is to be done, and what was.

    :param tasks: one a partition.
    """

    def __init__(self, tasks: deque[dict[str, Any]]) -> None:
        self._tasks = tasks
        self.formatted: list[dict[str, Any]] = []
        self.starting_cpu_s = self.peak_mb = 0.0
        self.killed = 0

    def work(self, worker: _Worker) -> None:
        """Give a worker one task after the other."""
        self.starting_cpu_s += worker.starting_cpu_s
        while self._tasks:
            task = self._tasks.popleft()
            answer = worker.format(task)
            if answer is None:
                assert worker.end() == _KILLED
                self.killed += 1
                task.pop("dies_after_rows", None)
                self._tasks.append(task)
                worker = _Worker(worker.core)
                self.starting_cpu_s += worker.starting_cpu_s
                continue
            self.formatted.append(answer["formatted"])
            self.peak_mb = max(self.peak_mb, answer["peak_mb"])
        assert worker.end() == 0
