"""Deliveries in their order: who waits, who is refused, and what is sent again."""

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.target.state import TargetState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.sending import resend_delivery
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sandbox import Profiles, Sandbox, SandboxConfig
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor
from airflow_am_provider.storage import LocalFolder
from airflow_am_provider.triggers.queue import QueueTrigger
from demo.local.ftp import FtpServer
from tests.airflow_compat import TaskDeferred
from tests.connections import Connect
from tests.staged_deliveries import stage

CONTEXT: Any = {}
STAMP = 1366545700


class World:
    """An account at a local Audience Manager, which reads when it is told to."""

    def __init__(self, conn_id: str, staging: LocalFolder, sandbox: Sandbox, database: Path):
        self.conn_id = conn_id
        self.staging = staging
        self._sandbox = sandbox
        self._database = database
        self._now = datetime.now(UTC)

    def stage(
        self,
        day: int,
        *lines: str,
        mode: str = "sync",
        removes: bool = True,
        series: str = "daily/format",
        has_window: bool = True,
    ) -> Manifest:
        """A delivery for one day of March; without lines, it moves ann from trait to trait."""
        text = "\n".join(lines or (f"ann\td_sid={day},d_unsid={day - 1}",)) + "\n"
        return stage(
            self.staging,
            {f"ftp_dpm_478_{STAMP + day}.{mode}.gz": gzip.compress(text.encode(), mtime=0)},
            delivery_id=f"day{day}{mode}{len(lines)}",
            lines=text.count("\n"),
            removes=removes,
            series=series,
            destination=AudienceManagerHook(self.conn_id).destination_name,
            window=(f"2026-03-{day:02}T00:00:00+00:00", f"2026-03-{day + 1:02}T00:00:00+00:00")
            if has_window
            else (None, None),
        )

    def resend(self, manifest: Manifest, *, force: bool = False) -> dict[str, Any]:
        """By hand; return what the sensor that is cleared then waits for."""
        resend_delivery(AudienceManagerHook(self.conn_id), manifest.delivery_id, force=force)
        return self.upload(manifest)

    def upload(self, manifest: Manifest, **arguments: Any) -> dict[str, Any]:
        arguments = {"poke_interval": 0.01, "order_timeout": 0.05, **arguments}
        return UploadOperator(
            task_id="upload",
            manifest=manifest.to_json(),
            audience_manager_conn_id=self.conn_id,
            **arguments,
        ).execute(CONTEXT)

    def process(self) -> None:
        """Let Audience Manager read what is there, and answer.

        Its receipts have times to the second: no two jobs are of the same one.
        """
        self._now += timedelta(seconds=2)
        self._sandbox.run_once(self._now, at_once=True)

    def acknowledge(self, delivery: dict[str, Any]) -> dict[str, Any]:
        sensor = DeliveryReceiptSensor(
            task_id="receipt",
            delivery=delivery,
            audience_manager_conn_id=self.conn_id,
            on_breach="warn",
            poke_interval=0.01,
            timeout=5,
        )
        self.process()
        found: dict[str, Any] = sensor.execute(CONTEXT)
        return found

    def replay(self, delivery: dict[str, Any]) -> Any:
        """Look until it is done; Audience Manager reads between two looks."""
        sensor = ReplayNewerSensor(
            task_id="replay", delivery=delivery, audience_manager_conn_id=self.conn_id
        )
        for _ in range(20):
            found = sensor.poke(CONTEXT)
            if found.is_done:
                return found.xcom_value
            self.process()
        return pytest.fail("never done")

    def state(self, manifest: Manifest) -> DeliveryState:
        return self.records.find(manifest.delivery_id).state

    @property
    def records(self) -> DeliveryRecords:
        return DeliveryRecords(self.targets)

    @property
    def targets(self) -> Targets:
        return Targets(self.staging)

    def queue(self, manifest: Manifest) -> TargetState:
        return self.targets.of(manifest).state()

    def abandon(self, manifest: Manifest, reason: str) -> DeliveryRecord:
        return self.records.end(manifest.delivery_id, DeliveryState.ABANDONED, reason)

    def traits(self, user: str = "ann") -> set[int]:
        self.process()
        with Profiles(self._database) as profiles:
            return {int(trait) for trait in profiles.traits(478, user)}


