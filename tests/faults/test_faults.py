"""A fixed set of schedules, and whether who judges them would see what is wrong.

More of them: ``make faults N=200 SEED=1``.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.job import Job, Told, fork_server
from tests.faults.running import run_schedule
from tests.faults.schedule import Schedule, calm, of_whole_parts, schedule_of
from tests.faults.verdict import Judge
from tests.faults.world import Stage, World, stage, world

# Over S3 and FTP, forward, backwards and overlapping, with receipts lost, split and forged.
# They found faults before parts went up in pieces and rows were corrected, and go on as they were.
SEEDS = (11, 13, 16, 26, 1018, 1020)
# Both in pieces; rows corrected before a retry, and before a run is cleared.
LATER_SEEDS = (4, 18)


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
    [*map(of_whole_parts, SEEDS), *map(schedule_of, LATER_SEEDS)],
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
        assert any(
            said.startswith("records") for said in Judge(places, Told(sent=told.sent)).problems()
        )


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
        before, now = of_whole_parts(seed), schedule_of(seed)
        assert (before.runs, before.behaviour, before.loses) == (now.runs, now.behaviour, now.loses)
        is_forced = now.correction is not None
        assert is_forced or before.troubles.items() <= now.troubles.items()


def test_every_kind_of_trouble_has_its_turn() -> None:
    kinds = {kind for seed in range(1, 201) for kind in schedule_of(seed).kinds()}
    assert {
        "clock moved", "crm cut", "crm kill", "crm terminate", "disk full", "ftp cut",
        "ftp data cut", "ftp kill", "kill at any time", "kill before the result is told",
        "mail cut", "mail kill", "receipts lost", "receipts forged=2", "runs backwards",
        "runs overlapping", "s3 ExpiredToken", "s3 InternalError", "s3 OperationAborted",
        "s3 RequestTimeout", "s3 ServiceUnavailable", "s3 SlowDown", "s3 cut", "s3 kill",
        "two runs at once", "pieces", "rows corrected before the retry",
        "rows corrected before the clear",
    } <= kinds  # fmt: skip
