"""The circle: CRM → files → the sandbox's profiles → segment files → the CRM's own table."""

import csv
import gzip
import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_am_provider.cli import main
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.sandbox.account import Account
from airflow_am_provider.sandbox.outboxes import open_outbox
from airflow_am_provider.sandbox.segment_files import Destination, Habits, export_segments
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from tests.connections import Connect
from tests.sandbox.conftest import Bench, bench, uuid

__all__ = ["bench"]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CUSTOMERS = 50_000
DAYS = 10
TTL_DAYS = 6
SEGMENTS = {9001: frozenset({"24"}), 9002: frozenset({"25", "26"}), 9003: frozenset({"24", "27"})}
START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Crm:
    """Who has which trait, and since when it was last said: what a plain dictionary says."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.said: dict[str, dict[int, int]] = {}  # user to trait to the day it was last said

    def changes(self, day: int) -> list[tuple[str, list[int], list[int]]]:
        """What is delivered on a day: everybody at first, then some."""
        users = (
            range(CUSTOMERS) if day == 0 else self.chance.sample(range(CUSTOMERS), CUSTOMERS // 12)
        )
        rows = []
        for number in users:
            user = f"user-{number}"
            known = self.said.setdefault(user, {})
            added = [trait for trait in (24, 25, 26, 27) if self.chance.random() < 0.4] or [24]
            removed = [t for t in known if t not in added and self.chance.random() < 0.5]
            rows.append((user, added, removed))
            for trait in removed:
                del known[trait]
            known.update(dict.fromkeys(added, day))
        return rows

    def expire(self, day: int) -> None:
        for known in self.said.values():
            for trait in [trait for trait, said in known.items() if day - said >= TTL_DAYS]:
                del known[trait]

    def members(self) -> set[tuple[str, int]]:
        return {
            (user, segment)
            for user, known in self.said.items()
            for segment, traits in SEGMENTS.items()
            if traits & {str(trait) for trait in known}
        }


def formatted(tmp_path: Path, day: int, rows: list[tuple[str, list[int], list[int]]]) -> Path:
    """A day's file, made by the command line from a CSV file."""
    source, out = tmp_path / f"crm-{day}.csv", tmp_path / f"out-{day}"
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "traits", "gone"])
        writer.writerows((u, ",".join(map(str, a)), ",".join(map(str, r))) for u, a, r in rows)
    arguments = [
        "format",
        "data",
        "--dpid",
        "478",
        "--id-column",
        "id",
        "--traits-column",
        "traits",
    ]
    arguments += ["--removed-traits-column", "gone", str(source), "--out", str(out)]
    assert main(arguments) == 0
    (file,) = out.glob("*.sync.gz")
    return file


@pytest.mark.parametrize("seed", [1])
def test_the_table_has_the_segments_that_the_rules_give(
    bench: Bench, connect: Connect, tmp_path: Path, seed: int
) -> None:
    bench.configure(Account(trait_ttl_days=TTL_DAYS))
    bench.take(
        "adobe_id_0_478_1476312152.sync",
        [f"{uuid(number)}\tuser-{number}" for number in range(CUSTOMERS)],
    )
    crm, destination = Crm(seed), Destination(number=1234, dpid=478, segments=SEGMENTS)
    warehouse = connect({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.sqlite")})
    for day in range(DAYS):
        rows = crm.changes(day)
        bench.put(
            f"ftp_dpm_478_{1476400000 + day}.sync",
            gzip.decompress(formatted(tmp_path, day, rows).read_bytes()),
        )
        bench.run()
        # The sandbox looks for what has expired once an hour.
        bench.run(after_s=22 * 3600)
        crm.expire(day + 1)
        bench.run(after_s=2 * 3600)
        habits = Habits.drawn(seed * 100 + day)
        with open_outbox(str(tmp_path / "from-adobe")) as outbox:
            export_segments(
                bench.config.database,
                destination,
                "full" if day == 5 else "iter",
                START + timedelta(days=day),
                outbox,
                habits,
            )
        arrived = OutboundFilesSensor(
            task_id="arrived",
            location=str(tmp_path / "from-adobe"),
            batch_date=f"{START + timedelta(days=day):%Y-%m-%d}",
            poke_interval=0.1,
            timeout=5,
        ).execute({})
        OutboundLoadOperator(
            task_id="load",
            location=str(tmp_path / "from-adobe"),
            batches=arrived,
            table="segments",
            current_table="current_segments",
            conn_id=warehouse,
            # Which an account knows: a batch in which nobody was removed does not show it.
            separator_spaces=habits.spaces,
            max_set_aside=0,
        ).execute({})
        found, expected = current(tmp_path / "warehouse.sqlite"), crm.members()
        # Not the sets themselves: what differs would fill pages.
        assert (day, len(found - expected), len(expected - found)) == (day, 0, 0)
    assert len(expected) > CUSTOMERS / 10


def current(path: Path) -> set[tuple[str, int]]:
    import sqlite3

    with closing(sqlite3.connect(path)) as database:
        said = "SELECT user_id, segment FROM current_segments WHERE until IS NULL"
        return set(database.execute(said).fetchall())