@pytest.fixture
def world(
    tmp_path: Path, ftp_server: FtpServer, connect: Connect, audience_manager: Connect
) -> Iterator[World]:
    folder = ftp_server.root / uuid4().hex
    folder.mkdir()
    staging, mails = LocalFolder(tmp_path / "staging"), tmp_path / "mails"
    conn_id = audience_manager(
        environment="custom",
        transport="ftp",
        ftp_conn_id=connect(ftp_server.airflow_connection()),
        ftp_directory=f"/{folder.name}",
        staging_location=staging.url,
        receipts_location=str(mails),
    )
    database = tmp_path / "sandbox.db"
    ids = folder / "adobe_id_0_478_1366545600.sync"
    ids.write_text("".join(f"{n:038}\t{name}\n" for n, name in enumerate(("ann", "bob"), 1)))
    sandbox = Sandbox(
        SandboxConfig(database=database, inboxes=(f"ftp-folder:{folder}",), mailboxes=(str(mails),))
    )
    world = World(conn_id, staging, sandbox, database)
    world.process()
    yield world
    sandbox.close()


def test_days_in_their_order_wait_for_each_other_and_nothing_is_sent_again(world: World) -> None:
    for day in (2, 3, 4):
        sent = world.upload(world.stage(day), on_older="replay")
        world.acknowledge(sent)
        with pytest.raises(AirflowSkipException, match="nothing has to be sent again"):
            world.replay(sent)
    assert world.traits() == {4}


def test_a_day_that_is_run_again_with_the_same_rows_sends_nothing(world: World) -> None:
    first = world.upload(world.stage(2), on_older="replay")
    world.acknowledge(first)
    world.acknowledge(world.upload(world.stage(3), on_older="replay"))
    assert world.upload(world.stage(2), on_older="replay") == first
    with pytest.raises(AirflowSkipException, match="nothing has to be sent again"):
        world.replay(first)
    assert world.traits() == {3}


def test_days_that_run_backwards_end_with_the_newest_in_force(world: World) -> None:
    manifests = {day: world.stage(day) for day in (2, 3, 4, 5)}
    for day in (5, 4, 3, 2):
        sent = world.upload(manifests[day], on_older="replay")
        world.acknowledge(sent)
        if day < 5:
            replayed = world.replay(sent)
            newer = [manifests[later].delivery_id for later in range(day + 1, 6)]
            assert [one["delivery_id"] for one in replayed] == newer
        # A retry of the replay sends nothing once more.
        if day < 5:
            before = world.queue(manifests[day])
            world.replay(sent)
            assert world.queue(manifests[day]) == before
    assert world.traits() == {5}
    assert {str(world.state(manifest)) for manifest in manifests.values()} == {"reconciled"}


def test_old_data_after_newer_is_refused_with_both_named(world: World) -> None:
    world.acknowledge(world.upload(world.stage(4)))
    with pytest.raises(AirflowFailException) as caught:
        world.upload(world.stage(3))
    message = str(caught.value)
    assert "2026-03-03T00:00:00+00:00 to 2026-03-04T00:00:00+00:00 (delivery day3sync0)" in message
    assert "2026-03-04T00:00:00+00:00 to 2026-03-05T00:00:00+00:00 (delivery day4sync0)" in message
    assert "on_older='send'" in message
    assert world.traits() == {4}


def test_a_refusal_stands_beside_the_delivery_until_it_is_queued(world: World) -> None:
    old, new = world.stage(1), world.stage(2)
    world.acknowledge(world.upload(new))
    with pytest.raises(AirflowFailException) as caught:
        world.upload(old)
    record = world.records.find(old.delivery_id)
    assert (record.state, record.standing.name) == (DeliveryState.STAGED, "sending_failed")
    assert record.standing.reason in str(caught.value)
    world.upload(old, on_older="send")
    assert world.records.find(old.delivery_id).standing.name == "sent"


