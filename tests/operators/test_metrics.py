"""What a task tells by Airflow's Stats, as a StatsD server hears it."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from airflow_am_provider.airflow_compat import (
    AirflowFailException,
    AirflowSkipException,
    stats,
)
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sandbox.event_feeds import Feed, export_feed
from airflow_am_provider.sandbox.outboxes import open_outbox
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.connections import Connect

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = "S3_1234_20914_full_1768953600000"
SENDER = "aam-noreply@adobe.com"


@dataclass
class Server:
    """A StatsD server that keeps what it hears."""

    line: socket.socket
    heard: list[str] = field(default_factory=list)

    def said(self) -> dict[str, str]:
        """What was said about deliveries since it was asked last: by name, what and how much."""
        self.line.settimeout(0.2)
        found: dict[str, str] = {}
        while True:
            try:
                datagram = self.line.recv(65_536).decode()
            except TimeoutError:
                return found
            for told in datagram.splitlines():
                name, _, value = told.partition(":")
                if name.startswith("airflow.audience_manager."):
                    assert name not in found, f"{name} was told twice"
                    found[name.removeprefix("airflow.audience_manager.")] = value


def _begin() -> None:
    """What the process of a task does before the task; Airflow 3.1 does it by itself."""
    try:
        from airflow.sdk.observability.metrics import stats_utils
    except ImportError:
        # Airflow 3.1 chooses when its module is loaded.
        told: Any = stats()
        metaclass: Any = type(told)
        told.instance = None
        if "factory" in vars(metaclass):
            del metaclass.factory
        metaclass.__init__(told)
        return
    try:
        from airflow.sdk.observability.stats import initialize
    except ImportError:  # Airflow 3.2
        older: Any = stats()
        choose: Any = stats_utils.get_stats_factory
        older.initialize(factory=choose(older))
        return
    initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(line.getsockname()[1]))
        _begin()
        yield Server(line)
    monkeypatch.undo()
    _begin()


@pytest.fixture
def with_tags(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
    _begin()


@dataclass
class World:
    """Customers, a connection, and the mail that comes back."""

    conn_id: str
    crm: sqlite3.Connection
    mail: LocalFolder

    def format(self, **arguments: Any) -> Any:
        task = FormatDataFileOperator(
            **{
                "task_id": "format",
                "sql": "SELECT * FROM customers ORDER BY id",
                "conn_id": "crm",
                "dpid": 478,
                "id_column": "id",
                "traits_column": "traits",
                "max_set_aside": 1.0,
                "audience_manager_conn_id": self.conn_id,
                **arguments,
            }
        )
        return task.execute(context())

    def upload(self, manifest: Any) -> Any:
        task = UploadOperator(
            task_id="upload", manifest=manifest, audience_manager_conn_id=self.conn_id
        )
        return task.execute(context())

    def answer(self, sent: dict[str, Any], **counts: Any) -> None:
        receipt = Receipt(paths=tuple(f"s3n://b/{name}" for name in sent["files"]), **counts)
        raw = (
            f"From: <{SENDER}>\r\n"
            f"Subject: Adobe Audience Manager Server-To-Server Processing Result:\r\n"
            f"Message-ID: <{uuid4().hex}@adobe.example>\r\n\r\n"
        ) + str(receipt).replace("\n", "\r\n")
        self.mail.write_bytes(uuid4().hex, raw.encode())

    def receipt(self, sent: dict[str, Any], **arguments: Any) -> Any:
        task = DeliveryReceiptSensor(
            task_id="receipt",
            delivery=sent,
            audience_manager_conn_id=self.conn_id,
            poke_interval=0.05,
            timeout=5,
            **arguments,
        )
        return task.execute(context())


def context() -> Any:
    return {"dag_run": SimpleNamespace(dag_id="crm.daily"), "run_id": "manual__1"}


@pytest.fixture
def world(
    bucket_connection: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    path = tmp_path / "crm.sqlite"
    crm = sqlite3.connect(path)
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    mail = LocalFolder(tmp_path / "mail")
    with crm:
        crm.execute("CREATE TABLE customers (id text, traits text)")
        crm.executemany(
            "INSERT INTO customers VALUES (?, '1,2')", [*((f"c{n}",) for n in range(199)), ("a:b",)]
        )
    conn_id = bucket_connection(
        staging_location=str(tmp_path / "staging"),
        receipts_location=mail.url,
    )
    return World(conn_id, crm, mail)


# A dot would be taken for the end of a part of the name.
NAMED = "custom.478.crm__daily"


def test_each_figure_is_told_once_by_the_task_that_made_it(server: Server, world: World) -> None:
    manifest = world.format()
    assert server.said() == {
        f"rows_read.{NAMED}": "200|c",
        f"rows_written.{NAMED}": "199|c",
        f"rows_set_aside.{NAMED}": "1|c",
    }
    assert world.format()["delivery_id"] == manifest["delivery_id"]
    assert server.said() == {}

    sent = world.upload(manifest)
    assert server.said() == {f"lines.{NAMED}": "199|c"}
    assert world.upload(manifest) == sent
    assert server.said() == {}

    world.answer(sent, records_received=199, stored_records=150, no_matching_aam_id=49)
    world.receipt(sent)
    said = server.said()
    seconds = said.pop(f"seconds_to_acknowledgement.{NAMED}")
    assert re.fullmatch(r"\d+(\.\d+)?\|ms", seconds)
    assert said.pop(f"match_rate.{NAMED}").startswith("0.7537688")
    assert said == {f"received.{NAMED}": "199|c", f"stored.{NAMED}": "150|c"}
    world.receipt(sent)
    assert server.said() == {}


def test_a_delivery_that_fails_by_its_receipt_is_told_too_and_once(
    server: Server, world: World
) -> None:
    sent = world.upload(world.format())
    world.answer(sent, records_received=199, stored_records=0, format_errors=199)
    server.said()
    for told in ({f"received.{NAMED}", f"stored.{NAMED}", f"match_rate.{NAMED}"}, set()):
        with pytest.raises(AirflowFailException):
            world.receipt(sent, limits={"format_errors": 0})
        assert {name for name in server.said() if not name.startswith("seconds")} == told
    # Judged by another limit it is another judgement of the same records.
    world.receipt(sent)
    assert server.said() == {}


def test_what_is_sent_again_on_purpose_is_told_again(server: Server, world: World) -> None:
    sent = world.upload(world.format())
    world.answer(sent, records_received=199, stored_records=199)
    world.receipt(sent)
    server.said()
    hook = AudienceManagerHook(world.conn_id)
    hook.resend(sent["delivery_id"])
    assert server.said() == {}  # a person did it, not a task
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    world.answer(
        sent, records_received=199, stored_records=198, no_matching_aam_id=1, job_start=later
    )
    world.receipt(sent)
    assert server.said()[f"stored.{NAMED}"] == "198|c"


def test_counts_of_several_deliveries_together_are_not_told_of_one(
    server: Server, world: World
) -> None:
    sent = world.upload(world.format())
    receipt = {**sent, "files": {**sent["files"], "ftp_dpm_7_1366545799.sync.gz": 1}}
    world.answer(receipt, records_received=200, stored_records=200)
    server.said()
    world.receipt(sent)
    assert list(server.said()) == [f"seconds_to_acknowledgement.{NAMED}"]


@pytest.mark.usefixtures("with_tags")
def test_tags_where_stats_takes_them(server: Server, world: World) -> None:
    world.format()
    tags = ",environment=custom,data_source=478,dag_id=crm.daily"
    assert server.said() == {
        f"rows_read{tags}": "200|c",
        f"rows_written{tags}": "199|c",
        f"rows_set_aside{tags}": "1|c",
    }


def test_partitions_are_told_as_the_one_delivery_they_make(server: Server, world: World) -> None:
    formatted = [world.format(partitions=2, partition=number) for number in (0, 1)]
    assert server.said() == {}
    combine = CombinePartitionsOperator(
        task_id="combine", formatted=formatted, audience_manager_conn_id=world.conn_id
    )
    combine.execute(context())
    assert server.said()[f"rows_read.{NAMED}"] == "200|c"
    combine.execute(context())
    assert server.said() == {}


def test_rows_of_which_none_can_be_sent_are_told(server: Server, world: World) -> None:
    with pytest.raises(AirflowSkipException):
        world.format(sql="SELECT * FROM customers WHERE id = 'a:b'")
    assert server.said()[f"rows_set_aside.{NAMED}"] == "1|c"


def test_a_batch_is_told_when_it_is_loaded(
    server: Server, tmp_path: Path, connect: Connect
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB x\n")
    files = {"Files": [{"FileName": f"{ROOT}.sync", "FileByteSize": 8}]}
    (inbox / f"{ROOT}.info").write_text(json.dumps(files))
    conn_id = connect({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.sqlite")})
    load = OutboundLoadOperator(
        task_id="load", location=str(inbox), table="segments", conn_id=conn_id, max_set_aside=1
    )
    load.execute(context())
    dag = load.dag_id
    assert server.said() == {
        f"outbound.rows_loaded.1234.{dag}": "1|c",
        f"outbound.lines_set_aside.1234.{dag}": "1|c",
    }
    with pytest.raises(AirflowSkipException):
        load.execute(context())
    assert server.said() == {}


def test_an_hour_of_a_feed_is_told_when_it_is_extracted(server: Server, tmp_path: Path) -> None:
    with open_outbox(str(tmp_path / "feed")) as outbox:
        since = datetime(2026, 1, 31, 5, tzinfo=UTC)
        export_feed(":memory:", Feed(dpid=478, since=since, logins=["ann", "bob"]), outbox)
    task = EventFeedExtractOperator(
        task_id="feed",
        location=str(tmp_path / "feed"),
        into=str(tmp_path / "into"),
        window_end="2026-01-31T06:00",
    )
    task.execute(context())
    dag = task.dag_id
    assert server.said() == {
        f"feed.events_written.{dag}": "2|c",
        f"feed.events_set_aside.{dag}": "0|c",
    }
    task.execute(context())
    assert server.said() == {}


def test_a_failing_stats_fails_no_task(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> Any:
        raise ImportError("no module named airflow.stats")

    monkeypatch.setattr(metrics, "stats", fails)
    assert world.format()["rows_read"] == 200
    assert (
        "The metric audience_manager.rows_read was not sent, which changes nothing else: "
        "ImportError: no module named airflow.stats" in caplog.text
    )


@pytest.mark.parametrize(
    ("options", "takes"),
    [
        ({}, False),
        ({"STATSD_ON": "True"}, False),
        ({"STATSD_ON": "True", "OTEL_ON": "True"}, False),
        ({"STATSD_ON": "True", "STATSD_INFLUXDB_ENABLED": "True"}, True),
        ({"STATSD_DATADOG_ENABLED": "True"}, True),
        ({"STATSD_DATADOG_ENABLED": "True", "STATSD_DATADOG_METRICS_TAGS": "False"}, False),
        ({"OTEL_ON": "True"}, True),
    ],
)
def test_whether_there_are_tags_is_as_airflow_chooses(
    options: dict[str, str], takes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{name}", value)
    assert metrics._takes_tags() is takes
