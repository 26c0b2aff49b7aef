"""A full extract of a real database, day after day, and what Audience Manager knows of it."""

import gzip
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.operators._row_source import RowSource
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sandbox import Account, Profiles, Sandbox, SandboxConfig
from airflow_am_provider.sandbox.rest import RestApi, RestConfig
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sources.hash_partition import PartitionRows
from airflow_am_provider.storage import LocalFolder
from demo.local.ftp import FtpServer
from demo.local.postgres import Postgres
from tests.connections import Connect

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

USERS = 60
RUN_AFTER = datetime(2026, 3, 1, 3, tzinfo=UTC)
Traits = dict[str, set[int]]


@dataclass
class World:
    """A CRM, an account at a local Audience Manager, and the tasks between them."""

    crm: Any
    staging: LocalFolder
    inbox: Path
    sandbox: Sandbox
    database: Path
    table: str

    def write(self, sql: str) -> None:
        with self.crm, self.crm.cursor() as cursor:
            cursor.execute(sql.format(table=self.table))

    def operator(self, **arguments: Any) -> SnapshotDiffOperator:
        source = {"conn_id": "crm", "sql": f"SELECT id, traits, gold FROM {self.table}"}
        return SnapshotDiffOperator(
            task_id="compare",
            **{
                "snapshot": "customers",
                "dpid": "478",
                "id_column": "id",
                "traits_column": "traits",
                "trait_flags": {"gold": "900"},
                **({} if "source" in arguments else source),
                **arguments,
            },
        )

    def compare(
        self, day: int, *, run_after: datetime = RUN_AFTER, **arguments: Any
    ) -> dict[str, Any]:
        # All on one day, but where a test says otherwise: nobody has a turn to be said again.
        dag_run = SimpleNamespace(dag_id="crm_to_aam", run_after=run_after)
        run = {"dag_run": dag_run, "run_id": f"scheduled__{day}"}
        found: dict[str, Any] = self.operator(**arguments).execute(run)
        return found

    def upload(self, manifest: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = UploadOperator(
            task_id="upload", manifest=manifest, poke_interval=0.01, order_timeout=0.05
        ).execute({})
        return found

    def process(self) -> None:
        self.sandbox.run_once(datetime.now(UTC), at_once=True)

    def acknowledge(self, delivery: dict[str, Any]) -> None:
        sensor = DeliveryReceiptSensor(
            task_id="receipt", delivery=delivery, poke_interval=0.01, timeout=5
        )
        sensor.execute({})

    def deliver(self, day: int, **arguments: Any) -> dict[str, Any]:
        manifest = self.compare(day, **arguments)
        delivery = self.upload(manifest)
        self.process()
        self.acknowledge(delivery)
        return manifest

    def lines(self, manifest: dict[str, Any]) -> list[str]:
        contents = [(self.staging.root / part["path"]).read_bytes() for part in manifest["parts"]]
        return sorted(b"".join(map(gzip.decompress, contents)).decode().splitlines())

    def known(self) -> Traits:
        """What Audience Manager knows."""
        found: Traits = {}
        with Profiles(self.database) as profiles:
            for kind, *row in profiles.dump():
                if kind == "trait":
                    _, user, _, trait = row
                    found.setdefault(user, set()).add(int(trait))
        return found

    def true(self) -> Traits:
        """What the CRM says."""
        with self.crm, self.crm.cursor() as cursor:
            cursor.execute(f"SELECT id, traits, gold FROM {self.table}")
            found = {
                user: {*map(int, (traits or "").split(",") if traits else ())}
                | ({900} if gold else set())
                for user, traits, gold in cursor
            }
        return {user: traits for user, traits in found.items() if traits}


@pytest.fixture
def world(
    tmp_path: Path,
    postgres: Postgres,
    ftp_server: FtpServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    inbox = ftp_server.root / uuid4().hex
    inbox.mkdir()
    staging, mails, table = LocalFolder(tmp_path / "staging"), tmp_path / "mails", "c" + inbox.name
    extra = {
        "environment": "custom",
        "transport": "ftp",
        "ftp_conn_id": connect(ftp_server.airflow_connection()),
        "ftp_directory": f"/{inbox.name}",
        "staging_location": staging.url,
        "receipts_location": str(mails),
    }
    connections: dict[str, dict[str, Any]] = {
        "audience_manager_default": {"conn_type": "audience_manager", "extra": extra},
        "crm": postgres.airflow_connection(),
    }
    for conn_id, document in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(document))
    (inbox / "adobe_id_0_478_1366545600.sync").write_text(
        "".join(f"{n:038}\tuser-{n}\n" for n in range(1, USERS + 10))
    )
    database = tmp_path / "sandbox.db"
    sandbox = Sandbox(
        SandboxConfig(database=database, inboxes=(f"ftp-folder:{inbox}",), mailboxes=(str(mails),))
    )
    crm = psycopg2.connect(postgres.uri())
    world = World(crm, staging, inbox, sandbox, database, table)
    world.write(
        "CREATE TABLE {table} AS SELECT 'user-' || n AS id, (n % 5)::text || ',' || 10 + n % 7 "
        f"AS traits, n % 3 = 0 AS gold FROM generate_series(1, {USERS}) AS n"
    )
    world.process()
    yield world
    crm.close()
    sandbox.close()


MOVES = (
    "UPDATE {table} SET traits = '77' WHERE id IN ('user-1', 'user-2'); "
    "DELETE FROM {table} WHERE id = 'user-3'; "
    "UPDATE {table} SET gold = NOT gold WHERE id = 'user-6'; "
    "UPDATE {table} SET traits = NULL, gold = NULL WHERE id = 'user-7'; "
    "INSERT INTO {table} VALUES ('user-61', '1', true)"
)


def test_an_old_difference_is_not_sent_after_a_newer_one(world: World) -> None:
    world.deliver(1)
    # The upload of the second day failed, and is cleared after the third day's.
    world.write("UPDATE {table} SET traits = '77' WHERE id = 'user-1'")
    second = world.compare(2)
    time.sleep(1)  # manifests tell seconds
    world.write("UPDATE {table} SET traits = '78' WHERE id = 'user-1'")
    world.deliver(3)
    with pytest.raises(AirflowFailException, match="is older than what was sent for the same"):
        world.upload(second)
    world.process()
    assert world.known() == world.true()


def test_a_user_who_opts_out_loses_all_traits_and_is_not_sent_again(
    world: World, tmp_path: Path
) -> None:
    opted_out = tmp_path / "opted-out.csv"
    opted_out.write_text("id\nuser-9\nnobody\n")
    world.deliver(1)
    manifest = world.deliver(2, suppression_source=str(opted_out))
    assert world.lines(manifest) == ["user-9\td_unsid=4,d_unsid=12,d_unsid=900"]
    assert manifest["set_aside_by_reason"] == {"suppressed": 1}
    assert manifest["rows_read"] == manifest["rows_written"] + 1 == USERS
    left = {user: traits for user, traits in world.true().items() if user != "user-9"}
    assert world.known() == left
    with pytest.raises(AirflowSkipException):
        world.compare(3, suppression_source=str(opted_out))
    world.deliver(4)
    assert world.known() == world.true()


def test_day_after_day_audience_manager_knows_what_the_crm_says(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    first = world.deliver(1)
    assert world.known() == world.true()
    assert (first["rows_read"], first["rows_written"], first["removes"]) == (USERS, USERS, True)
    world.write(MOVES)
    second = world.deliver(2)
    assert world.lines(second) == [
        "user-1\td_sid=77,d_unsid=1,d_unsid=11",
        "user-2\td_sid=77,d_unsid=2,d_unsid=12",
        "user-3\td_unsid=3,d_unsid=13,d_unsid=900",
        "user-6\td_unsid=900",
        "user-61\td_sid=1,d_sid=900",
        "user-7\td_unsid=2,d_unsid=10",
    ]
    assert world.known() == world.true()
    log = caplog.text + capsys.readouterr().out
    assert "Compared with nothing: no delivery of this extract is acknowledged" in log
    assert "60 rows read = 60 of users that have changed + 0 unchanged + 0 set aside" in log
    assert "Compared with snapshot 1 (snapshots/" in log
    assert "60 rows read = 5 of users that have changed + 55 unchanged + 0 set aside" in log
    assert "6 users have changed, 55 have not: 4 traits added, 10 removed" in log


def test_what_users_keep_is_said_again_before_it_expires(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world.deliver(1)
    later = world.deliver(2, run_after=RUN_AFTER + timedelta(days=20))
    # About a quarter of them, by turns.
    assert 5 < len(world.lines(later)) < 30
    assert all("d_unsid" not in line for line in world.lines(later))
    last = world.deliver(3, run_after=RUN_AFTER + timedelta(days=80))
    assert len(world.lines(last)) == USERS - len(world.lines(later))
    assert not {*world.lines(last)} & {*world.lines(later)}
    assert world.known() == world.true()
    log = caplog.text + capsys.readouterr().out
    assert "0 users have changed, 60 have not: 0 traits added, 0 removed, " in log
    with pytest.raises(AirflowSkipException):
        world.compare(4, run_after=RUN_AFTER + timedelta(days=80))


def test_traits_have_times_to_live_of_their_own(world: World) -> None:
    ttl = {"default": "0", "900": 7}
    world.deliver(1, trait_ttl_days=ttl)
    manifest = world.deliver(2, run_after=RUN_AFTER + timedelta(days=3), trait_ttl_days=ttl)
    assert world.lines(manifest) == sorted(f"user-{n}\td_sid=900" for n in range(3, 61, 3))
    with pytest.raises(AirflowFailException, match="trait_ttl_days: 'soon' is not a number of"):
        world.compare(3, trait_ttl_days="soon")


def test_the_api_says_when_traits_expire(
    world: World, api_connection: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AirflowFailException, match="which trait_ttl_days='api' asks"):
        world.compare(1, trait_ttl_days="api")
    account = Account(traits={478: frozenset({"1", "900"})}, trait_ttls={"900": 7})
    with RestApi(RestConfig.of(account)) as api:
        name = "AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT"
        document = json.loads(os.environ[name])
        document["extra"]["api_conn_id"] = api_connection(api)
        monkeypatch.setenv(name, json.dumps(document))
        first = world.compare(1, trait_ttl_days="api")
        # A token and the list.
        assert len(api.requests) == 2
        delivery = world.upload(first)
        world.process()
        world.acknowledge(delivery)
        again = world.compare(2, run_after=RUN_AFTER + timedelta(days=3), trait_ttl_days="api")
    said = [line.split("\t") for line in world.lines(again)]
    gold = {user for user, items in said if "d_sid=900" in items.split(",")}
    assert gold == {f"user-{number}" for number in range(3, 61, 3)}
    # The other 120 have three turns of eighty.
    assert sum(len(items.split(",")) for _, items in said) < len(gold) + 25


def test_nothing_has_changed(world: World) -> None:
    world.deliver(1)
    with pytest.raises(AirflowSkipException, match="Nothing to send: 60 rows read"):
        world.compare(2)
    with pytest.raises(AirflowFailException, match="on_empty='fail'"):
        world.compare(2, on_empty="fail")


def test_a_task_that_is_tried_again_gives_the_same_delivery(world: World) -> None:
    world.deliver(1)
    world.write(MOVES)
    first = world.compare(2)
    delivery = world.upload(first)
    assert world.compare(2) == first
    assert world.upload(first) == delivery
    world.process()
    world.acknowledge(delivery)
    with pytest.raises(AirflowSkipException):
        world.compare(2)
    assert world.known() == world.true()


def test_a_delivery_that_came_back_from_nowhere_is_made_up_for(world: World) -> None:
    world.deliver(1)
    # Sent, taken away, and never heard of again; the next one was given up before it was sent.
    world.write(MOVES)
    lost = world.upload(world.compare(2))
    for path in world.inbox.glob("ftp_dpm_*.sync*.gz"):
        path.unlink()
    world.write("UPDATE {table} SET traits = '78' WHERE id = 'user-2'")
    never_sent = world.compare(3)
    records = DeliveryRecords(Targets(world.staging))
    for delivery_id in (lost["delivery_id"], never_sent["delivery_id"]):
        records.end(delivery_id, DeliveryState.ABANDONED, "tests")
    world.write("UPDATE {table} SET traits = '79' WHERE id IN ('user-1', 'user-4')")
    world.deliver(4)
    assert world.known() == world.true()


def test_two_deliveries_are_never_under_way_at_once(world: World) -> None:
    first = world.upload(world.compare(1))
    world.write(MOVES)
    second = world.compare(2)
    with pytest.raises(AirflowFailException, match="goes before it"):
        world.upload(second)
    world.process()
    world.acknowledge(first)
    delivery = world.upload(second)
    world.process()
    world.acknowledge(delivery)
    assert world.known() == world.true()


def test_an_extract_that_is_cut_short_removes_nobody(world: World) -> None:
    world.deliver(1)
    before = world.known()
    short = {"sql": f"SELECT id, traits, gold FROM {world.table} LIMIT 40"}
    files = {entry.path for entry in world.staging.list()}
    with pytest.raises(AirflowFailException, match=r"max_removed allows 20\.00%"):
        world.compare(2, **short)
    with pytest.raises(AirflowFailException, match=r"140 of 140 traits .* \(100\.00%\)"):
        world.compare(2, sql=f"SELECT id, traits, gold FROM {world.table} WHERE false")
    assert {entry.path for entry in world.staging.list()} == files
    world.deliver(2, **short, max_removed="1.0")
    assert len(world.known()) == 40
    assert world.known().items() <= before.items()


def test_a_row_that_breaks_a_rule_takes_nothing_away(world: World) -> None:
    world.deliver(1)
    before = world.known()
    world.write("UPDATE {table} SET traits = 'none' WHERE id = 'user-5'")
    world.write("UPDATE {table} SET traits = '50' WHERE id = 'user-8'")
    manifest = world.deliver(2, max_set_aside="1")
    assert manifest["set_aside_by_reason"] == {"trait_not_numeric": 1}
    assert (manifest["rows_read"], manifest["rows_written"]) == (60, 59)
    assert world.known() == {**before, "user-8": {50}}


def test_another_run_in_between_makes_the_task_extract_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(1)
    read = RowSource.rows

    def with_another_run(*arguments: Any) -> PartitionRows:
        monkeypatch.setattr(RowSource, "rows", read)
        rows = list(read(*arguments).batches)
        world.write(MOVES)
        world.deliver(2)
        world.write("UPDATE {table} SET traits = '80' WHERE id = 'user-9'")
        return PartitionRows(batches=iter(rows), partitioning="")

    monkeypatch.setattr(RowSource, "rows", with_another_run)
    world.write("UPDATE {table} SET traits = '79' WHERE id = 'user-9'")
    with pytest.raises(AirflowException, match="compared the same extract") as caught:
        world.compare(3)
    assert not isinstance(caught.value, AirflowFailException)
    world.deliver(3)
    assert world.known() == world.true()


def test_files_are_compared_too(world: World, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text('id,traits\nuser-1,"1,2"\nuser-2,3\n')
    arguments: dict[str, Any] = {"source": str(path), "trait_flags": None, "snapshot": "files"}
    world.deliver(1, **arguments)
    path.write_text("id,traits\nuser-1,2\n")
    manifest = world.deliver(2, **arguments, max_removed=2)
    assert world.lines(manifest) == ["user-1\td_unsid=1", "user-2\td_unsid=3"]
    assert world.known() == {"user-1": {2}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"snapshot": ""}, "snapshot: '' is not a text"),
        ({"max_removed": "many"}, "max_removed: 'many' is neither a number of traits nor"),
        ({"traits_column": None, "trait_flags": None}, "no items: name at least one column"),
        ({"dpid": "20914"}, "target"),
    ],
)
def test_what_is_refused(world: World, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(AirflowFailException, match=said):
        world.compare(1, **arguments)


@pytest.mark.parametrize("parameter", ["partition", "watermark_start"])
def test_what_would_make_less_than_a_full_extract_is_no_parameter(
    world: World, parameter: str
) -> None:
    with pytest.raises(TypeError, match=f"Invalid arguments were:\n.*'{parameter}'"):
        world.compare(1, **{parameter: "0"})


def test_what_a_share_of_the_rows_is_read_from_may_be_divided_all_the_same(world: World) -> None:
    manifest = world.compare(1, partitions=3)
    assert manifest["rows_read"] == USERS
    assert world.compare(1) == manifest
