"""Which of a whole Airflow's processes are killed and when, all of it drawn from one number."""

import random
from dataclasses import dataclass, replace
from typing import Final

from tests.faults.drawing import calm
from tests.faults.schedule import Run, Schedule

COMPONENTS: Final = ("scheduler", "triggerer", "dag-processor")
# The process of a task's code, and the one that watches it and speaks for it: without that one the
# code may go on while Airflow gives the task to somebody else.
TASK, WATCHER = "task", "task's watcher"
_VICTIMS: Final = (
    "scheduler",
    "scheduler",
    "triggerer",
    "dag-processor",
    TASK,
    TASK,
    TASK,
    WATCHER,
)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One process that ends as on a machine that is lost.

    :param after_s: since the loss before; for a task's, since one is seen to run.
    :param victim: a component with all that it started, or what runs a task.
    :param pause_s: until another component takes its place.
    """

    after_s: float
    victim: str
    pause_s: float

    def __str__(self) -> str:
        pause = f", another one after {self.pause_s} s" if self.victim in COMPONENTS else ""
        return f"{self.after_s} s: {self.victim}{pause}"


@dataclass(frozen=True, kw_only=True)
class AirflowSchedule:
    """A job, and the losses during each of its runs."""

    job: Schedule
    losses: tuple[tuple[Loss, ...], ...]

    def __str__(self) -> str:
        lines = [
            f"  run {number}, after {loss}"
            for number, losses in enumerate(self.losses)
            for loss in losses
        ]
        return "\n".join([str(self.job), *lines])


def airflow_schedule_of(seed: int) -> AirflowSchedule:
    """The schedule of a number."""
    chance = random.Random(f"airflow {seed}")
    runs = (Run(kind="daily", window=0), Run(kind="daily", window=1))[: chance.choice((1, 1, 2))]
    job = replace(calm(seed), runs=runs, order="forward", staging="s3", partitions=False)
    return AirflowSchedule(job=job, losses=tuple(_losses(chance) for _ in runs))


def _losses(chance: random.Random) -> tuple[Loss, ...]:
    return tuple(
        Loss(
            after_s=round(chance.uniform(0, 0.9 if victim in (TASK, WATCHER) else 6), 2),
            victim=victim,
            pause_s=round(chance.uniform(0, 3), 2),
        )
        for victim in chance.choices(_VICTIMS, k=chance.randint(2, 4))
    )
