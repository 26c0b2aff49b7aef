"""The receipt sensor with real mailboxes, folders, buckets and FTP hosts."""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.target.queries import is_settled
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.sending import resend_delivery
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.storage import LocalFolder
from demo.local.ftp import FtpServer
from demo.local.imap import ImapServer
from demo.local.s3 import S3
from tests.airflow_compat import TaskDeferred
from tests.connections import Connect
from tests.hooks.test_receipt_events import Post
from tests.sensors.conftest import CONTEXT, SUBJECT, World
from tests.staged_deliveries import NAMES, content_of

OTHER = "ftp_dpm_7_1366545799.sync.gz"


def an_hour(hours: int) -> Any:
    """A time so many hours from now, as a job's."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)


@pytest.fixture
def world(make_world: Callable[..., World], mail_to_folder: Any) -> World:
    location, append = mail_to_folder
    return make_world(append, **location)


@pytest.fixture
def world_with_mailbox(
    make_world: Callable[..., World], imap_server: ImapServer, connect: Connect
) -> World:
    conn_id = connect(imap_server.airflow_connection())
    return make_world(imap_server.append, receipts_imap_conn_id=conn_id)


def test_a_receipt_in_the_mailbox_is_reconciled(
    world_with_mailbox: World, imap_server: ImapServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world = world_with_mailbox
    unread = imap_server.count("UNSEEN")
    world.receipt(
        NAMES, records_received=2000, format_errors=0, no_matching_aam_id=7, stored_records=1993
    )
    result = world.sensor(limits={"format_errors": 0}, timeout=50).execute(CONTEXT)
    assert result == world.written()
    (record,) = AudienceManagerHook(world.conn_id).deliveries()
    assert result["timeout_s"] == record.entry.figures["timeout_s"] == 50
    assert json.loads(json.dumps(result)) == result
    assert (result["verdict"], result["exact"], result["acknowledged"]) == (
        "reconciled",
        True,
        True,
    )
    assert result["delivery_id"] == world.delivery["delivery_id"]
    assert (result["counts"]["no_matching_aam_id"], result["rows_set_aside"]) == (7, 5)
    (table,) = [one for one in caplog.messages if one.startswith("Receipts:")]
    titles, row = (re.split(r"\s{2,}", line) for line in table.splitlines()[1:])
    assert dict(zip(titles, row, strict=True)) == {
        "delivery": "0123456789abcdef0123",
        "files": "2/2",
        "rows read": "2,005",
        "rows written": "2,000",
        "rows set aside": "5",
        "lines": "2,000",
        "records received": "2,000",
        "records stored": "1,993",
        "no match": "7 unknown",
        "match rate": "99.7 %",
        "verdict": "reconciled",
    }
    assert "No Matching AAM ID: 7 of 2,000 records received" in caplog.text
    assert imap_server.count("UNSEEN") == unread + 1


def test_a_delivery_of_which_nothing_was_stored_is_no_quiet_success(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.receipt(NAMES, records_received=2000, no_matching_aam_id=2000, stored_records=0)
    result = world.sensor().execute(CONTEXT)
    warned = [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.name.endswith(".receipt_report")
    ]
    assert warned == [f"0123456789abcdef0123: {warning}" for warning in result["warnings"]]
    assert [warning.partition(":")[0] for warning in result["warnings"]] == [
        "nothing was stored", "No Matching AAM ID",
    ]  # fmt: skip


@pytest.mark.parametrize("deferrable", [False, True])
def test_of_a_delivery_that_was_sent_again_the_last_sending_is_acknowledged(
    world: World, deferrable: bool
) -> None:
    hook = AudienceManagerHook(world.conn_id)
    resend_delivery(hook, world.delivery["delivery_id"])
    world.receipt(NAMES, records_received=2000, job_start=an_hour(1))
    # What the upload returned is all that the cleared task knows.
    result = world.sensor(deferrable=deferrable).execute(CONTEXT)
    assert (result["sending"], result["verdict"]) == (2, "reconciled")
    records = DeliveryRecords(hook.targets())
    record = records.find(world.delivery["delivery_id"])
    assert (record.sending, record.state) == (2, DeliveryState.RECONCILED)
    # What waits for the first sending, as data for its ID sync, goes on.
    assert is_settled(record.target.state().entries.get(record.entry.delivery_id))


def test_a_late_receipt_of_the_first_sending_is_not_added_to_that_of_the_second(
    world: World,
) -> None:
    resend_delivery(AudienceManagerHook(world.conn_id), world.delivery["delivery_id"])
    for hours in (-1, 1):
        world.receipt(NAMES, records_received=2000, job_start=an_hour(hours))
    result = world.sensor().execute(CONTEXT)
    assert (result["verdict"], result["sending"], result["receipts"]) == ("reconciled", 2, 1)


def test_a_worker_whose_clock_is_ahead_finds_the_receipt_of_what_it_sent_again(
    world: World,
) -> None:
    world.receipt(NAMES, records_received=2000, job_start=an_hour(-12))
    world.sensor().execute(CONTEXT)
    resend_delivery(AudienceManagerHook(world.conn_id), world.delivery["delivery_id"])
    earlier: Any = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=15)
    world.receipt(NAMES, records_received=2000, job_start=earlier)
    result = world.sensor().execute(CONTEXT)
    assert (result["verdict"], result["sending"], result["receipts"]) == ("reconciled", 2, 1)


@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_a_cut_copy_of_the_first_receipt_does_not_acknowledge_what_was_sent_again(
    world: World, is_acknowledged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    counts: Any = {"records_received": 2000, "format_errors": 0}
    if is_acknowledged:
        world.receipt(NAMES, **counts, job_start=an_hour(-12))
        world.sensor().execute(CONTEXT)
    resend_delivery(AudienceManagerHook(world.conn_id), world.delivery["delivery_id"])
    world.receipt(NAMES, records_received=2000)
    world.receipt(NAMES[:1], records_received=2000)
    world.receipt([NAMES[0], NAMES[1]], **counts)
    sensor = world.sensor()
    assert not sensor.poke(CONTEXT)
    assert "does not count for its sending 2: it" in caplog.text
    world.receipt(NAMES, **counts, job_start=an_hour(1))
    result = sensor.poke(CONTEXT).xcom_value
    assert (result["verdict"], result["sending"], result["receipts"]) == ("reconciled", 2, 1)


def test_a_receipt_split_over_several_mails_and_come_twice(world: World) -> None:
    for name in (NAMES[0], NAMES[0], NAMES[1]):
        world.receipt([name], records_received=1000)
    result = world.sensor().execute(CONTEXT)
    assert (result["verdict"], result["receipts"], result["counts"]["records_received"]) == (
        "reconciled",
        2,
        2000,
    )


def test_a_receipt_of_several_deliveries_says_what_is_not_known(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.receipt([*NAMES, OTHER], records_received=9000, stored_records=8000)
    result = world.sensor().execute(CONTEXT)
    assert (result["verdict"], result["exact"], result["counts"]) == ("shared", False, None)
    assert result["shared_counts"]["records_received"] == 9000
    (table,) = [one for one in caplog.messages if one.startswith("Receipts:")]
    told = re.split(r"\s{2,}", table.splitlines()[-1])[5:]
    assert told == ["2,000", "≤ 9,000", "≤ 8,000", "not known", "-", "shared"]


def test_two_deliveries_in_one_receipt(world: World) -> None:
    other = world.upload(contents={OTHER: content_of(OTHER)}, delivery_id="f" * 20)
    world.receipt([*NAMES, OTHER], records_received=3000)
    results = world.sensor(delivery=[world.delivery, None, other]).execute(CONTEXT)
    assert [result["delivery_id"] for result in results] == [
        world.delivery["delivery_id"],
        "f" * 20,
    ]
    assert {result["verdict"] for result in results} == {"shared"}


def test_a_late_receipt_is_waited_for(world: World) -> None:
    world.receipt([NAMES[0]], records_received=1000)
    sensor = world.sensor()
    assert not sensor.poke(CONTEXT)
    world.receipt([NAMES[1]], records_received=1000)
    result = sensor.poke(CONTEXT)
    assert result.is_done
    assert result.xcom_value["verdict"] == "reconciled"


def test_messages_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    read_bytes = LocalFolder.read_bytes

    def count(self: LocalFolder, path: str) -> bytes | None:
        if not path.startswith(("targets/", "deliveries/")):
            read.append(path)
        return read_bytes(self, path)

    monkeypatch.setattr(LocalFolder, "read_bytes", count)
    world.receipt([OTHER], records_received=1)
    sensor = world.sensor()
    for _ in range(5):
        assert not sensor.poke(CONTEXT)
    assert len(read) == 1


def test_mail_that_is_no_receipt_of_adobes_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.receipt(NAMES, sender="somebody@else.example", records_received=2000)
    world.receipt(
        NAMES,
        headers="Authentication-Results: mx.example; dmarc=fail header.from=adobe.example\r\n",
        records_received=2000,
    )
    world.append(f"From: <{world.sender}>\r\nSubject: {SUBJECT}\r\n\r\nplanted words".encode())
    assert not world.sensor().poke(CONTEXT)
    assert caplog.text.count("Not taken as a receipt: ") == 2
    assert "is not authenticated" in caplog.text
    assert "planted" not in caplog.text
    assert "somebody" not in caplog.text


def test_a_mail_server_that_names_no_name_can_be_required(
    make_world: Callable[..., World], mail_to_folder: Any
) -> None:
    # As Microsoft 365 writes it.
    location, append = mail_to_folder
    world = make_world(
        append, receipts_authentication="require", receipts_authserv_id="unnamed", **location
    )
    results = (
        "Authentication-Results: {}spf=pass smtp.mailfrom=adobe.example; dkim=pass (signature was "
        "verified) header.d=adobe.example;dmarc=pass action=none header.from=adobe.example\r\n"
    )
    world.receipt(NAMES, headers=results.format("forger.example; "), records_received=1)
    world.receipt(NAMES, records_received=1)
    world.receipt(NAMES, headers=results.format(""), records_received=2000)
    assert world.sensor().execute(CONTEXT)["counts"]["records_received"] == 2000


@pytest.mark.parametrize("deferrable", [False, True])
def test_when_time_is_up_it_says_what_is_known(world: World, deferrable: bool) -> None:
    world.receipt([NAMES[0]], records_received=1000)
    sensor = world.sensor(timeout=0.2, deferrable=deferrable)
    with pytest.raises(AirflowSensorTimeout) as caught:
        run(sensor)
    assert (
        f"Not acknowledged within 0:00:00.200000: delivery {world.delivery['delivery_id']}: "
        f"receipts: 1 of 2 files counted; markers: none of 2 files; 1,000 records of 2,000 lines "
        f"sent came back so far, 1,000 did not; waiting for {NAMES[1]}. "
    ) in str(caught.value)
    assert "others of this delivery came back, so data source and way are right" in str(
        caught.value
    )
    assert str(caught.value).count(". ") == 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_receipt_that_comes_after_the_sensor_gave_up_completes_the_record(
    world: World, deferrable: bool
) -> None:
    records = DeliveryRecords(Targets(world.staging))
    with pytest.raises(AirflowSensorTimeout):
        run(world.sensor(timeout=0.2, deferrable=deferrable))
    assert records.find(world.delivery["delivery_id"]).state is DeliveryState.SENT
    world.receipt(NAMES, records_received=2000)
    # Somebody clears it.
    result = run(world.sensor(timeout=5, deferrable=deferrable))
    assert result["verdict"] == "reconciled"
    assert records.find(world.delivery["delivery_id"]).state is DeliveryState.RECONCILED


class TestLimits:
    @pytest.mark.parametrize("limits", [{"format_errors": 0.01}, {"format_errors": "20"}])
    def test_over_the_limit_fails_without_a_retry(
        self, world: World, limits: dict[str, Any]
    ) -> None:
        world.receipt(NAMES, records_received=2000, format_errors=21)
        with pytest.raises(AirflowFailException, match="format_errors: 21") as caught:
            world.sensor(limits=limits).execute(CONTEXT)
        assert str(caught.value).startswith(f"delivery {world.delivery['delivery_id']}: ")
        assert world.written()["problems"] == [str(caught.value).partition(": ")[2]]

    def test_over_the_limit_may_skip_or_warn(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.receipt(NAMES, records_received=2000, format_errors=1)
        limits = {"format_errors": 0}
        with pytest.raises(AirflowSkipException, match="format_errors: 1, over the limit of 0"):
            world.sensor(limits=limits, on_breach="skip").execute(CONTEXT)
        result = world.sensor(limits=limits, on_breach="warn").execute(CONTEXT)
        assert result["problems"] == ["format_errors: 1, over the limit of 0"]
        assert "format_errors: 1, over the limit of 0" in caplog.text

    def test_a_cross_device_data_source_loses_nothing_without_a_match(
        self, make_world: Callable[..., World], mail_to_folder: Any
    ) -> None:
        location, append = mail_to_folder
        limits = {"no_matching_aam_id": 0.1}
        unknown = make_world(append, **location)
        unknown.receipt(NAMES, records_received=2000, no_matching_aam_id=500)
        with pytest.raises(AirflowFailException, match="no_matching_aam_id: 500 of 2,000"):
            unknown.sensor(limits=limits).execute(CONTEXT)
        known = make_world(append, **location, cross_device_data_sources="901, 478")
        known.receipt(NAMES, records_received=2000, no_matching_aam_id=500)
        result = known.sensor(limits=limits).execute(CONTEXT)
        assert (result["problems"], result["no_match"], result["no_match_lost"]) == (
            [], "stored", 0,
        )  # fmt: skip

    def test_within_the_limit(self, world: World) -> None:
        world.receipt(NAMES, records_received=2000, format_errors=20)
        result = world.sensor(limits={"format_errors": 0.01}).execute(CONTEXT)
        assert result["problems"] == []

    def test_records_that_are_wanting_are_a_breach_without_any_limit(self, world: World) -> None:
        world.receipt(NAMES, records_received=1999)
        with pytest.raises(AirflowFailException) as caught:
            world.sensor().execute(CONTEXT)
        assert str(caught.value) == (
            f"delivery {world.delivery['delivery_id']}: 2,000 lines were sent, and 1,999 records "
            f"received"
        )

    def test_a_limit_that_receipts_say_nothing_about(self, world: World) -> None:
        world.receipt(NAMES, records_received=2000)
        result = world.sensor(limits={"invalid_device_id": 0}).execute(CONTEXT)
        assert result["open_questions"] == [
            "invalid_device_id: not in every receipt, so its limit is not checked"
        ]


def mark(s3: S3, bucket: str, world: World, name: str) -> None:
    key = f"acme/date={world.delivery['day']}/{name}.processed"
    s3.client().put_object(Bucket=bucket, Key=key, Body=b"")


class TestMarkers:
    def test_markers_in_the_bucket(self, s3: S3, bucket: str, world: World) -> None:
        sensor = world.sensor(acknowledged_by="processed")
        mark(s3, bucket, world, NAMES[0])
        assert not sensor.poke(CONTEXT)
        mark(s3, bucket, world, NAMES[1])
        result = sensor.poke(CONTEXT).xcom_value
        assert (result["acknowledged"], result["marked"]) == (True, list(NAMES))
        assert (result["verdict"], result["counts"]) == ("pending", None)

    @pytest.mark.parametrize("may_list", [True, False])
    def test_a_marker_of_the_time_before_says_nothing_of_what_was_sent_again(
        self, s3: S3, bucket: str, world: World, monkeypatch: pytest.MonkeyPatch, may_list: bool
    ) -> None:
        from airflow_am_provider.audience_manager.errors import ConfigurationError
        from airflow_am_provider.storage import S3Folder

        def refuse(self: S3Folder, prefix: str = "") -> Any:
            raise ConfigurationError("S3 answered AccessDenied")

        if not may_list:
            monkeypatch.setattr(S3Folder, "list", refuse)
        for name in NAMES:
            mark(s3, bucket, world, name)
        time.sleep(1.1)  # S3 tells times by the second
        resend_delivery(AudienceManagerHook(world.conn_id), world.delivery["delivery_id"])
        sensor = world.sensor(acknowledged_by="processed")
        assert not sensor.poke(CONTEXT)
        for name in NAMES:
            mark(s3, bucket, world, name)
        assert sensor.poke(CONTEXT).is_done

    def test_on_ftp_what_was_sent_again_is_not_picked_up_while_it_lies_there(
        self, ftp_world: World, ftp_directory: Path
    ) -> None:
        processed = {name: name.replace(".sync", ".processed") for name in NAMES}
        for name in NAMES:
            (ftp_directory / name).rename(ftp_directory / processed[name])
        resend_delivery(AudienceManagerHook(ftp_world.conn_id), ftp_world.delivery["delivery_id"])
        sensor = ftp_world.sensor(acknowledged_by="picked_up")
        assert not sensor.poke(CONTEXT)
        for name in NAMES:
            (ftp_directory / name).rename(ftp_directory / processed[name])
        assert sensor.poke(CONTEXT).is_done

    def test_the_ladder(self, s3: S3, bucket: str, world: World) -> None:
        mark(s3, bucket, world, NAMES[0])
        world.receipt([NAMES[1]], records_received=1000)
        assert world.sensor(acknowledged_by="picked_up").poke(CONTEXT).is_done
        assert world.sensor(acknowledged_by="processed").poke(CONTEXT).is_done
        assert not world.sensor(acknowledged_by="counted").poke(CONTEXT)
        world.receipt([NAMES[0]], format_errors=0)
        assert not world.sensor(acknowledged_by="counted").poke(CONTEXT)
        world.receipt([NAMES[0]], records_received=1000, format_errors=0)
        assert world.sensor(acknowledged_by="counted").poke(CONTEXT).is_done

    def test_signs_that_disagree_stand_side_by_side(
        self, s3: S3, bucket: str, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        mark(s3, bucket, world, NAMES[0])
        world.receipt(NAMES, records_received=2000, stored_records=1990)
        found = world.sensor().poke(CONTEXT).xcom_value
        assert found["signs"] == [
            {"sign": "receipts", "picked_up": 2, "processed": 2, "counted": 2,
             "figures": {"records_received": 2000, "stored_records": 1990}},
            {"sign": "markers", "picked_up": 1, "processed": 1, "counted": 0, "figures": {}},
        ]  # fmt: skip
        said = f"receipts tell of {NAMES[1]}, and markers do not"
        assert found["disagreements"] == [said]
        assert f"signs disagree: {said}" in caplog.text
        assert "receipts: 2 of 2 files counted" in caplog.text
        assert "markers: 1 of 2 files processed" in caplog.text

    def test_a_sign_that_is_not_needed_may_be_refused(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_am_provider.audience_manager.errors import TransientError
        from airflow_am_provider.storage import S3Folder

        def break_off(self: S3Folder, path: str = "") -> Any:
            raise TransientError("S3 does not answer")

        monkeypatch.setattr(S3Folder, "list", break_off)
        world.receipt(NAMES, records_received=2000)
        found = world.sensor().poke(CONTEXT).xcom_value
        assert [sign["sign"] for sign in found["signs"]] == ["receipts"]

    @pytest.mark.parametrize("missing_is_forbidden", [False, True])
    def test_whoever_may_not_list_asks_for_each_marker(
        self,
        s3: S3,
        bucket: str,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        missing_is_forbidden: bool,
    ) -> None:
        from airflow_am_provider.audience_manager.errors import ConfigurationError
        from airflow_am_provider.storage import S3Folder

        def refuse(self: S3Folder, prefix: str = "") -> Any:
            raise ConfigurationError("S3 answered AccessDenied")

        exists = S3Folder.exists

        def refuse_what_is_missing(self: S3Folder, path: str) -> bool:
            # As S3 answers those who may read objects and not list them.
            return exists(self, path) or refuse(self)

        monkeypatch.setattr(S3Folder, "list", refuse)
        if missing_is_forbidden:
            monkeypatch.setattr(S3Folder, "exists", refuse_what_is_missing)
        sensor = world.sensor(acknowledged_by="processed")
        for name in NAMES:
            assert not sensor.poke(CONTEXT)
            mark(s3, bucket, world, name)
        assert sensor.poke(CONTEXT).is_done

    def test_whoever_may_only_write_is_told_at_once(
        self,
        world: World,
        s3: S3,
        audience_manager: Connect,
        connect: Connect,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        from airflow_am_provider.audience_manager.errors import ConfigurationError
        from airflow_am_provider.storage import S3Folder

        def refuse(self: S3Folder, path: str = "") -> Any:
            raise ConfigurationError("S3 answered AccessDenied")

        without_receipts = audience_manager(
            environment="custom",
            bucket=world.delivery["destination"].split("/")[2],
            partner_name="acme",
            aws_conn_id=connect(s3.airflow_connection()),
            staging_location=world.staging.url,
        )
        monkeypatch.setattr(S3Folder, "list", refuse)
        monkeypatch.setattr(S3Folder, "exists", refuse)
        assert not world.sensor(acknowledged_by="processed").poke(CONTEXT)
        assert "Going by receipts alone: S3 answered AccessDenied" in caplog.text
        world.conn_id = without_receipts
        with pytest.raises(AirflowFailException, match="S3 answered AccessDenied"):
            world.sensor(acknowledged_by="processed").poke(CONTEXT)

    def test_on_ftp_a_marker_does_not_show_that_a_file_was_processed(
        self, ftp_world: World, ftp_directory: Path
    ) -> None:
        for name in NAMES:
            (ftp_directory / name).rename(ftp_directory / name.replace(".sync", ".processed"))
        assert not ftp_world.sensor(acknowledged_by="processed").poke(CONTEXT)
        ftp_world.receipt(NAMES, format_errors=0)
        assert ftp_world.sensor(acknowledged_by="processed").poke(CONTEXT).is_done

    @pytest.fixture
    def ftp_directory(self, ftp_server: FtpServer) -> Path:
        directory = ftp_server.root / uuid4().hex
        directory.mkdir()
        return directory

    @pytest.fixture
    def ftp_world(
        self,
        make_world: Callable[..., World],
        mail_to_folder: Any,
        ftp_server: FtpServer,
        ftp_directory: Path,
        connect: Connect,
    ) -> World:
        location, append = mail_to_folder
        return make_world(
            append,
            transport="ftp",
            bucket="",
            ftp_conn_id=connect(ftp_server.airflow_connection()),
            ftp_directory=f"/{ftp_directory.name}",
            **location,
        )

    def test_files_picked_up_on_ftp(self, ftp_world: World, ftp_directory: Path) -> None:
        sensor = ftp_world.sensor(acknowledged_by="picked_up")
        for name in NAMES:
            assert not sensor.poke(CONTEXT)
            (ftp_directory / name).rename(ftp_directory / name.replace(".sync", ".processed"))
        assert sensor.poke(CONTEXT).is_done

    def test_markers_that_were_seen_count_when_they_are_gone(
        self, ftp_world: World, ftp_directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_am_provider.triggers.receipt import ReceiptTrigger

        first, second = NAMES
        (ftp_directory / first).rename(ftp_directory / first.replace(".sync", ".processed"))
        look = ReceiptTrigger.look

        def look_and_remove(self: ReceiptTrigger) -> Any:
            found = look(self)
            for file in ftp_directory.iterdir():
                file.unlink()
            return found

        def process() -> None:
            (ftp_directory / first.replace(".sync", ".processed")).unlink()
            (ftp_directory / second).rename(ftp_directory / second.replace(".sync", ".processed"))

        monkeypatch.setattr(ReceiptTrigger, "look", look_and_remove)
        sensor = ftp_world.sensor(acknowledged_by="picked_up", deferrable=True)
        assert run(sensor, meanwhile=process)["marked"] == list(NAMES)


def run(sensor: DeliveryReceiptSensor, meanwhile: Callable[[], object] = lambda: None) -> Any:
    """Run a sensor as Airflow does: execute, and, while it defers, trigger and resume."""
    try:
        return sensor.execute(CONTEXT)
    except TaskDeferred as deferred:
        wait = deferred
    while True:
        path, arguments = wait.trigger.serialize()
        assert json.loads(json.dumps(arguments)) == arguments
        module, _, name = path.rpartition(".")
        trigger = getattr(import_module(module), name)(**arguments)
        meanwhile()

        async def first_event(trigger: Any = trigger) -> Any:
            return await anext(aiter(trigger.run()))

        event = asyncio.run(first_event())
        payload = json.loads(json.dumps(event.payload))
        resume = getattr(sensor, wait.method_name)
        try:
            return resume(CONTEXT, event=payload, **(wait.kwargs or {}))
        except TaskDeferred as deferred:
            wait = deferred


class TestDeferrable:
    def test_what_is_there_already_needs_no_trigger(self, world: World) -> None:
        world.receipt(NAMES, records_received=2000)
        result = world.sensor(deferrable=True).execute(CONTEXT)
        assert result["verdict"] == "reconciled"

    def test_it_waits_in_the_triggerer(self, world_with_mailbox: World) -> None:
        world = world_with_mailbox
        result = run(
            world.sensor(deferrable=True),
            meanwhile=lambda: world.receipt(NAMES, records_received=2000),
        )
        assert result["verdict"] == "reconciled"
        assert world.written() == result

    def test_a_breach_fails_after_resuming(self, world: World) -> None:
        with pytest.raises(AirflowFailException, match="format_errors: 5"):
            run(
                world.sensor(deferrable=True, limits={"format_errors": 0}),
                meanwhile=lambda: world.receipt(NAMES, records_received=2000, format_errors=5),
            )

    def test_no_message_travels_through_the_database(self, world: World) -> None:
        with pytest.raises(TaskDeferred) as caught:
            world.sensor(deferrable=True).execute(CONTEXT)
        _, arguments = caught.value.trigger.serialize()
        assert set(arguments) == {
            "deliveries",
            "audience_manager_conn_id",
            "acknowledged_by",
            "since",
            "poll_interval_s",
            "deadline",
            "marked",
            "failures",
            "wait_s",
        }
        assert caught.value.timeout is not None
        assert caught.value.timeout > timedelta(minutes=10)

    def trigger(self, world: World, **arguments: Any) -> Any:
        from airflow_am_provider.triggers.receipt import ReceiptTrigger

        now = datetime.now(UTC).replace(microsecond=0)
        return ReceiptTrigger(
            **{
                "deliveries": [world.delivery],
                "audience_manager_conn_id": world.conn_id,
                "acknowledged_by": "counted",
                "since": (now - timedelta(hours=1)).isoformat(),
                "poll_interval_s": 0.01,
                "deadline": (now + timedelta(seconds=20)).isoformat(),
                **arguments,
            }
        )

    async def test_a_wrong_connection_is_not_tried_again(self, world: World) -> None:
        trigger = self.trigger(world, audience_manager_conn_id="absent")
        event = await anext(aiter(trigger.run()))
        assert event.payload["status"] == "error"
        with pytest.raises(AirflowFailException, match="Airflow has no connection 'absent'"):
            world.sensor().execute_complete(CONTEXT, event.payload)

    async def test_the_triggerer_stays_awake_while_a_look_blocks(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import time

        from airflow_am_provider.deliveries.acknowledgement import ReceiptWatch

        look = ReceiptWatch.look

        def slow(self: ReceiptWatch) -> Any:
            time.sleep(0.5)
            return look(self)

        monkeypatch.setattr(ReceiptWatch, "look", slow)
        world.receipt(NAMES, records_received=2000)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        ticking = asyncio.create_task(tick())
        event = await anext(aiter(self.trigger(world).run()))
        ticking.cancel()
        assert event.payload["status"] == "acknowledged"
        assert ticks > 10


def test_a_failure_that_passes_does_not_end_the_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_am_provider.audience_manager.errors import TransientError
    from airflow_am_provider.hooks.mailbox import ReceiptFolder

    world.receipt(NAMES, records_received=2000)
    mails, calls = ReceiptFolder.mails, 0

    def fail_twice(self: ReceiptFolder, since: datetime, *, seen: Any = ()) -> Any:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise TransientError("the line broke")
        return mails(self, since, seen=seen)

    monkeypatch.setattr(ReceiptFolder, "mails", fail_twice)
    assert world.sensor().execute(CONTEXT)["verdict"] == "reconciled"
    assert calls == 3
    calls = -100
    with pytest.raises(AirflowException, match="the line broke"):
        world.sensor().execute(CONTEXT)


def test_an_event_by_sqs_wakes_the_sensor_and_without_one_nothing_is_listed(
    make_world: Callable[..., World], s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_am_provider.hooks.mailbox import ReceiptFolder

    post = Post(s3, bucket)
    world = make_world(
        lambda raw: post.put(f"mail/{uuid4().hex}", raw),
        receipts_location=f"s3://{bucket}/mail",
        receipts_sqs_queue=post.url,
    )
    mails, listed = ReceiptFolder.mails, 0

    def counted(self: ReceiptFolder, since: datetime, *, seen: Any = ()) -> Any:
        nonlocal listed
        listed += 1
        return mails(self, since, seen=seen)

    monkeypatch.setattr(ReceiptFolder, "mails", counted)
    sensor, other = world.sensor(), world.sensor(acknowledged_by="processed")
    for one in (sensor, sensor, sensor, other, other):
        assert not one.look().is_over
    assert listed == 2
    monkeypatch.setattr("airflow_am_provider.hooks.receipt_events._HIDDEN_S", 0)
    world.receipt(NAMES, records_received=2000)
    assert [one.look().is_over for one in (sensor, other)] == [True, True]
    assert listed == 4
    assert world.written()["verdict"] == "reconciled"


@pytest.mark.parametrize("nothing", [None, [], [None], ""])
def test_when_nothing_was_sent_it_is_skipped(world: World, nothing: object) -> None:
    with pytest.raises(AirflowSkipException, match="Nothing was sent"):
        world.sensor(delivery=nothing).execute(CONTEXT)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"acknowledged_by": "hope"},
            "acknowledged_by: 'hope' is none of 'picked_up', 'processed', 'counted', 'wait'",
        ),
        ({"on_breach": "cry"}, "on_breach: 'cry' is none of 'fail', 'warn', 'skip'"),
        ({"receipts_since": "today"}, "receipts_since: 'today' is no time in ISO 8601"),
        (
            {"delivery": {"files": {}}},
            "delivery: delivery_id: missing; pass what UploadOperator returned",
        ),
        ({"delivery": "no"}, "delivery: not JSON: "),
        ({"limits": {"tears": 0}}, "limits: 'tears' is no count with a limit; known: "),
        ({"limits": ["format_errors"]}, "limits: counts with their limits were expected"),
    ],
)
def test_wrong_parameters_fail_at_once(
    world: World, arguments: dict[str, Any], message: str, deferrable: bool
) -> None:
    with pytest.raises(AirflowFailException) as caught:
        world.sensor(deferrable=deferrable, **arguments).execute(CONTEXT)
    assert str(caught.value).startswith(message)


def test_a_connection_without_receipts(make_world: Callable[..., World]) -> None:
    world = make_world(lambda raw: None)
    with pytest.raises(AirflowFailException) as caught:
        world.sensor().execute(CONTEXT)
    assert str(caught.value) == (
        f"connection {world.conn_id!r}: neither receipts_imap_conn_id nor receipts_location says "
        f"where receipts come in, and nothing else can show that files were counted; fill in one, "
        f"or go by less: acknowledged_by='processed' or 'wait'"
    )


def test_a_delivery_of_another_destination(world: World) -> None:
    elsewhere = {**world.delivery, "destination": "s3://demdex-s2s-clients/acme"}
    with pytest.raises(AirflowFailException, match="each of the tasks the same connection"):
        world.sensor(delivery=elsewhere).execute(CONTEXT)


class TestFixedWait:
    def written(self, world: World, age: timedelta) -> None:
        """Let the notes of the sending be so old, by the clock of what holds staging."""
        old = time.time() - age.total_seconds()
        for note in (Path(world.staging.url) / world.delivery["location"] / "sending").iterdir():
            os.utime(note, (old, old))

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_it_counts_from_when_the_sending_was_completed(
        self, world: World, deferrable: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        hour = {"acknowledged_by": "wait", "wait": timedelta(hours=1), "timeout": 7200}
        self.written(world, timedelta(minutes=59))
        assert not world.sensor(**hour).poke(CONTEXT)
        self.written(world, timedelta(minutes=61))
        result = world.sensor(**hour, deferrable=deferrable).execute(CONTEXT)
        assert (result["assumed"], result["acknowledged"], result["verdict"]) == (
            True, True, "pending",
        )  # fmt: skip
        assert "nothing shows that Audience Manager has read it" in caplog.text
        records = DeliveryRecords(AudienceManagerHook(world.conn_id).targets())
        record = records.find(world.delivery["delivery_id"])
        assert record.state is DeliveryState.ASSUMED
        # A receipt that comes after all takes the place of what was assumed.
        world.receipt(NAMES, records_received=2000)
        world.sensor().execute(CONTEXT)
        assert records.find(record.entry.delivery_id).state is DeliveryState.RECONCILED

    def test_what_the_clocks_of_workers_say_plays_no_part(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The worker that sent it thought that it was last week.
        hook = AudienceManagerHook(world.conn_id)
        target = DeliveryRecords(hook.targets()).find(world.delivery["delivery_id"]).target
        state = target.state()
        (entry,) = state.entries.values()
        assert entry.sending is not None
        sending = replace(entry.sending, sent_at="2020-01-01T00:00:00+00:00")
        monkeypatch.setattr(
            type(target), "state", lambda _: state.with_entry(replace(entry, sending=sending))
        )
        early = {**world.delivery, "sent_at": "2020-01-01T00:00:00+00:00"}
        hour = {"acknowledged_by": "wait", "wait": 3600, "timeout": 7200}
        assert not world.sensor(**hour, delivery=early).poke(CONTEXT)
        # And the one that sent it had a clock that was ahead.
        late = {**world.delivery, "sent_at": "2040-01-01T00:00:00+00:00"}
        self.written(world, timedelta(minutes=61))
        assert world.sensor(**hour, delivery=late).poke(CONTEXT).is_done

    def test_a_sign_that_it_was_processed_ends_it(self, world: World) -> None:
        world.receipt(NAMES, records_received=2000)
        result = world.sensor(acknowledged_by="wait", timeout=2 * 86400).poke(CONTEXT).xcom_value
        assert (result["assumed"], result["verdict"]) == (False, "reconciled")

    def test_it_needs_no_place_where_receipts_come_in(
        self, make_world: Callable[..., World]
    ) -> None:
        world = make_world(lambda raw: None)
        self.written(world, timedelta(days=2))
        sensor = world.sensor(acknowledged_by="wait", timeout=2 * 86400)
        assert sensor.poke(CONTEXT).xcom_value["assumed"]

    @pytest.mark.parametrize(
        ("wait", "message"),
        [
            ("soon", "wait: 'soon' is no number of seconds"),
            (0, "wait: 0: more than 0 seconds are needed"),
            (5, "wait: 0:00:05 is no shorter than the task's timeout of 0:00:05"),
        ],
    )
    def test_a_wait_that_cannot_be(self, world: World, wait: Any, message: str) -> None:
        with pytest.raises(AirflowFailException) as caught:
            world.sensor(acknowledged_by="wait", wait=wait).poke(CONTEXT)
        assert str(caught.value) == message


class TestTimeIsUp:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_the_message_says_what_may_be_wrong_and_what_to_ask(
        self, world: World, deferrable: bool
    ) -> None:
        sensor = world.sensor(deferrable=deferrable, timeout=0.2)
        with pytest.raises(AirflowSensorTimeout) as caught:
            run(sensor)
        message = str(caught.value)
        known, check, ask = message.split(". ")
        assert known.startswith("Not acknowledged within 0:00:00.200000: delivery ")
        assert check == (
            "Check the mailbox and the way to Adobe first: as far as the records of staging go, "
            "nothing was ever acknowledged"
        )
        assert re.fullmatch(
            "Ask whoever administers Audience Manager whether data source 478 is your company's "
            "own or has an access mapping to it, and the address that is read here gets the "
            r"receipts of data source 478: https://\S+"
            "/receipts.md#when-no-receipt-comes",
            ask,
        )
        # What was known then is kept, with each sign of its own.
        assert world.written()["acknowledged"] is False
        assert [sign["sign"] for sign in world.written()["signs"]] == ["receipts", "markers"]

    def test_a_receipt_that_is_lost_asks_for_the_mail_alone(
        self, s3: S3, bucket: str, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        mark(s3, bucket, world, NAMES[0])
        with pytest.raises(AirflowSensorTimeout) as caught:
            world.sensor(timeout=0.2).execute(CONTEXT)
        assert "only the receipt is late" not in str(caught.value)
        mark(s3, bucket, world, NAMES[1])
        with pytest.raises(AirflowSensorTimeout) as caught:
            world.sensor(timeout=0.2).execute(CONTEXT)
        assert "nothing has to be sent again: only the receipt is late or was lost" in str(
            caught.value
        )
        assert "Next: look into what it says; when the receipt has come, clear" in caplog.text

    def test_what_has_come_is_written_down_while_more_is_awaited(self, world: World) -> None:
        world.receipt([NAMES[0]], records_received=1000)
        sensor = world.sensor()
        assert "1,000 records of 2,000 lines sent came back so far" in sensor.look().known
        assert world.written()["counts"]["records_received"] == 1000
        assert world.written()["acknowledged"] is False

    def test_pieces_that_do_not_add_up_are_told(self, world: World) -> None:
        world.receipt([NAMES[0]], records_received=1000)
        world.receipt([f"{NAMES[1].removesuffix('.gz')}.1213788"], records_received=400)
        with pytest.raises(AirflowSensorTimeout) as caught:
            world.sensor(timeout=0.2).execute(CONTEXT)
        assert ": a file came back in pieces which do not show that all" in str(caught.value)
        assert (
            f"1,400 records of 2,000 lines sent came back so far, 600 did not; waiting for "
            f"{NAMES[1]} (more pieces). Check the Onboarding Status Report" in str(caught.value)
        )
        assert "access mapping" not in str(caught.value)


def looking(world: World) -> dict[str, Any]:
    content = world.staging.read_bytes(f"{world.delivery['location']}/looking.json")
    found: dict[str, Any] = json.loads(content or b"{}")
    return found


def standing(world: World) -> str:
    records = DeliveryRecords(Targets(world.staging))
    return records.find(world.delivery["delivery_id"]).standing.name


@pytest.mark.parametrize("deferrable", [False, True])
def test_where_it_looks_and_that_it_gave_up_is_kept_beside_the_delivery(
    world: World, deferrable: bool
) -> None:
    run_of = SimpleNamespace(dag_id="daily", run_type="manual")
    context: Any = {"dag_run": run_of, "run_id": "manual__1", "ti": None}
    sensor = world.sensor(deferrable=True, timeout=3600)
    with pytest.raises(TaskDeferred):
        sensor.execute(context)
    found = looking(world)
    assert found["places"][0].startswith("folder ")
    assert (found["every_s"], found["gave_up_at"]) == (0.05, None)
    left = datetime.fromisoformat(found["until"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left < timedelta(hours=1)
    assert found["task"]["task_id"] == "receipt"
    assert standing(world) == "sent"
    with pytest.raises(AirflowSensorTimeout):
        run(world.sensor(deferrable=deferrable, timeout=0.2))
    assert looking(world)["gave_up_at"] is not None
    # Another process of the task may not know which one it is.
    assert looking(world)["task"]["run_id"] == "manual__1"
    assert standing(world) == "no_answer_in_time"
    # Somebody clears it: it is waited for again, and comes.
    with pytest.raises(TaskDeferred):
        world.sensor(deferrable=True).execute(context)
    assert standing(world) == "sent"
    world.receipt(NAMES, records_received=2000)
    run(world.sensor(deferrable=deferrable))
    assert standing(world) == "reconciled"


def test_that_the_last_looks_failed_is_said_of_many_deliveries_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_am_provider.audience_manager.errors import TransientError
    from airflow_am_provider.hooks.mailbox import ReceiptFolder

    looks = iter([()])

    def once(*_: Any, **__: Any) -> Any:
        try:
            return next(looks)
        except StopIteration:
            raise TransientError("the line broke") from None

    monkeypatch.setattr(ReceiptFolder, "mails", once)
    name = "ftp_dpm_7_136654579{}.sync.gz"
    many = [
        {**world.delivery, "delivery_id": f"{number:020}", "files": {name.format(number): 1}}
        for number in range(3)
    ]
    with pytest.raises(AirflowSensorTimeout) as caught:
        world.sensor(delivery=many, timeout=0.3).execute(CONTEXT)
    known = str(caught.value).partition(". Check ")[0]
    assert "; and 1 delivery more; the last " in known
    assert known.endswith("failed, at last: the line broke")


def test_of_what_was_sent_again_it_is_noted_that_looking_failed(world: World) -> None:
    resend_delivery(AudienceManagerHook(world.conn_id), world.delivery["delivery_id"])
    with pytest.raises(AirflowFailException, match="login refused"):
        world.sensor().execute_complete(CONTEXT, {"status": "error", "message": "login refused"})
    assert standing(world) == "looking_failed"


def test_older_mail_is_not_looked_at(world: World) -> None:
    world.receipt(NAMES, records_received=2000)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert not world.sensor(receipts_since=later.isoformat()).poke(CONTEXT)
