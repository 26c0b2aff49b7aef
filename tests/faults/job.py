"""Runs a job as Airflow and its user do: attempt after attempt, cleared when it has failed."""

import multiprocessing
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import crm
from tests.faults.schedule import PARTITIONS, Run, Schedule, Trouble
from tests.faults.worker import PRELOAD, attempt
from tests.faults.world import Stage

_MOST_CLEARS = 8
_MOST_RESENDS = 20
_ATTEMPT_S = 90
PART_BYTES = 103_000


class JobFailedError(Exception):
    """The job did not come to its end, however often it was cleared."""


class TaskFailedError(Exception):
    """A task used up its attempts."""


def fork_server() -> Any:
    """What workers are forked from: a process that has imported all there is to import."""
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    # Who sets this one waits twice as long for each import.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    context.set_forkserver_preload(list(PRELOAD))
    return context


@dataclass
class Told:
    """What came to pass while a job ran.

    :param corrected: numbers of the runs whose rows were read after they were corrected.
    :param given_up: deliveries that the user gave up.
    """

    attempts: int = 0
    kills: int = 0
    clears: int = 0
    at_once: list[str] = field(default_factory=list)
    corrected: set[int] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    happened: Counter[str] = field(default_factory=Counter)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)


class Job:
    """All runs of a schedule."""

    def __init__(self, stage: Stage, context: Any) -> None:
        self.told = Told()
        self.stage = stage
        self.context = context
        self.loses = stage.schedule.loses
        self.corrected_window: int | None = None
        self._lock = threading.Lock()

    def run(self) -> Told:
        """Run it to its end.

        :raises JobFailedError: when it has none.
        """
        self.stage.start_sandbox(loses=self.loses)
        for together in self.stage.schedule.chains:
            chains = [Chain(self, chain, number, run) for chain, number, run in together]
            threads = [threading.Thread(target=chain.go) for chain in chains]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for chain in chains:
                if chain.failure is not None:
                    raise chain.failure
        for lines in self.stage.lines:
            for line in lines.values():
                self.told.happened.update(line.happened)
        return self.told

    def lose_no_more(self) -> None:
        """What the user does when no receipt came: says so to Adobe."""
        with self._lock:
            if self.loses:
                self.loses = ""
                self.stage.start_sandbox(loses="")


