"""Draws schedules from numbers.

A fault belongs to one attempt of one task and counts that attempt's own words on a line, so that
the same number gives the same schedule on every machine.
"""

import random
from dataclasses import replace
from typing import Final

from tests.faults.schedule import VARIANTS, WINDOWS, Correction, Run, Schedule
from tests.faults.trouble import MIDNIGHT, Fault, Trouble
from tests.faults.widening import widened

# About as many requests as an attempt makes on a line.
_REQUESTS: Final = {
    ("s3", "format"): 9,
    ("s3", "upload"): 17,
    ("s3", "pieces"): 50,
    ("s3", "receipt"): 4,
    ("ftp", "upload"): 23,
    ("ftp", "receipt"): 8,
    ("mail", "receipt"): 8,
}
_S3_ANSWERS: Final = (
    (500, "InternalError"),
    (503, "SlowDown"),
    (503, "ServiceUnavailable"),
    (400, "ExpiredToken"),
    (400, "RequestTimeout"),
    (409, "OperationAborted"),
)
_RUNS: Final = (
    (("daily", 0), ("full", 0)),
    (("daily", 0), ("daily", 1)),
    (("daily", 0), ("full", 0), ("daily", 1)),
)
# Any of the sandbox's good habits, by the schedule's own number.
_DRAWN: Final = "drawn"
_BEHAVIOURS: Final = (
    "delay_s=1.2",
    _DRAWN,
    "copies=3,forged=1",
    "split_over=2",
    "split_over=3,copies=2",
    "merge_within_s=0.8",
    "merge_within_s=0.8,copies=2",
    "forged=2",
    "forged=1,delay_s=0.8",
    "pieces=3,split_over=3",
    "body=html",
    "body=plain,split_over=2,forged=1",
)


def calm(seed: int) -> Schedule:
    """The same job with nothing going wrong."""
    return _job(random.Random(seed), seed)


def schedule_of(seed: int) -> Schedule:
    """The schedule of a number."""
    # By generators of their own, so that a number's other troubles stay what they are.
    return widened(random.Random(f"wider {seed}"), of_one_dag(seed))


def of_one_dag(seed: int) -> Schedule:
    """Nobody else delivers to the target, and its store keeps what it promises."""
    return _corrected(random.Random(f"corrected {seed}"), in_pieces(seed))


def in_pieces(seed: int) -> Schedule:
    """Without corrections at the source."""
    return _in_pieces(random.Random(f"pieces {seed}"), of_whole_parts(seed))


def of_whole_parts(seed: int) -> Schedule:
    """Parts go up whole, and the source says the same each time."""
    chance = random.Random(seed)
    job = _job(chance, seed)
    runs = list(job.runs)
    if job.order == "forward" and chance.random() < 0.2:
        number = chance.randrange(len(runs))
        runs[number] = Run(kind=runs[number].kind, window=runs[number].window, twin=True)
    behaviour = chance.choice(_BEHAVIOURS) if chance.random() < 0.5 else ""
    if behaviour == _DRAWN:
        # Over FTP nothing else tells that an ID sync was processed.
        behaviour = f"drawn={seed},id_sync_receipts=true"
    loses = chance.choice(("ids", "data")) if chance.random() < 0.12 else ""
    job = replace(job, runs=tuple(runs), behaviour=behaviour, loses=loses)
    places = [
        (chain, number, task)
        for together in job.chains
        for chain, number, run in together
        for task in run.tasks
    ]
    troubles = {}
    for chain, number, task in chance.sample(places, min(len(places), chance.randint(2, 5))):
        for attempt in range(1, 1 + chance.choice((1, 1, 1, 2, 2, 3, 4))):
            troubles[chain, number, task, attempt] = _trouble(chance, job, task)
    return replace(job, troubles=troubles)


def _in_pieces(chance: random.Random, job: Schedule) -> Schedule:
    if job.transport != "s3" or chance.random() < 0.5:
        return job
    troubles = dict(job.troubles)
    for chain, number, task in (
        (chain, number, task)
        for together in job.chains
        for chain, number, run in together
        for task in run.tasks
        if task.startswith("upload")
    ):
        for attempt in range(1, 1 + chance.choice((0, 1, 2, 3))):
            fault = _s3(chance, "upload")
            fault = replace(fault, at=chance.randint(3, _REQUESTS["s3", "pieces"]))
            troubles.setdefault((chain, number, task, attempt), Trouble(faults=(fault,)))
    return replace(
        job,
        piece_bytes=chance.choice((4_000, 9_000, 20_000)),
        is_copied=chance.random() < 0.3,
        troubles=troubles,
    )


def _corrected(chance: random.Random, job: Schedule) -> Schedule:
    is_plain = job.order == "forward" and not job.partitions
    if not is_plain or any(run.twin for run in job.runs) or chance.random() < 0.5:
        return job
    correction = Correction(
        run=chance.randrange(len(job.runs)), when=chance.choice(("retry", "clear"))
    )
    troubles = dict(job.troubles)
    if correction.when == "retry":
        troubles[0, correction.run, "format", 1] = chance.choice(
            (
                Trouble(kill_at_end=True),
                Trouble(faults=(_crm(chance),)),
                Trouble(faults=(replace(_s3(chance, "format"), what="kill", times=1),)),
            )
        )
        return replace(job, correction=correction, troubles=troubles)
    for attempt in range(1, 2 + job.retries):
        fault = _s3(chance, "upload") if job.transport == "s3" else _ftp(chance, "upload")
        troubles[0, correction.run, "upload", attempt] = Trouble(
            faults=(replace(fault, what="kill", times=1),)
        )
    return replace(job, correction=correction, troubles=troubles, clears="the run")


