"""Runs without a window of their own go on where the last delivery that was sent ended."""

from __future__ import annotations

import gzip
import json
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.storage import LocalFolder
from tests.staged_deliveries import send

if TYPE_CHECKING:
    from pathlib import Path

    from tests.connections import Connect

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(kw_only=True)
class Task:
    """A format task and its upload, with a CRM that has one change a day at noon."""

    conn_id: str
    staging: Path
    arguments: dict[str, Any] = field(default_factory=dict)

    def format(
        self,
        day: int,
        run_type: str = "scheduled",
        *,
        run_id: str | None = None,
        map_index: int | None = None,
        interval: tuple[datetime, datetime] | None = None,
        dag_id: str = "crm_to_aam",
        **arguments: Any,
    ) -> dict[str, Any]:
        """Execute the format task of a run that is due at midnight of a day in March."""
        run_id = run_id or f"{run_type}__{day}"
        run = SimpleNamespace(dag_id=dag_id, run_id=run_id, run_type=run_type, run_after=march(day))
        operator = FormatDataFileOperator(
            **{
                "task_id": "format",
                "conn_id": "crm",
                "audience_manager_conn_id": self.conn_id,
                "sql": "SELECT * FROM changes WHERE at >= :window_start AND at < :window_end",
                "dpid": 478,
                "id_column": "id",
                "traits_column": "traits",
                "watermark_start": "2026-03-01",
                **self.arguments,
                **arguments,
            }
        )
        context: Any = {
            "dag_run": run,
            "run_id": run_id,
            "task": operator,
            "ti": SimpleNamespace(map_index=-1 if map_index is None else map_index),
        }
        if interval is not None:
            context |= {"data_interval_start": interval[0], "data_interval_end": interval[1]}
        return operator.execute(context)

    def upload(self, manifest: dict[str, Any]) -> None:
        """Note of a delivery that all of it was sent, as the upload does."""
        delivery = Manifest.from_json(manifest)
        staging = LocalFolder(self.staging)
        send(staging, delivery)

    def deliver(self, day: int, run_type: str = "scheduled", **arguments: Any) -> list[str]:
        """Format and send; gives the users in the files."""
        manifest = self.format(day, run_type, **arguments)
        self.upload(manifest)
        return self.users(manifest)

    def users(self, manifest: dict[str, Any]) -> list[str]:
        """The users of a delivery."""
        texts = [
            gzip.decompress((self.staging / part["path"]).read_bytes())
            for part in manifest["parts"]
        ]
        return sorted(line.split("\t")[0] for line in b"".join(texts).decode().splitlines())


def march(day: int) -> datetime:
    return datetime(2026, 3, day, tzinfo=UTC)


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """User c1 changed on 1 March, c2 on 2 March …"""
    path = tmp_path / "crm.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE changes (id text, traits text, at text)")
    with connection:
        rows = [(f"c{day}", "1", f"2026-03-{day:02}T12:00:00") for day in range(1, 10)]
        connection.executemany("INSERT INTO changes VALUES (?, ?, ?)", rows)
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return connection


@pytest.fixture
def task(
    tmp_path: Path,
    crm: sqlite3.Connection,
    audience_manager: Connect,
) -> Task:
    staging = tmp_path / "staging"
    conn_id = audience_manager(
        environment="custom",
        bucket="inbound",
        partner_name="acme",
        aws_conn_id="none",
        staging_location=str(staging),
    )
    return Task(conn_id=conn_id, staging=staging)


def test_each_run_takes_what_came_since_the_last_delivery_that_was_sent(
    task: Task, capfd: pytest.CaptureFixture[str]
) -> None:
    assert task.deliver(3) == ["c1", "c2"]
    assert task.deliver(4, "asset_triggered") == ["c3"]
    assert task.deliver(7) == ["c4", "c5", "c6"]
    logged = capfd.readouterr().out
    assert (
        "Window: 2026-03-01T00:00:00+00:00 to 2026-03-03T00:00:00+00:00 (from watermark_start, as "
        "nothing was delivered yet, up to when this run was due)"
    ) in logged
    assert (
        "Window: 2026-03-04T00:00:00+00:00 to 2026-03-07T00:00:00+00:00 (from the watermark, up to "
        "when this run was due)"
    ) in logged