class Chain:
    """One run of the DAG."""

    def __init__(self, job: Job, chain: int, number: int, run: Run) -> None:
        self.failure: Exception | None = None
        self._job, self._chain, self._number, self._run = job, chain, number, run
        self._context, self._stage = job.context, job.stage
        self._schedule: Schedule = self._stage.schedule
        self._attempts: Counter[str] = Counter()
        self._results: dict[str, Any] = {}

    def go(self) -> None:
        """Run it to its end; what prevents that is left in ``failure``."""
        try:
            for _ in range(_MOST_CLEARS):
                try:
                    for task in self._run.tasks:
                        if task not in self._results:
                            self._results[task] = self._task(task)
                    return
                except TaskFailedError as failed:
                    last = str(failed)
                    self._clear()
            raise JobFailedError(f"cleared {_MOST_CLEARS} times, and still: {last}")
        except Exception as error:  # noqa: BLE001  # it is raised again by whoever waits for this
            self.failure = error

    def _clear(self) -> None:
        """What the user does with a failed run."""
        self._job.told.clears += 1
        if self._schedule.clears == "the run":
            if self._corrects("clear") and "format" in self._results:
                self._give_up(self._results["format"]["delivery_id"])
            self._results.clear()

    def _corrects(self, when: str) -> bool:
        """Mend the rows of the run's window at their source, if that is to happen now."""
        correction = self._schedule.correction
        if correction is None or (correction.run, correction.when) != (self._number, when):
            return False
        if self._job.corrected_window is not None:
            return False
        self._stage.correct(self._run.window)
        self._job.corrected_window = self._run.window
        return True

    def _give_up(self, delivery_id: str) -> None:
        """What the user does with a delivery that is not to be sent on, by ``deliveries abandon``.

        Else what takes its place waits for it.
        """
        kind, said = self._once("abandon", "abandon", {"arguments": {"delivery_id": delivery_id}})
        if kind != "ok":
            raise JobFailedError(f"abandon: {said}")
        self._job.told.given_up.add(delivery_id)

    def _task(self, task: str) -> Any:
        step = task.removesuffix("_ids")
        if step == "format" and self._schedule.partitions:
            shares = [
                self._tried(task, task, self._format(task, partition))
                for partition in range(PARTITIONS)
            ]
            return self._tried(task, "combine", {"partitions": shares})
        if step == "format":
            manifest = self._tried(task, task, self._format(task, None))
            if task == "format" and self._job.corrected_window == self._run.window:
                self._job.told.corrected.add(self._number)
            return manifest
        if step == "upload":
            manifest = self._results[task.replace("upload", "format")]
            arguments = {
                "manifest": manifest,
                "after": self._results.get("upload_ids") if task == "upload" else None,
                "on_older": "replay" if self._run.replays else "refuse",
                "deferrable": self._schedule.deferrable,
                "poke_interval": 0.2,
                "order_timeout": 45,
            }
            sent = self._tried(task, "upload", arguments)
            self._job.told.sent[sent["delivery_id"]] = sent
            return sent
        if step == "replay":
            return self._replay()
        return self._receipt(task)

    def _replay(self) -> Any:
        arguments = {
            "delivery": self._results["upload"],
            "acknowledged_by": self._schedule.acknowledged_by,
            "mode": "poke",
            "poke_interval": 0.3,
            "timeout": 60,
        }
        return self._tried("replay", "replay", arguments)

    def _receipt(self, task: str) -> Any:
        sent = self._results[task.replace("receipt", "upload")]
        loses = {"receipt_ids": "ids", "receipt": "data"}[task] == self._job.loses
        arguments = {
            "delivery": sent,
            "acknowledged_by": self._schedule.acknowledged_by,
            "deferrable": self._schedule.deferrable,
            "poke_interval": 0.15,
            "timeout": 2.5 if loses else 30,
        }
        result = self._tried(task, "receipt", arguments)
        self._job.told.receipts[sent["delivery_id"]] = result
        return result

    def _format(self, task: str, partition: int | None) -> dict[str, Any]:
        start, end = crm.window(self._run.window)
        what: dict[str, Any] = {
            "dpid": crm.DPID,
            "id_column": "customer_id",
            "traits_column": "traits",
            "removed_traits_column": "removed",
        }
        if self._run.kind == "full":
            what.pop("removed_traits_column")
            what["mode"] = "overwrite"
        if task == "format_ids":
            columns = ["aam_uuid", "customer_id"]
            what = {"master_dpid": 0, "dpids": [crm.DPID], "columns": columns}
        if partition is not None:
            what |= {"partitions": PARTITIONS, "partition": partition}
        return {
            "conn_id": "crm",
            "sql": crm.query(self._stage.table, task),
            "window_start": start,
            "window_end": end,
            "max_set_aside": 0.05,
            "part_bytes": PART_BYTES,
            **what,
        }

    def _tried(self, task: str, operator: str, arguments: dict[str, Any]) -> Any:
        """Try as often as the task may, and tell the result."""
        said = ""
        for retry in range(1 + self._schedule.retries):
            if retry and task == "format":
                self._corrects("retry")
            kind, said = self._once(task, operator, {"arguments": arguments})
            while kind == "deferred":
                kind, event = self._once(task, "trigger", {"trigger": said})
                if kind == "ok":
                    kind, said = self._once(
                        task, operator, {"arguments": arguments, "event": event}
                    )
                elif kind == "killed":
                    # Another triggerer takes over what the lost one had.
                    kind = "deferred"
                else:
                    said = event
            if kind in ("ok", "skip"):
                return said
            if kind == "timeout" and operator == "receipt":
                self._resend(task)
            if kind == "timeout":
                break
            if kind == "fail":
                self._job.told.at_once.append(f"{task}: {said}")
                break
        raise TaskFailedError(f"{task}: {said}")

    def _resend(self, task: str) -> None:
        """What the user does when no receipt came, by ``airflow-am deliveries resend``."""
        self._job.lose_no_more()
        sent = self._results[task.replace("receipt", "upload")]
        for _ in range(_MOST_RESENDS):
            # An object written anew within the second looks as the old one does.
            time.sleep(1.1)
            arguments = {"delivery_id": sent["delivery_id"]}
            kind, said = self._once(task, "resend", {"arguments": arguments})
            if kind == "ok":
                return
        raise TaskFailedError(f"resend: {said}")

    def _once(self, task: str, operator: str, what: dict[str, Any]) -> tuple[str, Any]:
        """Make one attempt in a process of its own."""
        self._attempts[task] += 1
        self._job.told.attempts += 1
        number = self._attempts[task]
        trouble = self._schedule.trouble((self._chain, self._number, task, number))
        lines = self._stage.lines[self._chain]
        for line in lines.values():
            line.arm(trouble.faults)
        start, end = crm.window(self._run.window)
        order = {
            "env": self._stage.environment(self._chain),
            "log": str(
                self._stage.folder
                / f"{self._number}-{self._chain}-{task}-{number:02}-{operator}.log"
            ),
            "operator": operator,
            "context": {
                "dag_id": self._run.kind,
                "run_id": f"scheduled__{start}",
                "start": start,
                "end": end,
            },
            "clock_s": trouble.clock_s,
            "kill_at_end": trouble.kill_at_end,
            "piece_bytes": self._schedule.piece_bytes,
            **what,
        }
        with self._stage.disk_filled(trouble.free_bytes), self._stage.ftp_cut(trouble.ftp_cut):
            return self._process(order, trouble)

    def _process(self, order: dict[str, Any], trouble: Trouble) -> tuple[str, Any]:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=attempt, args=(order, sender), daemon=True)
        process.start()
        sender.close()
        for line in self._stage.lines[self._chain].values():
            line.serves(process.pid)
        killer = threading.Timer(trouble.kill_after_s or 0, process.kill)
        if trouble.kill_after_s is not None:
            killer.start()
        try:
            if not receiver.poll(_ATTEMPT_S):
                process.kill()
                raise JobFailedError(f"an attempt took over {_ATTEMPT_S} s: {order['log']}")
            outcome: tuple[str, Any] = receiver.recv()
        except (EOFError, ConnectionResetError):
            self._job.told.kills += 1
            outcome = ("killed", "the worker was killed")
        finally:
            killer.cancel()
            process.join()
            receiver.close()
        return outcome
