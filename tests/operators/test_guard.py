"""A delivery that is unlike those before it is not sent without a person's consent."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.hitl import HITLOperator

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.deliveries.guard_note import read_guard_note
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.target.events import Refused
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.window import Window
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.connections import Connect
from tests.staged_deliveries import register, send

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

DESTINATION = "custom/s3://inbound/acme"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class World:
    """A staging location with deliveries in it."""

    def __init__(self, staging: LocalFolder, conn_id: str) -> None:
        self.staging = staging
        self.conn_id = conn_id
        self._count = 0

    def staged(
        self,
        rows: int,
        *,
        mode: str = "overwrite",
        target: int = 567,
        items: int | None = None,
        empty: int = 0,
        set_aside: int = 0,
        destination: str = DESTINATION,
        series: str = "monthly/format",
    ) -> Manifest:
        """Stage a delivery, with three items a row unless told otherwise."""
        self._count += 1
        delivery_id, day = f"{self._count:020x}", NOW + timedelta(days=self._count)
        name = f"ftp_dpm_478_{target}_{int(day.timestamp())}.{mode}.gz"
        part = Part(
            path=f"attempts/{delivery_id}.gz", file_name=name, lines=rows, bytes=10 * rows,
            compressed_bytes=rows, sha256="0" * 64,
        )  # fmt: skip
        manifest = Manifest(
            delivery_id=delivery_id,
            kind="data",
            staging=self.staging.url,
            location=f"deliveries/data/{delivery_id}",
            destination=destination,
            removes=mode == "overwrite",
            series=series,
            rows_read=rows + set_aside,
            rows_written=rows,
            rows_set_aside=set_aside,
            set_aside_by_reason={"id_colon": set_aside} if set_aside else {},
            items=(3 * rows if items is None else items) if mode == "overwrite" else None,
            lines_without_items=empty if mode == "overwrite" else None,
            window=Window(start=day - timedelta(days=1), end=day),
            created_at=day.isoformat(),
            parts=(part,),
        )
        return register(Targets(self.staging), manifest)

    def sent(self, rows: int, **more: Any) -> Manifest:
        """Stage a delivery, and note that it was sent, as the upload does."""
        manifest = self.staged(rows, **more)
        send(self.staging, manifest, at=NOW)
        return manifest

    def guard(self, manifest: Manifest, **arguments: Any) -> GuardOperator:
        return GuardOperator(
            task_id="guard",
            manifest=manifest.to_json(),
            audience_manager_conn_id=self.conn_id,
            **arguments,
        )

    def stopped(self, manifest: Manifest, **arguments: Any) -> str | None:
        """What the guard says against it, or None when it passes."""
        guard = self.guard(manifest, **arguments)
        try:
            assert guard.execute({}) == manifest.to_json()
        except AirflowFailException as error:
            return str(error)
        return None


def test_all_that_concerns_asking_is_in_the_signature() -> None:
    def parameters(operator: type) -> set[str]:
        return set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs", "params"}

    settled = {"subject", "body", "options", "multiple"}
    assert parameters(HITLOperator) - settled <= parameters(GuardOperator)
    for name in settled:
        with pytest.raises(TypeError, match=name):
            GuardOperator(task_id="guard", manifest={}, **{name: None})
    guard = GuardOperator(
        task_id="guard", manifest={}, defaults="Reject", assigned_users={"id": "7", "name": "jo"}
    )
    assert guard.defaults == ["Reject"]
    assert guard.assigned_users == [{"id": "7", "name": "jo"}]


def test_how_long_to_wait_for_an_answer_is_a_setting_of_its_own_where_airflow_has_it() -> None:
    if "response_timeout" not in inspect.signature(HITLOperator.__init__).parameters:
        pytest.skip("Airflow 3.1 goes by execution_timeout")
    hour = timedelta(hours=1)
    guard = GuardOperator(task_id="guard", manifest={}, response_timeout=hour)
    assert guard.response_timeout == hour


@pytest.fixture
def world(tmp_path: Path, audience_manager: Connect) -> World:
    staging = LocalFolder(tmp_path / "staging")
    conn_id = audience_manager(
        environment="custom", bucket="inbound", partner_name="acme", aws_conn_id="none",
        staging_location=staging.url,
    )  # fmt: skip
    return World(staging, conn_id)


def test_too_few_rows_fail_with_their_figures(world: World) -> None:
    for rows in (1000, 1200, 900):
        world.sent(rows)
    manifest = world.staged(499)
    assert world.stopped(manifest) == (
        f"ftp_dpm_478_567.overwrite is unlike those before (delivery {manifest.delivery_id}): 499 "
        f"rows, 49.90% of 1,000, the median of the last 3 comparable deliveries; min_rows_share "
        f"asks for 50.00%. Nothing was sent. Mend the source and format again, or set approved to "
        f"send it as it is"
    )
    assert world.stopped(world.staged(500)) is None


def test_too_many_rows_fail(world: World) -> None:
    world.sent(1000)
    assert world.stopped(world.staged(2000)) is None
    assert "2,001 rows, 200.10% of 1,000, those of the one comparable delivery before; " in str(
        world.stopped(world.staged(2001))
    )


def test_the_last_deliveries_of_the_same_kind_and_place_are_the_measure(world: World) -> None:
    # None of these: too long ago, of another mode, target, task or destination.
    for _ in range(5):
        world.sent(10)
    for _ in range(5):
        world.sent(1000)
    world.sent(10, mode="sync")
    world.sent(10, target=568)
    world.sent(10, series="another_dag/format")
    world.sent(10, destination="custom/s3://inbound/other")
    manifest = world.staged(1100)
    assert world.stopped(manifest) is None
    told = world.stopped(manifest, compared_with=9, max_rows_share="1.5")
    assert told is None
    told = str(world.stopped(manifest, compared_with=10, max_rows_share="1.5"))
    assert "217.82% of 505, the median of the last 10 " in told


def test_what_was_never_sent_or_given_up_is_no_measure(world: World) -> None:
    world.staged(10)
    records = DeliveryRecords(Targets(world.staging))
    records.end(world.sent(10).delivery_id, DeliveryState.ABANDONED, "wrong")
    gone = world.sent(10)
    world.staging.delete(f"{gone.location}/manifest.json")
    manifest = world.staged(1000)
    assert world.stopped(manifest) is None
    # Nor is the delivery itself, when it was sent and the task is cleared.
    again = world.sent(1000)
    assert world.stopped(replace(again)) is None


def test_the_first_delivery_of_all_has_nothing_to_be_compared_with(world: World) -> None:
    assert world.stopped(world.staged(1)) is None


def test_an_overwrite_that_empties_too_many_users_fails(world: World) -> None:
    assert world.stopped(world.staged(1000, empty=200)) is None
    told = world.stopped(world.staged(1000, empty=201))
    assert told is not None
    assert (
        "201 of 1,000 users (20.10%) have no items, which removes all their traits; "
        "max_removed_share allows 20.00% more"
    ) in told
    assert world.stopped(world.staged(1000, empty=201), max_removed_share="0.5") is None
    assert world.stopped(world.staged(1000, empty=1000), max_removed_share=None) is None


def test_users_whom_the_last_overwrite_emptied_lose_nothing_more(world: World) -> None:
    before = world.sent(1000, items=700, empty=300)
    assert world.stopped(world.staged(1000, items=700, empty=500)) is None
    told = world.stopped(world.staged(1000, items=700, empty=501))
    assert told is not None
    assert (
        f"501 of 1,000 users (50.10%) have no items, which removes all their traits, where "
        f"delivery {before.delivery_id} had 30.00%; max_removed_share allows 20.00% more"
    ) in told


def test_an_overwrite_with_far_fewer_items_a_line_than_the_last_one_fails(world: World) -> None:
    before = world.sent(1000, items=4000)
    told = world.stopped(world.staged(1000, items=3000))
    assert told is not None
    assert (
        f"3.00 items a line, where delivery {before.delivery_id} had 4.00: about 25.00% of the "
        f"users' traits would be removed; max_removed_share allows 20.00%"
    ) in told
    # Half the users with as many items each take nothing from anybody.
    assert world.stopped(world.staged(600, items=2400)) is None


def test_rows_set_aside_over_the_limit_fail(world: World) -> None:
    told = world.stopped(world.staged(950, set_aside=50))
    assert told is not None
    assert "50 of 1,000 rows break a rule, max_set_aside allows 1.00%: 50 id_colon (" in told
    assert world.stopped(world.staged(950, set_aside=50), max_set_aside="50") is None
    assert world.stopped(world.staged(950, set_aside=50), max_set_aside=None) is None


@pytest.mark.parametrize("approved", [True, "True"])
def test_what_is_approved_passes_all_limits(
    world: World, approved: object, capfd: pytest.CaptureFixture[str]
) -> None:
    world.sent(1000)
    assert world.stopped(world.staged(10, empty=10, set_aside=10), approved=approved) is None
    logged = capfd.readouterr().out
    assert "rows written: 10; before: 1,000" in logged
    assert logged.count("Over its limit: ") == 3


def test_an_approved_delivery_goes_on(world: World) -> None:
    manifest = world.staged(10)
    assert world.guard(manifest).execute_complete({}, answer("Approve")) == manifest.to_json()
    assert DeliveryRecords(Targets(world.staging)).find(manifest.delivery_id).reason is None


def test_who_rejected_a_delivery_may_be_asked_again_and_approve(world: World) -> None:
    manifest, records = world.staged(10), DeliveryRecords(Targets(world.staging))
    guard = world.guard(manifest)
    with pytest.raises(AirflowFailException):
        guard.execute_complete({}, answer("Reject", "half is missing"))
    guard.execute_complete({}, answer("Approve", "the shops were closed"))
    assert records.find(manifest.delivery_id).state is DeliveryState.STAGED
    # What was given up for another reason stays so.
    records.end(manifest.delivery_id, DeliveryState.ABANDONED, "superseded")
    guard.execute_complete({}, answer("Approve"))
    assert records.find(manifest.delivery_id).state is DeliveryState.ABANDONED


def test_a_rejected_delivery_is_abandoned_and_says_by_whom_and_why(world: World) -> None:
    manifest = world.staged(10)
    with pytest.raises(AirflowFailException) as caught:
        world.guard(manifest).execute_complete({}, answer("Reject", "the CRM was empty"))
    assert str(caught.value) == (
        f"Delivery {manifest.delivery_id} is abandoned, and nothing was sent. Rejected by admin: "
        f"the CRM was empty"
    )
    record = DeliveryRecords(Targets(world.staging)).find(manifest.delivery_id)
    assert (record.state, record.reason) == (
        DeliveryState.ABANDONED,
        "Rejected by admin: the CRM was empty",
    )


def noted(world: World, manifest: Manifest) -> dict[str, Any]:
    """What is kept beside the manifest for people, without its times."""
    note = read_guard_note(world.staging, manifest.location)
    assert note is not None
    assert datetime.fromisoformat(note.pop("at")).tzinfo is not None
    if note["decision"] is not None:
        assert datetime.fromisoformat(note["decision"].pop("at")).tzinfo is not None
    return note


def test_what_was_found_is_kept_beside_the_manifest(world: World) -> None:
    earlier, manifest = world.sent(1000), world.staged(10, set_aside=5)
    assert world.stopped(manifest, min_rows_share=0.5, max_set_aside=None) is not None
    note = noted(world, manifest)
    assert note["limits"] == {
        "min_rows_share": 0.5,
        "max_rows_share": 2.0,
        "max_removed_share": 0.2,
    }
    assert [one["delivery_id"] for one in note["history"]] == [
        manifest.delivery_id,
        earlier.delivery_id,
    ]
    assert [one["rows_written"] for one in note["history"]] == [10, 1000]
    assert note["history"][0]["rows_set_aside"] == 5
    assert len(note["breaches"]) == 1
    assert (note["decision"], note["is_asked"]) == (None, False)


def test_who_decided_and_why_is_kept_there_too(world: World) -> None:
    manifest = world.staged(10)
    guard = world.guard(manifest)
    with pytest.raises(AirflowFailException):
        guard.execute_complete({}, answer("Reject", "the CRM was empty"))
    decision = {"by": "admin", "approved": False, "note": "the CRM was empty"}
    assert noted_decision(world, manifest) == decision
    guard.execute_complete({}, answer("Approve", "the shop was closed"))
    decision = {"by": "admin", "approved": True, "note": "the shop was closed"}
    assert noted_decision(world, manifest) == decision
    # Another look is another question.
    assert world.stopped(manifest) is None
    assert noted(world, manifest)["decision"] is None


def test_a_parameter_that_approves_is_told_from_a_person(world: World) -> None:
    world.sent(1000)
    manifest = world.staged(10)
    assert world.stopped(manifest, approved=True) is None
    decision = noted(world, manifest)["decision"]
    assert decision == {
        "by": None,
        "approved": True,
        "note": "the task's parameter approved is set",
    }


def noted_decision(world: World, manifest: Manifest) -> dict[str, Any]:
    note = read_guard_note(world.staging, manifest.location)
    assert note is not None
    decision: dict[str, Any] = note["decision"]
    del decision["at"]
    return decision


def test_a_rejection_skips_where_the_dag_says_so(world: World) -> None:
    guard = world.guard(world.staged(10), on_reject="skip")
    with pytest.raises(AirflowSkipException, match=r"Rejected by admin: no reason given$"):
        guard.execute_complete({}, answer("Reject", ""))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_breach": "warn"}, "on_breach: 'warn' is neither 'fail' nor 'ask'"),
        ({"on_reject": "warn"}, "on_reject: 'warn' is neither 'fail' nor 'skip'"),
        ({"min_rows_share": "half"}, "min_rows_share: 'half' is not a number"),
        ({"min_rows_share": 2}, "min_rows_share: 2.0 is not a share from 0.0 to 1.0"),
        ({"max_rows_share": 0.5}, "max_rows_share: 0.5 is below 1.0, so "),
        ({"max_removed_share": "20"}, "max_removed_share: 20.0 is not a share from 0.0 to 1.0"),
        ({"max_set_aside": "2.5"}, "max_set_aside: '2.5' is neither a number of rows nor a share"),
        ({"compared_with": 0}, "compared_with: 0 is none of 1 to 20"),
    ],
)  # fmt: skip
def test_wrong_parameters_fail_at_once(
    world: World, arguments: dict[str, Any], message: str
) -> None:
    told = world.stopped(world.staged(10), **arguments)
    assert told is not None
    assert told.startswith(message)


def test_a_manifest_of_another_staging_location_is_refused(world: World) -> None:
    told = world.stopped(replace(world.staged(10), staging="s3://elsewhere"))
    assert told is not None
    assert told.startswith("manifest ")


def answer(option: str, reason: str = "") -> dict[str, Any]:
    """What a person's answer looks like to the task."""
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": NOW,
        "responded_by_user": {"id": "1", "name": "admin"},
    }


