"""Runs schedules and says what came of them."""

import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.job import Job
from tests.faults.schedule import Schedule
from tests.faults.stage import stage
from tests.faults.told import JobFailedError, Told
from tests.faults.verdict import Judge
from tests.faults.world import World


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a schedule.

    :param problems: nothing, if all is well.
    :param kinds: what was meant to go wrong.
    :param happened: what went wrong on the lines, and how often.
    :param sent_again: files that were sent a second time under their name.
    :param at_once: failures without a retry.
    :param waited: how many receipts were lost while a successor waited.
    :param asked: the most requests about decisions of one attempt, by step.
    :param folder: what was kept of a failed one.
    """

    seed: int
    seconds: float
    problems: list[str]
    kinds: list[str]
    attempts: int
    kills: int
    clears: int
    sent_again: int
    at_once: list[str] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    waited: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    folder: str = ""
    schedule: str = ""

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: {'failed' if self.problems else 'ok'} in {self.seconds:.1f} s, "
            f"{self.attempts} attempts, {self.kills} killed, cleared {self.clears} times"
        )
        if not self.problems:
            return head
        kept = f"kept: {self.folder}"
        return "\n".join([head, *(f"  {said}" for said in self.problems), self.schedule, kept])

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def run_schedule(world: World, context: Any, schedule: Schedule, directory: Path) -> Result:
    """Run a schedule to its end and hold what is there against what must be.

    :param context: of :func:`tests.faults.job.fork_server`.
    :param directory: gets a folder for the schedule, which is kept when something does not hold.
    """
    folder = directory / f"seed-{schedule.seed}"
    folder.mkdir(parents=True)
    begun = time.monotonic()
    told, again = Told(), 0
    with stage(world, schedule, folder) as places:
        job = Job(places, context)
        try:
            told = job.run()
            judge = Judge(places, told)
            problems, again = judge.problems(), judge.sent_again
        except JobFailedError as error:
            told, problems = job.told, [str(error)]
        staged = places.staging_folder
        if problems and staged.exists():
            shutil.copytree(staged, folder / "staging")
        shutil.rmtree(staged, ignore_errors=True)
    if not problems:
        shutil.rmtree(folder)
    return Result(
        seed=schedule.seed,
        seconds=time.monotonic() - begun,
        problems=problems,
        kinds=schedule.kinds(),
        attempts=told.attempts,
        kills=told.kills,
        clears=told.clears,
        sent_again=again,
        at_once=told.at_once,
        happened=dict(told.happened),
        waited=told.waited,
        asked=dict(told.most_asked),
        folder=str(folder) if problems else "",
        schedule=str(schedule),
    )