def test_an_older_overwrite_is_refused_unless_this_run_allows_it(world: World) -> None:
    new, old = (world.stage(day, f"ann\td_sid={day}", mode="overwrite") for day in (4, 3))
    world.acknowledge(world.upload(new))
    with pytest.raises(AirflowFailException, match="is older than what was sent"):
        world.upload(old)
    assert world.traits() == {4}
    world.acknowledge(world.upload(old, on_older="send"))
    assert world.traits() == {3}


def test_without_windows_what_was_staged_before_is_older(world: World) -> None:
    # As differences of an extract are: the upload of the first was cleared a day later.
    first, second = (world.stage(day, has_window=False) for day in (3, 4))
    world.acknowledge(world.upload(second))
    with pytest.raises(AirflowFailException) as caught:
        world.upload(first)
    assert "for no window (delivery day3" in str(caught.value)
    assert world.traits() == {4}
    sent = world.upload(first, on_older="replay")
    world.acknowledge(sent)
    assert world.traits() == {3, 4}
    assert world.replay(sent) == [{"delivery_id": second.delivery_id, "sending": 2}]
    assert world.traits() == {4}


def test_of_a_window_and_none_nobody_knows_which_is_older(world: World) -> None:
    world.acknowledge(world.upload(world.stage(4)))
    world.acknowledge(world.upload(world.stage(3, has_window=False)))
    assert world.traits() == {3, 4}


class TestSentAgainByHand:
    @pytest.mark.parametrize("has_window", [True, False])
    def test_old_data_is_refused_unless_it_is_forced(self, world: World, has_window: bool) -> None:
        manifests = [world.stage(day, has_window=has_window) for day in (2, 3, 4)]
        for manifest in manifests:
            world.acknowledge(world.upload(manifest))
        first, *newer = manifests
        with pytest.raises(ConfigurationError) as caught:
            world.resend(first)
        again = ", ".join(manifest.delivery_id for manifest in newer)
        assert "is older than what was sent for the same target: .sync of" in str(caught.value)
        assert str(caught.value).endswith(f"in the same way: {again}")
        assert world.state(first) is DeliveryState.RECONCILED
        world.acknowledge(world.resend(first, force=True))
        assert world.traits() == {2, 4}
        for manifest in newer:
            world.acknowledge(world.resend(manifest, force=True))
        assert world.traits() == {4}

    def test_the_newest_is_not(self, world: World) -> None:
        old, new = world.stage(2), world.stage(3)
        for manifest in (old, new):
            world.acknowledge(world.upload(manifest))
        world.acknowledge(world.resend(new))
        assert world.traits() == {3}

    def test_what_only_adds_is_not(self, world: World) -> None:
        old, new = (world.stage(day, f"ann\td_sid={day}", removes=False) for day in (2, 3))
        for manifest in (old, new):
            world.acknowledge(world.upload(manifest))
        world.acknowledge(world.resend(old))
        assert world.traits() == {2, 3}

    def test_what_was_given_up_while_it_waited_is_refused_likewise(self, world: World) -> None:
        before, old, new = (world.stage(day) for day in (2, 3, 4))
        sent = world.upload(before)
        with pytest.raises(AirflowFailException, match="its turn did not come"):
            world.upload(old)  # has its place now
        world.acknowledge(sent)
        world.abandon(old, "the CRM was wrong")
        world.acknowledge(world.upload(new))
        with pytest.raises(ConfigurationError, match="is older than what was sent"):
            world.resend(old)
        assert world.state(old) is DeliveryState.ABANDONED
        assert world.traits() == {2, 4}

    def test_an_overwrite_would_take_away_what_was_added_after_it_was_extracted(
        self, world: World
    ) -> None:
        of_then = world.stage(4, "ann\td_sid=4", removes=False)
        everything = world.stage(3, "ann\td_sid=3", mode="overwrite")
        world.acknowledge(world.upload(everything))
        world.acknowledge(world.upload(of_then))
        world.acknowledge(world.resend(everything))  # extracted after it: 4 is no more
        assert world.traits() == {3}
        world.acknowledge(world.upload(world.stage(7, "ann\td_sid=7", removes=False)))
        with pytest.raises(ConfigurationError, match="is older than what was sent"):
            world.resend(everything)
        assert world.traits() == {3, 7}


