"""Delivers by a whole Airflow while its processes are killed, and judges what came of it."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from demo.local.airflow import Airflow, airflow
from tests.faults import crm
from tests.faults.airflow_schedule import (
    COMPONENTS,
    WATCHER,
    AirflowSchedule,
    Loss,
    airflow_schedule_of,
)
from tests.faults.schedule import Run
from tests.faults.stage import Stage, stage
from tests.faults.told import Told
from tests.faults.verdict import Judge
from tests.faults.world import World
from tests.system.components import Components
from tests.system.local_airflow import DAGS

DAG_ID = "faults"
_MOST_CLEARS = 4
_RUN_S = 180
# How soon Airflow misses those that do not say any more that they are alive.
_SOON_MISSED = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}


@dataclass(kw_only=True)
class AirflowResult:
    """What came of a schedule.

    :param problems: nothing, if all is well.
    :param tries: of all tasks of all runs.
    :param lost: how many processes of each kind were killed.
    """

    seed: int
    schedule: str
    seconds: float = 0
    problems: list[str] = field(default_factory=list)
    tries: int = 0
    clears: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: {'failed' if self.problems else 'ok'} in {self.seconds:.1f} s, "
            f"killed {dict(self.lost)}, {self.tries} tries, cleared {self.clears} times"
        )
        said = [f"  {problem}" for problem in self.problems]
        return "\n".join([head, *said, *([self.schedule] if self.problems else [])])


@contextmanager
def faults_airflow(world: World, directory: Path) -> Iterator[Airflow]:
    """An Airflow with the DAG of the schedules."""
    with airflow(
        directory / "airflow", database=world.postgres, dags_folder=DAGS, environment=_SOON_MISSED
    ) as started:
        started.wait_for_dags(DAG_ID)
        started.api.unpause(DAG_ID)
        yield started


def results_in_airflow(
    world: World, started: Airflow, components: Components, seeds: Iterable[int], directory: Path
) -> Iterator[AirflowResult]:
    """What comes of each schedule, one after the other.

    :param started: an Airflow that has the DAG ``faults``.
    :param directory: gets a folder for each schedule.
    """
    for seed in seeds:
        schedule = airflow_schedule_of(seed)
        folder = directory / f"seed-{seed}"
        folder.mkdir(parents=True)
        with stage(world, schedule.job, folder) as places:
            for conn_id, connection in _connections(places).items():
                started.api.add_connection(conn_id, connection)
            yield _result(started, components, schedule, places)


def _connections(places: Stage) -> dict[str, Any]:
    """A schedule's connections, under names that no other schedule has."""
    seed = places.schedule.seed
    found = {
        name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(text)
        for name, text in places.environment(0).items()
    }
    extra = found["audience_manager_default"]["extra"]
    for name in ("aws_conn_id", "ftp_conn_id", "receipts_imap_conn_id"):
        if name in extra:
            extra[name] = f"{extra[name]}_{seed}"
    return {f"{name}_{seed}": connection for name, connection in found.items()}


class _Losses:
    """Kills what is to be killed during a run."""

    def __init__(
        self, components: Components, losses: tuple[Loss, ...], lost: Counter[str]
    ) -> None:
        self._components, self._losses, self._lost = components, losses, lost
        self._is_over = threading.Event()
        self._task: tuple[str, int] | None = None
        self._thread = threading.Thread(target=self._go)

    def __enter__(self) -> "_Losses":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def sees(self, tasks: list[dict[str, Any]]) -> None:
        """Hear which task runs."""
        pids = [
            (f"{task['task_id']} {task['try_number']}", int(task["pid"]))
            for task in tasks
            if task["state"] == "running" and task["pid"]
        ]
        self._task = pids[0] if pids else None

    def _go(self) -> None:
        for loss in self._losses:
            if loss.victim in COMPONENTS:
                if self._is_over.wait(loss.after_s):
                    return
                self._components.kill(loss.victim)
                # Whatever ran has ended with it.
                self._task = None
                time.sleep(loss.pause_s)
                self._components.replace(loss.victim)
                self._lost[loss.victim] += 1
            elif not self._kill_task(loss):
                return

    def _kill_task(self, loss: Loss) -> bool:
        while (task := self._task) is None:
            if self._is_over.wait(0.02):
                return False
        if self._is_over.wait(loss.after_s):
            return False
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(task[1])
            (process.parent() if loss.victim == WATCHER else process).kill()
            self._lost[loss.victim] += 1
        return True


def _result(
    started: Airflow, components: Components, schedule: AirflowSchedule, places: Stage
) -> AirflowResult:
    result = AirflowResult(seed=schedule.job.seed, schedule=str(schedule))
    told = Told()
    begun = time.monotonic()
    places.start_sandbox()
    for run, losses in zip(schedule.job.runs, schedule.losses, strict=True):
        run_id = started.api.trigger(DAG_ID, conf=_conf(places, run))
        if not _came_to_its_end(started, components, losses, run_id, result):
            states = {
                task["task_id"]: task["state"]
                for task in started.api.task_instances(DAG_ID, run_id)
            }
            result.problems.append(f"run {run.window} came to no good end: {states}")
            break
        for kind in ("_ids", ""):
            sent = started.api.xcom(DAG_ID, run_id, f"deliver.upload{kind}")
            told.sent[sent["delivery_id"]] = sent
            rows = len(crm.rows_of(schedule.job.variant, run))
            if sent["rows_read"] != rows:
                told.problems.append(f"{sent['delivery_id']}: {sent['rows_read']} of {rows} rows")
            told.receipts[sent["delivery_id"]] = started.api.xcom(
                DAG_ID, run_id, f"deliver.receipt{kind}"
            )
    else:
        result.problems = Judge(places, told).problems()
    result.seconds = time.monotonic() - begun
    if not result.problems:
        shutil.rmtree(places.folder)
    return result


def _conf(places: Stage, run: Run) -> dict[str, str]:
    start, end = crm.window(run.window)
    schedule = places.schedule
    return {
        "connection": f"audience_manager_default_{schedule.seed}",
        "crm": f"crm_{schedule.seed}",
        "start": start,
        "end": end,
        "ids": crm.query(places.table(run), "format_ids", run, has_window=True),
        "data": crm.query(places.table(run), "format", run, has_window=True),
        "by": schedule.acknowledged_by,
    }


def _came_to_its_end(
    started: Airflow,
    components: Components,
    losses: tuple[Loss, ...],
    run_id: str,
    result: AirflowResult,
) -> bool:
    """Wait for a run; clear it as a user would when it has failed."""
    for clears in range(1 + _MOST_CLEARS):
        if clears:
            started.api.clear(DAG_ID, run_id)
            result.clears += 1
        deadline = time.monotonic() + _RUN_S
        with _Losses(components, () if clears else losses, result.lost) as killing:
            state = ""
            while state not in ("success", "failed") and time.monotonic() < deadline:
                killing.sees(started.api.task_instances(DAG_ID, run_id))
                state = started.api.run(DAG_ID, run_id)["state"]
                time.sleep(0.05)
        if state == "success":
            tasks = started.api.task_instances(DAG_ID, run_id)
            result.tries += sum(task["try_number"] for task in tasks)
            return True
    return False