def test_rows_that_were_formatted_and_never_sent_are_in_the_next_delivery(task: Task) -> None:
    task.deliver(2)
    task.format(3)
    assert task.deliver(4) == ["c2", "c3"]


def test_rows_of_a_run_that_failed_while_formatting_are_in_the_next_delivery(
    task: Task, crm: sqlite3.Connection
) -> None:
    task.deliver(2)
    with pytest.raises(AirflowFailException):
        task.format(3, traits_column="no_such_column")
    assert task.deliver(4) == ["c2", "c3"]


def test_a_window_without_rows_needs_no_sending(task: Task, crm: sqlite3.Connection) -> None:
    task.deliver(2)
    with crm:
        crm.execute("DELETE FROM changes WHERE id IN ('c2', 'c3')")
    with pytest.raises(AirflowSkipException):
        task.format(3)
    with pytest.raises(AirflowFailException):
        task.format(4, on_empty="fail")
    manifest = task.format(5)
    # That of the 4th is not done with: somebody wanted rows there.
    assert manifest["window_start"] == "2026-03-03T00:00:00+00:00"


def test_a_run_that_is_done_again_takes_its_own_window_again(
    task: Task, crm: sqlite3.Connection
) -> None:
    first = task.format(3)
    task.upload(first)
    assert task.deliver(5) == ["c3", "c4"]
    assert task.format(3) == first
    with crm:
        crm.execute("INSERT INTO changes VALUES ('late', '1', '2026-03-01T13:00:00')")
    assert task.deliver(3) == ["c1", "c2", "late"]
    # Also when a backfill does it, which keeps the run's ID.
    again = task.format(3, "backfill", run_id="scheduled__3")
    assert (again["window_start"], again["window_end"]) == (
        first["window_start"],
        first["window_end"],
    )
    assert task.deliver(6) == ["c5"]


@pytest.mark.parametrize("run_type", ["manual", "operator_triggered"])
def test_a_run_that_somebody_started_reads_the_watermark_and_leaves_it(
    task: Task, run_type: str
) -> None:
    task.deliver(2)
    assert task.deliver(4, run_type) == ["c2", "c3"]
    assert task.deliver(5) == ["c2", "c3", "c4"]


def test_a_backfill_does_not_use_it(task: Task) -> None:
    task.deliver(2)
    with pytest.raises(AirflowFailException, match=r"^window_start, window_end: a backfill needs"):
        task.format(4, "backfill")
    assert task.deliver(5) == ["c2", "c3", "c4"]


def test_a_run_with_an_interval_or_parameters_of_its_own_neither_uses_nor_moves_it(
    task: Task,
) -> None:
    task.deliver(2)
    assert task.deliver(6, interval=(march(5), march(6))) == ["c5"]
    assert task.deliver(7, window_start="2026-03-06", window_end="2026-03-07") == ["c6"]
    assert task.deliver(4) == ["c2", "c3"]


def test_a_run_that_later_ones_overtook_has_nothing_to_do(task: Task) -> None:
    task.deliver(5)
    with pytest.raises(AirflowSkipException) as caught:
        task.format(3)
    assert str(caught.value) == (
        "All up to 2026-03-05T00:00:00+00:00 was delivered, and this run is due at "
        "2026-03-03T00:00:00+00:00: nothing is left for it"
    )