def test_an_overwrite_and_a_sync_are_never_on_their_way_together(world: World) -> None:
    adding = world.stage(3, "ann\td_sid=3", removes=False)
    sent = world.upload(adding)
    overwriting = world.stage(4, "ann\td_sid=4", mode="overwrite")
    with pytest.raises(AirflowFailException) as caught:
        world.upload(overwriting)
    assert "Nothing was sent: its turn did not come" in str(caught.value)
    assert f"(delivery {adding.delivery_id}) goes before it, sent since " in str(caught.value)
    assert world.state(overwriting) is DeliveryState.QUEUED
    world.acknowledge(sent)
    world.acknowledge(world.upload(overwriting))
    assert world.traits() == {4}


def test_deliveries_that_only_add_wait_for_nothing(world: World) -> None:
    for day in (4, 3, 2):
        world.upload(world.stage(day, f"ann\td_sid={day}", removes=False))
    assert world.traits() == {2, 3, 4}


def test_other_tasks_of_a_target_say_other_things_and_wait_for_nothing(world: World) -> None:
    world.upload(world.stage(4))
    world.upload(world.stage(3, "bob\td_sid=7,d_unsid=8", series="weekly/format"))
    assert world.traits() == {4}
    assert world.traits("bob") == {7}


def test_an_account_without_receipts_waits_for_nothing(world: World) -> None:
    world.upload(world.stage(2), in_order=False)
    world.upload(world.stage(3), in_order="False")
    with pytest.raises(AirflowFailException, match="is older than what was sent"):
        world.upload(world.stage(1), in_order=False)


def test_data_waits_for_the_acknowledgement_of_what_goes_before_it(world: World) -> None:
    before = world.upload(world.stage(2, "bob\td_sid=2", removes=False))
    data = world.stage(3, "ann\td_sid=3", removes=False)
    with pytest.raises(AirflowFailException, match=r"day2sync1, which goes before it, is not ack"):
        world.upload(data, after=[before, None])
    world.acknowledge(before)
    world.upload(data, after=[before, None])
    assert world.traits() == {3}


async def test_waiting_without_a_worker(world: World) -> None:
    sent = world.upload(world.stage(3))
    with pytest.raises(TaskDeferred) as deferred:
        world.upload(world.stage(4), deferrable=True, order_timeout=60)
    path, arguments = deferred.value.trigger.serialize()
    assert path == "airflow_am_provider.triggers.queue.QueueTrigger"
    assert QueueTrigger(**arguments).look().known.startswith(".sync of ftp_dpm_478 for the window")
    world.acknowledge(sent)
    event = await anext(aiter(QueueTrigger(**arguments).run()))
    assert event.payload["status"] == "free"
    operator = UploadOperator(
        task_id="upload", manifest=arguments["manifest"], audience_manager_conn_id=world.conn_id
    )
    operator.execute_complete(CONTEXT, event.payload)
    assert world.traits() == {4}


def test_what_was_formatted_again_takes_the_place_of_what_was_not_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload(world.stage(2))
    first, second = world.stage(3), world.stage(3, "ann\td_sid=33")
    with pytest.raises(AirflowFailException, match="its turn did not come"):
        world.upload(first)
    world.acknowledge(world.upload(world.stage(2)))
    world.upload(second)
    assert world.state(first) is DeliveryState.SUPERSEDED
    assert world.records.find(first.delivery_id).reason == (
        f"superseded by delivery {second.delivery_id}, version 2 of the same data; this is "
        f"version 1"
    )
    with pytest.raises(AirflowSkipException, match=f"superseded by delivery {second.delivery_id}"):
        world.upload(first)
    assert world.traits() == {2, 33}


