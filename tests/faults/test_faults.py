"""A fixed set of schedules, and whether who judges them would see what is wrong.

More of them: ``make faults N=200 SEED=1``.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.drawing import calm, of_one_dag, of_whole_parts, schedule_of
from tests.faults.job import Job, fork_server
from tests.faults.running import run_schedule
from tests.faults.schedule import DROPS, DROPS_SOME, REFUSES, Schedule
from tests.faults.stage import Stage, stage
from tests.faults.told import Told
from tests.faults.verdict import Judge
from tests.faults.world import World, world

# Over S3 and FTP, forward, backwards and overlapping, with receipts lost, split and forged.
# They found faults before parts went up in pieces and rows were corrected, and go on as they were.
SEEDS = (11, 16, 26, 1020)
# What goes wrong in these goes wrong in the others too.
LONG_SEEDS = (16, 1020)
# Both in pieces; rows corrected before a retry, and before a run is cleared.
LATER_SEEDS = (4, 18)
# A store that drops If-Match, rows corrected and put back, a lost receipt that is given up. A long
# history, one second for all, several DAGs and staging places at once, rows corrected before a
# replay, a lost receipt while a successor waits.
WIDER_SEEDS = (105, 385)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture(scope="module")
def context() -> Any:
    return fork_server()


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule",
    [
        *(
            pytest.param(of_whole_parts(seed), marks=[pytest.mark.long] * (seed in LONG_SEEDS))
            for seed in SEEDS
        ),
        *map(of_one_dag, LATER_SEEDS),
        *map(schedule_of, WIDER_SEEDS),
    ],
    ids=lambda schedule: str(schedule.seed),
)
def test_whatever_goes_wrong_nothing_is_lost_doubled_or_out_of_order(
    servers: World, context: Any, tmp_path: Path, schedule: Schedule
) -> None:
    result = run_schedule(servers, context, schedule, tmp_path)
    assert not result.problems, str(result)


@pytest.mark.slow
def test_the_judge_sees_what_is_wrong(servers: World, context: Any, tmp_path: Path) -> None:
    schedule = next(
        one for one in map(calm, range(1, 50)) if one.transport == "s3" and one.order == "forward"
    )
    with stage(servers, schedule, tmp_path) as places:
        told = Job(places, context).run()
        assert Judge(places, told).problems() == []
        _spoil(places)
        found = {said.partition(":")[0] for said in Judge(places, told).problems()}
        assert found == {"profiles", "nothing_half_sent", "records"}
        wrong = Told(
            sent=told.sent, refused_for=["no"], most_asked={"format": 99}, problems=["rows: wrong"]
        )
        found = {said.partition(":")[0] for said in Judge(places, wrong).problems()}
        assert found > {"on_the_way", "records", "store", "costs"}


def _spoil(places: Stage) -> None:
    """Take away a file from the bucket and a trait from a profile."""
    client = places.world.s3.client()
    listed = client.list_objects_v2(Bucket=places.bucket)["Contents"]
    key = next(item["Key"] for item in listed if item["Key"].endswith(".gz"))
    client.delete_object(Bucket=places.bucket, Key=key)
    with closing(sqlite3.connect(places.profiles)) as connection:
        connection.execute(
            "DELETE FROM traits WHERE (user, dpid, trait) IN (SELECT user, dpid, trait FROM traits "
            "LIMIT 1)"
        )
        connection.commit()


def test_a_number_says_all_of_a_schedule() -> None:
    assert [str(schedule_of(seed)) for seed in SEEDS] == [str(schedule_of(seed)) for seed in SEEDS]
    assert len({str(schedule_of(seed)) for seed in range(200)}) == 200


def test_what_is_drawn_later_changes_nothing_that_was_drawn_before() -> None:
    for seed in range(100):
        before, now = of_whole_parts(seed), of_one_dag(seed)
        assert (before.runs, before.behaviour, before.loses) == (now.runs, now.behaviour, now.loses)
        is_forced = now.correction is not None
        assert is_forced or before.troubles.items() <= now.troubles.items()
        wider = schedule_of(seed)
        assert (now.runs, now.behaviour, now.clears) == (wider.runs, wider.behaviour, wider.clears)
        faults = {place: one.faults for place, one in now.troubles.items()}
        assert (
            faults.items() <= {place: one.faults for place, one in wider.troubles.items()}.items()
        )


def test_every_kind_of_trouble_of_the_long_ones_is_in_the_others() -> None:
    whole = {seed: set(of_whole_parts(seed).kinds()) for seed in SEEDS}
    others = [kinds for seed, kinds in whole.items() if seed not in LONG_SEEDS]
    others += [set(of_one_dag(seed).kinds()) for seed in LATER_SEEDS]
    others += [set(schedule_of(seed).kinds()) for seed in WIDER_SEEDS]
    for seed in LONG_SEEDS:
        assert whole[seed] <= set().union(*others)


def test_wherever_a_successor_can_wait_a_receipt_is_lost() -> None:
    for schedule in map(schedule_of, range(200)):
        # A marker alone would do for the others.
        can_wait = schedule.acknowledged_by != "picked_up"
        is_lost = schedule.lost is not None or (
            schedule.order == "overlapping" and schedule.loses == "data"
        )
        assert is_lost >= can_wait


def test_every_kind_of_trouble_has_its_turn() -> None:
    kinds = {kind for seed in range(1, 301) for kind in schedule_of(seed).kinds()}
    ways = ("format", "receipt")
    assert {
        "clock moved", "crm cut", "crm kill", "crm terminate", "disk full", "ftp cut",
        "ftp data cut", "ftp kill", "kill at any time", "kill before the result is told",
        "mail cut", "mail kill", "receipts lost", "receipts forged=2", "runs backwards",
        "runs overlapping", "s3 ExpiredToken", "s3 InternalError", "s3 OperationAborted",
        "s3 RequestTimeout", "s3 ServiceUnavailable", "s3 SlowDown", "s3 cut", "s3 kill",
        "two runs at once", "pieces", "rows corrected before the retry",
        "rows corrected before the clear", "newer rows corrected before the replay",
        "older rows corrected before the replay", "all staged in one second", "no windows",
        "receipt lost, successor waits, then resend", "receipt lost, successor waits, then abandon",
        "1,000 deliveries before", "decisions in SQL", "DAGs at once", "both modes at once",
        "mapped tasks", "two staging places",
        *(f"store {one}" for one in (DROPS, DROPS_SOME, REFUSES)),
        *(f"rows corrected and put back, after {one} and {two}" for one in ways for two in ways),
    } <= kinds  # fmt: skip
