"""A server that does not answer for a while ends no wait that has time left; a wrong setting does.

Staging and the receipts lie on a real S3 server behind a door that can be shut.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSensorTimeout
from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.polling import LONGEST_PAUSE_S, Seen, Waiting
from airflow_am_provider.notifications.delivery import DeliveryNotifier
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor
from airflow_am_provider.triggers.queue import QueueTrigger
from demo.local.s3 import S3
from tests.airflow_compat import TaskDeferred
from tests.connections import Connect
from tests.staged_deliveries import stage

CONTEXT: Any = {}


class Door:
    """A line to a server: while it is shut, what comes over it is not passed on."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._shut_for = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self, requests: int = 1_000_000) -> None:
        """Break the line at each of the next requests."""
        self._shut_for = requests

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError), source, to:
            while data := source.recv(65536):
                if self._shut_for:
                    self._shut_for -= 1
                    break
                to.sendall(data)
            for one in (source, to):
                one.shutdown(socket.SHUT_RDWR)


class World:
    """Staging and receipts beyond the door; the destination is always there."""

    def __init__(self, conn_id: str, direct_conn_id: str, door: Door) -> None:
        self.conn_id, self.door = conn_id, door
        self.direct = AudienceManagerHook(direct_conn_id)

    def stage(self, day: int, **arguments: Any) -> dict[str, Any]:
        return stage(
            self.direct.staging(),
            {f"ftp_dpm_478_{1366545717 + day}.sync": b"ann\td_unsid=1\n"},
            delivery_id=f"day{day}",
            lines=1,
            removes=True,
            destination=self.direct.destination_name,
            window=(f"2026-03-{day:02}T00:00:00+00:00", f"2026-03-{day + 1:02}T00:00:00+00:00"),
            **arguments,
        ).to_json()

    def upload(self, manifest: dict[str, Any], **arguments: Any) -> UploadOperator:
        return UploadOperator(
            task_id="upload",
            manifest=manifest,
            audience_manager_conn_id=self.conn_id,
            poke_interval=0.05,
            **arguments,
        )

    def sensor(self, kind: Any, delivery: dict[str, Any], **arguments: Any) -> Any:
        arguments = {"poke_interval": 0.05, "timeout": 60, **arguments}
        return kind(
            task_id="wait", delivery=delivery, audience_manager_conn_id=self.conn_id, **arguments
        )

    def receipt(self, *files: str) -> None:
        paths = tuple(f"s3n://bucket/2026-11-05/{name}" for name in files)
        text = (
            "From: <noreply@adobe.com>\r\n"
            "Subject: Adobe Audience Manager Server-To-Server Processing Result:\r\n"
            "Message-ID: <1@adobe.example>\r\n\r\n"
        ) + str(Receipt(paths=paths, records_received=1, stored_records=1))
        self.direct.open_folder(self.direct.settings.receipts_location or "").write_bytes(
            "one", text.encode()
        )

    def acknowledge(self, delivery_id: str) -> None:
        records = DeliveryRecords(Targets(self.direct.staging()))
        records.end(delivery_id, DeliveryState.ABANDONED, "lost")


@pytest.fixture
def world(s3: S3, bucket: str, connect: Connect, audience_manager: Connect) -> Iterator[World]:
    direct = s3.airflow_connection()
    door = Door(int(s3.endpoint_url.rpartition(":")[2]))
    through = json.loads(json.dumps(direct))
    through["extra"]["endpoint_url"] = f"http://127.0.0.1:{door.port}"
    through["extra"]["config_kwargs"]["retries"] = {"max_attempts": 0}
    direct_id = connect(direct)
    fields = {
        "environment": "custom",
        "bucket": bucket,
        "partner_name": "acme",
        "aws_conn_id": direct_id,
        "staging_location": f"s3://{bucket}/staging",
        "receipts_location": f"s3://{bucket}/mail",
        "receipts_sender": "noreply@adobe.com",
    }
    conn_id = audience_manager(**fields, staging_aws_conn_id=connect(through))
    yield World(conn_id, audience_manager(**fields), door)
    door.close()