def _job(chance: random.Random, seed: int) -> Schedule:
    transport = chance.choice(("s3", "s3", "ftp"))
    order = chance.choice(("forward", "forward", "forward", "backwards", "overlapping"))
    runs = [Run(kind=kind, window=window) for kind, window in chance.choice(_RUNS)]
    if order != "forward":
        runs = [Run(kind="daily", window=window, replays=True) for window in range(WINDOWS)]
    if order == "backwards":
        runs.reverse()
    return Schedule(
        seed=seed,
        variant=chance.randrange(VARIANTS),
        transport=transport,
        staging=chance.choice(("s3", "s3", "disk")),
        mail=chance.choice(("imap", "imap", "s3")),
        acknowledged_by=chance.choice(("counted", "counted", "counted", "picked_up", "counted")),
        deferrable=chance.random() < 0.4,
        partitions=chance.random() < 0.25,
        retries=chance.randint(1, 3),
        s3_attempts=chance.choice((1, 1, 2, 3)),
        clears=chance.choice(("the task", "the run")),
        behaviour="",
        loses="",
        order=order,
        runs=tuple(runs),
    )


def _trouble(chance: random.Random, job: Schedule, task: str) -> Trouble:
    step = {"replay": "upload"}.get(task, task.removesuffix("_ids"))
    ways = ["end", "time", "clock", "mix"]
    if job.transport == "s3" or job.staging == "s3" or (step == "receipt" and job.mail == "s3"):
        ways += ["s3"] * 4
    if step == "format":
        ways += ["crm"] * 3 + (["disk"] * 2 if job.staging == "disk" else [])
    if job.transport == "ftp" and step == "upload":
        ways += ["ftp"] * 6
    if job.transport == "ftp" and step == "receipt":
        ways += ["ftp"] * 2
    if step == "upload" and job.staging == "disk":
        ways.append("disk")
    if step == "receipt" and job.mail == "imap":
        ways += ["mail"] * 2
    way = chance.choice(ways)
    if way == "mix":
        return Trouble(
            faults=(_s3(chance, step), *([_ftp(chance, step)] if step == "upload" else [])),
            clock_s=_clock(chance),
        )
    if way == "ftp" and step == "upload" and chance.random() < 0.4:
        times = chance.choice((1, 1, 2, 5))
        return Trouble(ftp_cut=(chance.randrange(1, 60_000), times))
    made = {
        "end": lambda: Trouble(kill_at_end=True),
        "time": lambda: Trouble(kill_after_s=round(chance.uniform(0.02, 0.8), 3)),
        "clock": lambda: Trouble(clock_s=_clock(chance)),
        "disk": lambda: Trouble(free_bytes=chance.choice((0, 4_096, 60_000, 200_000))),
        "s3": lambda: Trouble(faults=(_s3(chance, step),)),
        "ftp": lambda: Trouble(faults=(_ftp(chance, step),)),
        "crm": lambda: Trouble(faults=(_crm(chance),)),
        "mail": lambda: Trouble(faults=(_mail(chance),)),
    }
    return made[way]()


def _clock(chance: random.Random) -> int | str:
    """Before midnight, hours or a day back, a little ahead: mail's clock is nearly right."""
    return chance.choice((MIDNIGHT, MIDNIGHT, -86_400, -7_200, -600, 900, 3_000))


def _s3(chance: random.Random, step: str) -> Fault:
    what = chance.choice(("answer", "answer", "cut", "kill"))
    at, after = chance.randint(1, _REQUESTS["s3", step]), chance.random() < 0.5
    if what == "kill":
        return Fault(line="s3", what=what, at=at, after=after)
    times = chance.choice((1, 1, 2, 3, 6, 12))
    if what == "cut":
        keep = chance.choice((0, 1, 100, 5_000, 50_000))
        return Fault(line="s3", what=what, at=at, times=times, after=after, keep=keep)
    status, code = chance.choice(_S3_ANSWERS)
    return Fault(line="s3", what=what, at=at, times=times, after=after, status=status, code=code)


def _ftp(chance: random.Random, step: str) -> Fault:
    return Fault(
        line="ftp",
        what=chance.choice(("cut", "kill")),
        at=chance.randint(1, _REQUESTS["ftp", step]),
        times=chance.choice((1, 1, 2)),
        after=chance.random() < 0.5,
    )


def _crm(chance: random.Random) -> Fault:
    what = chance.choice(("cut", "terminate", "kill"))
    # A day's rows are some 150,000 bytes; the greeting and the columns come before.
    at = chance.choice((1, 400, 3_000, chance.randrange(5_000, 150_000)))
    return Fault(line="crm", what=what, at=at, after=True)


def _mail(chance: random.Random) -> Fault:
    return Fault(
        line="mail",
        what=chance.choice(("cut", "kill")),
        at=chance.randint(1, _REQUESTS["mail", "receipt"]),
        times=chance.choice((1, 1, 3)),
        after=chance.random() < 0.5,
    )
