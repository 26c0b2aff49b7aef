"""Runs a job as Airflow and its user do: attempt after attempt, cleared when it has failed."""

import multiprocessing
import os
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from airflow_am_provider.deliveries.target.state import DeliveryState
from tests.faults import crm
from tests.faults.chain import Chain
from tests.faults.history import is_of_history
from tests.faults.stage import Stage
from tests.faults.told import Told
from tests.faults.worker import PRELOAD

_TAKEN_S = 60
_SUCCESSOR_S = 240


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


class Job:
    """All runs of a schedule.

    :param loses: of what no receipts come now: ``ids``, ``data``.
    :param contents: what rows each window has now.
    :param uploaded: for each run, whether its data was sent.
    :param ended: for each run, whether it has come to its end.
    :param frozen_at: the one second that all of staging sees, or None.
    """

    def __init__(self, stage: Stage, context: Any) -> None:
        schedule = stage.schedule
        self.told = Told()
        self.stage = stage
        self.context = context
        self.loses = {schedule.loses} - {""}
        self.contents: dict[int, str] = {}
        self.uploaded: defaultdict[int, threading.Event] = defaultdict(threading.Event)
        self.ended: defaultdict[int, threading.Event] = defaultdict(threading.Event)
        self.frozen_at = int(time.time()) if schedule.is_frozen else None
        self.lock = threading.Lock()

    def run(self) -> Told:
        """Run it to its end.

        :raises JobFailedError: when it has none.
        """
        schedule = self.stage.schedule
        back = schedule.there_and_back
        if back is not None:
            self.put(schedule.runs[back.run].window, crm.THERE_AND_BACK[0])
        self.stage.start_sandbox(loses=self.loses)
        for together in schedule.chains:
            if schedule.lost and any(number == schedule.lost.run for _, number, _ in together):
                self.loses.add("data")
                self.stage.start_sandbox(loses=self.loses)
            chains = [
                Chain(self, chain, number, run, place)
                for place, (chain, number, run) in enumerate(together)
            ]
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

    def put(self, window: int, content: str) -> None:
        """Let a window have other rows at their source."""
        self.stage.correct(window, content)
        self.contents[window] = content

    def lose_no_more(self, kind: str) -> None:
        """What the user does when no receipt came: says so to Adobe."""
        with self.lock:
            if kind in self.loses:
                self.loses.discard(kind)
                self.stage.start_sandbox(loses=self.loses)

    def until_somebody_waits(self, delivery_id: str, number: int) -> None:
        """Wait until another delivery of the target is in the queue, unless none comes any more.

        :param number: the run whose delivery is waited for.
        """
        end = time.monotonic() + _SUCCESSOR_S
        while time.monotonic() < end and not self._are_others_ended(number):
            for target in self.stage.targets().all():
                queue = target.state().queued()
                if delivery_id in [entry.delivery_id for entry in queue] and any(
                    entry.state is DeliveryState.QUEUED for entry in queue
                ):
                    self.told.waited += 1
                    return
            time.sleep(0.2)

    def _are_others_ended(self, number: int) -> bool:
        """Whether those that run at the same time as a run have all come to their end."""
        together = next(
            step
            for step in self.stage.schedule.chains
            if any(number == other for _, other, _ in step)
        )
        others = {other for _, other, _ in together} - {number}
        return all(self.ended[other].is_set() for other in others)

    def until_taken(self, files: list[str]) -> None:
        """Wait until Audience Manager has files, whose receipt is lost."""
        end = time.monotonic() + _TAKEN_S
        while time.monotonic() < end and not set(files) <= self.stage.taken():
            time.sleep(0.1)

    def decided(self) -> int:
        """How many deliveries there are but for those that were there before."""
        return sum(
            not is_of_history(entry.delivery_id)
            for target in self.stage.targets().all()
            for entry in target.state().entries.values()
        )
