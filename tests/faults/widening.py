"""What is drawn around a job: who else delivers, what its store keeps, and what came before it."""

import random
from dataclasses import replace

from tests.faults.schedule import (
    DROPS,
    DROPS_SOME,
    MAPPED,
    REFUSES,
    Correction,
    LostReceipt,
    Run,
    Schedule,
    ThereAndBack,
)
from tests.faults.trouble import MIDNIGHT, Place, Trouble


def widened(chance: random.Random, job: Schedule) -> Schedule:
    """The same job in a wider world."""
    job = _with_lost_receipt(chance, job)
    job = _with_windows_or_none(chance, job)
    job = _with_more_corrections(chance, job)
    job = _with_store(chance, job)
    job = _with_others(chance, job)
    return _with_clocks(chance, job)


def _with_lost_receipt(chance: random.Random, job: Schedule) -> Schedule:
    """Always, where anything can wait: a marker alone would do for ``picked_up``."""
    run = 0 if job.order == "backwards" else chance.randrange(len(job.runs) - 1)
    way = chance.choice(("resend", "resend", "abandon"))
    if job.acknowledged_by == "picked_up":
        return job
    if job.order != "forward" or job.runs[run].twin:
        # Of what was given up, nothing is sent again after older data.
        way = "resend"
    lost = LostReceipt(run=run, way=way) if job.order != "overlapping" else None
    if lost is None:
        return replace(job, loses="data")
    return replace(job, lost=lost, loses=job.loses.replace("data", ""))


def _with_windows_or_none(chance: random.Random, job: Schedule) -> Schedule:
    # Without windows what was staged later is newer: that is known of what runs in turn.
    return replace(job, is_windowless=chance.random() < 0.25 and job.order == "forward")


def _with_more_corrections(chance: random.Random, job: Schedule) -> Schedule:
    is_drawn, after = chance.random() < 0.4, chance.choices(("format", "receipt"), k=2)
    if not is_drawn or job.correction is not None or job.partitions:
        return job
    if job.order == "backwards":
        when = Correction(run=1, when="replay", window=chance.randrange(2))
        return replace(job, correction=when)
    runs = [
        number
        for number, run in enumerate(job.runs)
        # What comes after what waited for it would be too old.
        if not run.twin and not (job.lost and job.lost.run == number)
    ]
    if job.order != "forward" or not runs:
        return job
    back = ThereAndBack(run=chance.choice(runs), after=(after[0], after[1]))
    return replace(job, there_and_back=back)


def _with_store(chance: random.Random, job: Schedule) -> Schedule:
    """Where decisions are kept, and how; and whether many were kept before."""
    way = chance.random()
    if job.staging == "s3" and way < 0.15:
        return replace(job, conditions=chance.choice((DROPS, DROPS_SOME, REFUSES)))
    if way < 0.3:
        return replace(job, in_sql=True)
    return replace(job, is_old=job.staging == "s3" and way < 0.45)


def _with_others(chance: random.Random, job: Schedule) -> Schedule:
    """Other DAGs, of other modes, mapped and from elsewhere, all at once."""
    is_first, count = chance.random() < 0.5, chance.choice((0, 0, 2, 3))
    mapped = [
        Run(kind="daily", window=0, dag="mapped", customers=1, share=n) for n in range(MAPPED)
    ]
    full = [Run(kind="full", window=0, dag="weekly", customers=2)]
    elsewhere = [Run(kind="daily", window=0, dag="elsewhere", customers=3, place=1)]
    groups = chance.sample([mapped, full, elsewhere], count)
    beside = tuple(run for group in groups for run in group)
    troubles = dict(job.troubles)
    for number in range(len(job.runs), len(job.runs) + len(beside)):
        for task in ("format", "upload"):
            if chance.random() < 0.25:
                troubles[0, number, task, 1] = chance.choice(
                    (
                        Trouble(kill_at_end=True),
                        Trouble(kill_after_s=round(chance.uniform(0.1, 1.0), 3)),
                    )
                )
    # Of what overlaps, receipts are lost from the start.
    is_first = is_first and job.order != "overlapping"
    return replace(job, beside=beside, is_beside_first=is_first, troubles=troubles)


def _with_clocks(chance: random.Random, job: Schedule) -> Schedule:
    way = chance.random()
    if way < 0.2:
        return replace(job, is_frozen=True)
    if way > 0.5:
        return job
    troubles: dict[Place, Trouble] = dict(job.troubles)
    for together in job.chains:
        for chain, number, run in together:
            for task in run.tasks:
                for attempt in range(1, 4):
                    place = (chain, number, task, attempt)
                    clock = chance.choice((MIDNIGHT, -86_400, -7_200, -1, 1, 900, 3_000))
                    if task.startswith("format"):
                        troubles[place] = replace(job.trouble(place), clock_s=clock)
    return replace(job, troubles=troubles)