def test_a_delivery_given_up_is_not_waited_for(world: World) -> None:
    lost = world.stage(3)
    world.upload(lost)
    waiting = world.stage(4)
    with pytest.raises(AirflowFailException, match="airflow-am deliveries abandon day3sync0"):
        world.upload(waiting)
    assert world.abandon(lost, "lost").state is DeliveryState.ABANDONED
    world.upload(waiting)


def test_a_receipt_that_comes_later_completes_what_was_given_up(world: World) -> None:
    manifest = world.stage(3)
    sent = world.upload(manifest)
    world.abandon(manifest, "no receipt within two days")
    world.acknowledge(sent)
    assert world.state(manifest) is DeliveryState.RECONCILED


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"version": 1}'])
def test_a_state_that_cannot_be_read_stops_everything(world: World, damage: bytes) -> None:
    manifests = world.stage(3), world.stage(4)
    world.upload(manifests[0])
    (document,) = [entry.path for entry in world.staging.list("targets/")]
    world.staging.write_bytes(document, damage)
    with pytest.raises(AirflowFailException, match="not the state of a target"):
        world.upload(manifests[1])


def test_of_many_at_once_each_gets_a_place_of_its_own(
    world: World, in_threads: Callable[..., list[Any]]
) -> None:
    manifests = [world.stage(day, f"ann\td_sid={day}", removes=False) for day in range(2, 12)]
    in_threads(world.upload, manifests)
    queue = world.queue(manifests[0]).queue
    assert len(queue) == 10
    assert set(queue) == {one.delivery_id for one in manifests}


def test_a_correction_is_never_followed_by_what_it_corrects(world: World) -> None:
    first, second = world.stage(3), world.stage(3, "ann\td_sid=33")
    world.acknowledge(world.upload(first))
    world.acknowledge(world.upload(second))
    with pytest.raises(ConfigurationError, match="is older than what was sent"):
        world.resend(first)
    assert world.upload(first)["delivery_id"] == first.delivery_id  # sends nothing
    assert world.state(second) is DeliveryState.RECONCILED
    assert 33 in world.traits()


def test_a_replay_sends_the_last_version_of_a_window_only(world: World) -> None:
    late = world.stage(2)
    wrong, right = world.stage(3), world.stage(3, "ann\td_sid=33,d_unsid=3")
    world.acknowledge(world.upload(wrong))
    world.acknowledge(world.upload(right))
    sent = world.upload(late, on_older="replay")
    world.acknowledge(sent)
    assert world.replay(sent) == [{"delivery_id": right.delivery_id, "sending": 2}]
    assert world.traits() == {2, 33}


def test_a_lost_receipt_has_a_way_out_while_others_wait(world: World) -> None:
    lost, waiting = world.stage(3), world.stage(4)
    world.upload(lost)
    with pytest.raises(AirflowFailException, match="its turn did not come"):
        world.upload(waiting)
    # What waits was not begun, so nothing newer would be undone.
    world.acknowledge(world.resend(lost))
    world.acknowledge(world.upload(waiting))
    assert world.traits() == {4}


def test_an_older_day_goes_before_a_newer_one_that_still_waits(world: World) -> None:
    first, late, waiting = world.stage(2), world.stage(3), world.stage(4)
    sent = world.upload(first)
    for manifest in (waiting, late):
        with pytest.raises(AirflowFailException, match="its turn did not come"):
            world.upload(manifest)
    world.acknowledge(sent)
    with pytest.raises(AirflowFailException, match=f"delivery {late.delivery_id}"):
        world.upload(waiting)
    world.acknowledge(world.upload(late))
    world.acknowledge(world.upload(waiting))
    assert world.traits() == {4}