def failed_looks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of them, without what failed."""
    found = [one.getMessage().partition(": ")[0] for one in caplog.records]
    return [text for text in found if text.startswith("Look ")]


def event_of(deferred: TaskDeferred) -> dict[str, Any]:
    """What the trigger says, made anew from what the database keeps of it."""
    kind, (_, arguments) = type(deferred.trigger), deferred.trigger.serialize()
    trigger = kind(**json.loads(json.dumps(arguments)))

    async def first() -> Any:
        return await anext(aiter(trigger.run()))

    return dict(asyncio.run(first()).payload)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_receipt_is_waited_for_through_an_outage(
    world: World, caplog: pytest.LogCaptureFixture, deferrable: bool
) -> None:
    caplog.set_level("INFO")
    sent = world.upload(world.stage(2)).execute(CONTEXT)
    world.receipt(*sent["files"])
    world.door.shut(11)
    sensor = world.sensor(DeliveryReceiptSensor, sent, deferrable=deferrable, poke_interval=0.001)
    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(CONTEXT)
        # The look of the worker that failed counts in the triggerer too.
        assert caught.value.trigger.failures == 1
        event = event_of(caught.value)
        assert event["status"] == "acknowledged"
        found = sensor.execute_complete(CONTEXT, event)
    else:
        found = sensor.execute(CONTEXT)
    assert found["verdict"] == "reconciled"
    told = failed_looks(caplog)
    assert told[0] == "Look 1 failed, and is made again"
    if deferrable:
        # The triggerer counts its own looks, and in a row all of them.
        told = told[1:]
        assert told[0] == "Look 1 failed, the last 2 in a row, and is made again"
        assert told[9] == "Look 10 failed, the last 11 in a row, and is made again"
        assert told[10] == "Look 11 went well, after 11 had failed"
    else:
        assert told[10] == "Look 11 failed, the last 11 in a row, and is made again"
        assert told[11] == "Look 12 went well, after 11 had failed"


def test_what_is_acknowledged_is_written_down_however_long_staging_is_away(world: World) -> None:
    """The trigger has seen it; staging breaks before the worker has said so there."""
    sent = world.upload(world.stage(2)).execute(CONTEXT)
    sensor = world.sensor(DeliveryReceiptSensor, sent, deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(CONTEXT)
    world.receipt(*sent["files"])
    event = event_of(caught.value)
    world.door.shut(2)
    for failures in (1, 2):
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute_complete(CONTEXT, event)
        assert caught.value.trigger.failures == failures
        event = {**event, "failures": failures}
    event = event_of(caught.value)
    assert sensor.execute_complete(CONTEXT, event)["verdict"] == "reconciled"


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_upload_waits_for_its_turn_through_an_outage(
    world: World,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    first, second = world.stage(2), world.stage(3)
    world.upload(first).execute(CONTEXT)
    upload = world.upload(second, order_timeout=60, deferrable=deferrable)

    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            upload.execute(CONTEXT)
        world.acknowledge("day2")
        world.door.shut(2)
        event = event_of(caught.value)
        assert event["status"] == "free"
        sent = upload.execute_complete(CONTEXT, event)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(QueueTrigger, "look", broken_off(world, QueueTrigger.look))
            sent = upload.execute(CONTEXT)
    assert list(sent["files"]) == [second["parts"][0]["file_name"]]
    assert "Look 2 failed, the last 2 in a row, and is made again" in failed_looks(caplog)


def broken_off(world: World, look: Callable[[Any], Seen]) -> Callable[[Any], Seen]:
    """Look while the line breaks twice and what is waited for is acknowledged meanwhile."""
    is_first = True

    def looks(trigger: Any) -> Seen:
        nonlocal is_first
        if is_first:
            is_first = False
            world.acknowledge("day2")
            world.door.shut(2)
        return look(trigger)

    return looks


def test_a_replay_says_which_look_failed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    sent = world.upload(world.stage(2)).execute(CONTEXT)
    sensor = world.sensor(ReplayNewerSensor, sent)
    world.door.shut()
    context: Any = {"task_reschedule_count": 6}
    assert not sensor.poke(context)
    (told,) = failed_looks(caplog)
    assert told == "Look 7 failed, and is made again"


def test_when_time_is_up_it_is_said_how_many_looks_failed(world: World) -> None:
    sent = world.upload(world.stage(2)).execute(CONTEXT)
    world.door.shut()
    with pytest.raises(AirflowSensorTimeout) as caught:
        world.sensor(DeliveryReceiptSensor, sent, timeout=8).execute(CONTEXT)
    assert "Not acknowledged within 0:00:08: no look succeeded; the last " in str(caught.value)
    assert " failed, at last: " in str(caught.value)
    with pytest.raises(TaskDeferred) as deferred:
        world.sensor(DeliveryReceiptSensor, sent, timeout=2, deferrable=True).execute(CONTEXT)
    event = event_of(deferred.value)
    assert event["status"] == "timeout"
    assert " failed, at last: " in event["message"]


@pytest.mark.parametrize("kind", [DeliveryReceiptSensor, ReplayNewerSensor])
def test_a_wrong_setting_ends_a_sensor_at_once(world: World, kind: Any) -> None:
    sent = world.upload(world.stage(2)).execute(CONTEXT)
    world.conn_id = "absent"
    with pytest.raises(AirflowFailException, match="Airflow has no connection 'absent'"):
        world.sensor(kind, sent, timeout=3600).poke(CONTEXT)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_wrong_setting_ends_a_wait_for_a_turn_at_once(
    world: World, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload(world.stage(2)).execute(CONTEXT)
    upload = world.upload(world.stage(3), order_timeout=3600, deferrable=deferrable)
    variable = f"AIRFLOW_CONN_{world.conn_id.upper()}"

    def remove() -> None:
        monkeypatch.delenv(variable)

    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            upload.execute(CONTEXT)
        remove()
        event = event_of(caught.value)
        assert event["status"] == "error"
        with pytest.raises(AirflowFailException, match="Airflow has no connection"):
            upload.execute_complete(CONTEXT, event)
    else:
        threading.Timer(2, remove).start()
        with pytest.raises(AirflowFailException, match="Airflow has no connection"):
            upload.execute(CONTEXT)


def test_what_is_outstanding_is_told_after_an_outage(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.stage(2)
    world.door.shut(1)
    context: Any = {"dag_run": {"dag_id": "daily", "run_id": "r"}}
    notifier = DeliveryNotifier(audience_manager_conn_id=world.conn_id)
    asyncio.run(notifier.async_notify(context))
    assert "(delivery day2) is " in caplog.text


class TestPauses:
    """The policy by itself: no server is needed to see how long it waits."""

    @pytest.fixture
    def pauses(self) -> Callable[[float, int], list[float]]:
        def after_failures(interval_s: float, count: int) -> list[float]:
            waiting, found = Waiting(interval_s), []

            def fail() -> Seen:
                raise TransientError("no answer")

            for _ in range(count):
                assert waiting.look(fail) is None
                found.append(waiting.pause_s() or 0.0)
            return found

        return after_failures

    def test_they_double_up_to_a_quarter_of_an_hour(
        self, pauses: Callable[[float, int], list[float]]
    ) -> None:
        least = [100, 200, 400, 800, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
        for pause, wanted in zip(pauses(100, 6), least, strict=True):
            assert wanted - 1 < pause <= 1.25 * wanted

    def test_they_are_never_shorter_than_the_interval(
        self, pauses: Callable[[float, int], list[float]]
    ) -> None:
        assert all(3599 < pause <= 1.25 * 3600 for pause in pauses(3600, 50))

    def test_after_a_good_look_the_interval_holds_again(self) -> None:
        waiting = Waiting(100, failures=5)
        assert (waiting.pause_s() or 0) > 800
        assert waiting.look(lambda: Seen("known", is_over=False)) is not None
        assert 99 < (waiting.pause_s() or 0) <= 100
        assert waiting.told() == "known"

    def test_no_pause_goes_beyond_the_deadline(self) -> None:
        waiting = Waiting(100, deadline=datetime.now(UTC) + timedelta(seconds=5), failures=9)
        assert 4 < (waiting.pause_s() or 0) <= 5

    def test_a_failure_that_passes_says_that_nobody_has_to_act(
        self, pauses: Callable[[float, int], list[float]], caplog: pytest.LogCaptureFixture
    ) -> None:
        pauses(20, 1)
        assert "no answer (that repairs itself; next look in 2" in caplog.messages[-1]

    def test_other_errors_pass_through(self) -> None:
        def refuse() -> Seen:
            raise ConfigurationError("bucket: missing")

        with pytest.raises(ConfigurationError, match="bucket: missing"):
            Waiting(100).until_over(refuse)


class TestWhatIsWaitedFor:
    """Waiting speaks when it begins, and every hour."""

    def test_it_is_said_at_first_and_every_hour(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level("INFO")
        clock = [1000.0]
        monkeypatch.setattr("airflow_am_provider.hooks.polling.time.monotonic", lambda: clock[0])
        waiting = Waiting(300, deadline=datetime(2026, 3, 3, 4, 5, tzinfo=UTC))
        noted: list[tuple[float, datetime | None]] = []
        seen = Seen(
            "nothing yet",
            is_over=False,
            waited_for="a receipt, in mailbox 'imap'",
            note=lambda *said: noted.append(said),
        )
        for _ in range(25):
            waiting.look(lambda: seen)
            clock[0] += 300
        told = [one for one in caplog.messages if "aiting for" in one]
        said = "a receipt, in mailbox 'imap'. It is looked for every 5 min, until 2026-03-03 04:05"
        assert told == [f"Waiting for {said} UTC", *[f"Still waiting for {said} UTC"] * 2]
        # What the log says is kept for the page as often.
        assert noted == [(300, datetime(2026, 3, 3, 4, 5, tzinfo=UTC))] * 3

    def test_where_each_look_is_a_process_of_its_own_too(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        seen = Seen("nothing yet", is_over=False, waited_for="a receipt")
        for looks in range(25):
            Waiting(300, looks=looks).look(lambda: seen)
        told = [one.partition(" for ")[0] for one in caplog.messages if "aiting for" in one]
        assert told == ["Waiting", "Still waiting", "Still waiting"]

    @pytest.mark.parametrize("in_trigger", [False, True])
    def test_a_sensor_names_the_places_it_looks_in(
        self, world: World, caplog: pytest.LogCaptureFixture, in_trigger: bool
    ) -> None:
        caplog.set_level("INFO")
        sent = world.upload(world.stage(2)).execute(CONTEXT)
        sensor = world.sensor(DeliveryReceiptSensor, sent, deferrable=True, timeout=7200)
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(CONTEXT)
        if in_trigger:
            # Of one that could not look, the trigger says it.
            caplog.clear()
            trigger: Any = caught.value.trigger
            trigger.failures = 1
        trigger = caught.value.trigger
        trigger.waiting().look(trigger.look)
        (told,) = [one for one in caplog.messages if one.startswith("Waiting for")]
        settings = world.direct.settings
        assert told.startswith("Waiting for a sign that delivery day2 (1 file, sent to s3://")
        assert f"folder {settings.receipts_location} for mails since " in told
        assert f"{world.direct.destination_url} for .processed markers" in told
        assert f"airflow-am deliveries show day2 --conn-id {world.conn_id}" in told
        assert f"until {datetime.now(UTC) + timedelta(hours=2):%Y-%m-%d}" in told