def test_a_delivery_that_is_cleaned_away_is_still_known_to_have_been_sent(task: Task) -> None:
    task.deliver(3)
    task.deliver(4)
    for path in sorted((task.staging / "deliveries").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert task.deliver(5) == ["c4"]


def test_each_task_and_each_destination_has_its_own(task: Task, audience_manager: Connect) -> None:
    task.deliver(3)
    assert task.deliver(4, task_id="format_others") == ["c1", "c2", "c3"]
    elsewhere = audience_manager(
        environment="custom", bucket="other", partner_name="acme", aws_conn_id="none",
        staging_location=str(task.staging),
    )  # fmt: skip
    manifest = task.format(4, audience_manager_conn_id=elsewhere)
    assert task.users(manifest) == ["c1", "c2", "c3"]


def test_partitions_share_a_window_and_move_it_together(task: Task) -> None:
    def one(day: int, number: int) -> dict[str, Any]:
        return task.format(day, partitions=2, partition=number, map_index=number)

    def combine(*partitions: dict[str, Any]) -> dict[str, Any]:
        return CombinePartitionsOperator(
            task_id="combine", formatted=partitions, audience_manager_conn_id=task.conn_id
        ).execute({})

    first = one(3, 0)
    late = one(3, 1)
    manifest = combine(first, late)
    assert task.users(manifest) == ["c1", "c2"]
    # Formatted, but not sent.
    assert one(4, 0)["context"]["window_start"] == "2026-03-01T00:00:00+00:00"
    task.upload(manifest)
    # The other partition of the same run has the same window, though meanwhile more was sent.
    assert one(4, 1)["context"]["window_start"] == "2026-03-01T00:00:00+00:00"
    assert one(5, 0)["context"]["window_start"] == "2026-03-03T00:00:00+00:00"


def test_a_mapped_task_that_is_no_partition_has_none(task: Task) -> None:
    with pytest.raises(
        AirflowFailException, match=r"^watermark_start: a mapped task can have no watermark"
    ):
        task.format(3, map_index=0)


@pytest.mark.parametrize("given", ["yesterday", 7])
def test_where_the_first_window_begins_has_to_be_a_time(task: Task, given: object) -> None:
    with pytest.raises(AirflowFailException) as caught:
        task.format(3, watermark_start=given)
    assert str(caught.value) == (
        f"watermark_start: {str(given)!r} is not a date and time in ISO 8601"
    )


def test_another_dags_deliveries_move_no_watermark_but_their_own(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task.deliver(3) == ["c1", "c2"]
    assert task.deliver(6, dag_id="other") == ["c1", "c2", "c3", "c4", "c5"]
    assert task.deliver(4) == ["c3"]
    assert task.deliver(7, dag_id="other") == ["c6"]


def test_a_run_that_is_cleared_whole_after_it_was_sent_moves_nothing_twice(task: Task) -> None:
    first = task.format(3)
    task.upload(first)
    assert task.deliver(5) == ["c3", "c4"]
    again = task.format(3)
    assert again["delivery_id"] == first["delivery_id"]
    task.upload(again)
    assert task.deliver(6) == ["c5"]


def test_days_that_are_sent_out_of_their_order_leave_nothing_out(task: Task) -> None:
    early, late = task.format(4), task.format(6)
    task.upload(late)
    task.upload(early)  # comes later, and says less
    assert task.deliver(7) == ["c6"]
    assert task.users(late) == ["c1", "c2", "c3", "c4", "c5"]


def test_what_a_cleared_run_corrects_is_sent_with_its_own_window(
    task: Task, crm: sqlite3.Connection
) -> None:
    early = task.format(3)
    assert task.deliver(5) == ["c1", "c2", "c3", "c4"]
    with crm:
        crm.execute("INSERT INTO changes VALUES ('late', '1', '2026-03-02T18:00:00')")
    again = task.format(3)
    assert (task.users(early), task.users(again)) == (["c1", "c2"], ["c1", "c2", "late"])
    task.upload(again)  # although newer data was sent, as a person may want
    assert task.deliver(6) == ["c5"]


def test_rows_of_a_delivery_that_was_given_up_before_it_was_sent_are_in_the_next(
    task: Task,
) -> None:
    from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
    from airflow_am_provider.deliveries.targets import Targets

    given_up = task.format(3)
    records = DeliveryRecords(Targets(LocalFolder(task.staging)))
    records.end(given_up["delivery_id"], DeliveryState.ABANDONED, "Rejected by admin")
    assert task.deliver(4) == ["c1", "c2", "c3"]