class TestVersions:
    """A delivery's window is corrected while a person thinks about it."""

    @pytest.fixture
    def versions(self, world: World) -> tuple[Manifest, Manifest]:
        older = world.staged(10)
        newer = replace(
            older,
            delivery_id="f" * 20,
            rows_read=11,
            rows_written=11,
            parts=(replace(older.parts[0], lines=11),),
        )
        return older, register(Targets(world.staging), newer)

    def test_who_approves_the_older_one_late_sends_nothing_old(
        self, world: World, versions: tuple[Manifest, Manifest]
    ) -> None:
        older, newer = versions
        send(world.staging, newer, at=NOW)
        world.guard(older).execute_complete({}, answer("Approve"))
        with pytest.raises(Refused):
            send(world.staging, older, at=NOW)

    def test_who_rejects_the_older_one_takes_nothing_from_the_newer(
        self, world: World, versions: tuple[Manifest, Manifest]
    ) -> None:
        older, newer = versions
        with pytest.raises(AirflowFailException):
            world.guard(older).execute_complete({}, answer("Reject"))
        send(world.staging, newer, at=NOW)
        # Asked again, and approved: it does not come back over the newer one.
        with suppress(AirflowFailException, AirflowSkipException, Refused):
            world.guard(older).execute_complete({}, answer("Approve"))
        with pytest.raises(Refused):
            send(world.staging, older, at=NOW)
        records = DeliveryRecords(Targets(world.staging))
        assert records.find(newer.delivery_id).state is DeliveryState.SENT

    def test_who_rejects_what_was_sent_meanwhile_is_told(
        self, world: World, versions: tuple[Manifest, Manifest]
    ) -> None:
        _, newer = versions
        send(world.staging, newer, at=NOW)
        with pytest.raises((AirflowFailException, AirflowSkipException)) as caught:
            world.guard(newer).execute_complete({}, answer("Reject", "no"))
        record = DeliveryRecords(Targets(world.staging)).find(newer.delivery_id)
        assert record.state in (DeliveryState.SENT, DeliveryState.ABANDONED)
        assert newer.delivery_id in str(caught.value)


def test_what_was_stopped_and_then_approved_is_sent(world: World) -> None:
    world.sent(1000)
    manifest = world.staged(10)
    assert world.stopped(manifest) is not None
    assert world.stopped(manifest) is not None  # a retry asks for no less
    assert world.stopped(manifest, approved="True") is None
    send(world.staging, manifest, at=NOW)
    record = DeliveryRecords(Targets(world.staging)).find(manifest.delivery_id)
    assert record.state is DeliveryState.SENT
