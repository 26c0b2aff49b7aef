"""Removals of users who opted out after they were sent."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.audience_manager.limits import MAX_LINE_BYTES
from airflow_am_provider.audience_manager.names import parse_file_name
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.suppression_removal import SuppressionRemovalOperator
from airflow_am_provider.storage import LocalFolder
from tests.operators.test_format import context, text_of
from tests.staged_deliveries import send

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


class World:
    """A staging location, a list of users who opted out, and a clock for what is sent."""

    def __init__(self, folder: Path) -> None:
        self.staging = folder / "staging"
        self.folder = folder
        self.hours = 0

    def opt_out(self, *ids: str) -> None:
        (self.folder / "optouts.csv").write_text("id\n" + "".join(f"{i}\n" for i in ids))

    def format(self, *rows: tuple[str, str, str], **arguments: Any) -> dict[str, Any]:
        path = self.folder / "rows.csv"
        lines = "".join(f'{user},"{more}","{less}"\n' for user, more, less in rows)
        path.write_text(f"id,more,less\n{lines}")
        removed = {} if arguments.get("mode") == "overwrite" else {"removed_traits_column": "less"}
        self.hours += 1
        return FormatDataFileOperator(
            task_id="format",
            source=str(path),
            id_column="id",
            traits_column="more",
            **{"dpid": 478, **removed, **arguments},
        ).execute(context(f"run-{self.hours}"))

    def send(self, document: dict[str, Any], *, parts: int | None = None) -> dict[str, Any]:
        """Note a delivery as sent, as an upload does; or only its first parts."""
        manifest = Manifest.from_json(document)
        now = NOON + timedelta(hours=self.hours)
        send(LocalFolder(self.staging), manifest, at=now, is_whole=parts is None)
        return document

    def sent(self, *rows: tuple[str, str, str], **arguments: Any) -> dict[str, Any]:
        return self.send(self.format(*rows, **arguments))

    def removal(self, run: str = "removal", **arguments: Any) -> dict[str, Any]:
        operator = SuppressionRemovalOperator(task_id="remove", **{"dpid": 478, **arguments})
        self.hours += 1
        return operator.execute(context(run))

    def text(self, manifest: dict[str, Any]) -> list[str]:
        return text_of(self.staging, manifest).decode().splitlines()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    fields = {
        "environment": "beta",
        "partner_name": "acme",
        "staging_location": str(tmp_path / "staging"),
        "suppression_source": str(tmp_path / "optouts.csv"),
    }
    document = {"conn_type": "audience_manager", "extra": fields}
    monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT", json.dumps(document))
    world = World(tmp_path)
    world.opt_out("nobody")
    return world


def test_traits_that_were_given_and_not_taken_are_removed(world: World) -> None:
    world.sent(("ann", "1,2", ""), ("bob", "3,10", ""), ("cid", "4", ""))
    world.sent(("ann", "5", "2"), ("cid", "", "4"))
    world.opt_out("ann", "bob", "cid", "dora")
    manifest = world.removal()
    assert sorted(world.text(manifest)) == ["ann\td_unsid=1,d_unsid=5", "bob\td_unsid=3,d_unsid=10"]
    name = parse_file_name(manifest["parts"][0]["file_name"])
    assert str(replace(name, timestamp=1_366_545_717)) == "ftp_dpm_478_1366545717.sync.gz"
    assert manifest["set_aside_by_reason"] == {}
    assert manifest["removes"]


def test_a_retry_makes_the_same_delivery_and_one_that_was_sent_is_not_made_again(
    world: World,
) -> None:
    world.sent(*((f"user-{number:03}", "1", "") for number in range(100)))
    world.opt_out(*(f"user-{number:03}" for number in range(0, 100, 3)))
    first = world.removal()
    assert world.removal() == first
    assert first["rows_written"] == 34
    # An upload that broke off: the same delivery goes on.
    world.send(first, parts=0)
    assert world.removal() == first
    world.send(first)
    with pytest.raises(AirflowSkipException):
        world.removal()
    with pytest.raises(AirflowSkipException):
        world.removal("next day")


def test_a_user_who_was_given_traits_after_the_removal_is_removed_again(world: World) -> None:
    world.sent(("ann", "1", ""))
    world.opt_out("ann")
    world.send(world.removal())
    world.opt_out("nobody")
    world.sent(("ann", "7", ""))
    world.opt_out("ann")
    assert world.text(world.removal("later")) == ["ann\td_unsid=7"]


def test_an_overwrite_replaces_what_was_given(world: World) -> None:
    world.sent(("ann", "1,2", ""), ("bob", "1", ""))
    world.sent(("ann", "3", ""), ("ann", "4", ""), mode="overwrite")
    world.opt_out("ann", "bob")
    assert sorted(world.text(world.removal())) == ["ann\td_unsid=3,d_unsid=4", "bob\td_unsid=1"]


def test_what_was_sent_in_part_may_have_given_traits_and_took_none(world: World) -> None:
    world.sent(("ann", "1,2", ""))
    world.send(world.format(("ann", "3", "1")), parts=0)
    world.send(world.format(("ann", "4", ""), mode="overwrite"), parts=0)
    world.opt_out("ann")
    assert world.text(world.removal()) == ["ann\td_unsid=1,d_unsid=2,d_unsid=3,d_unsid=4"]


def test_only_what_was_sent_to_the_same_target_counts(world: World) -> None:
    world.format(("ann", "1", ""))  # not sent
    world.sent(("ann", "2", ""), dpid=479)
    world.sent(("ann", "3", ""), target_dpid=567)
    world.opt_out("ann")
    with pytest.raises(AirflowSkipException):
        world.removal()
    assert world.text(world.removal(target_dpid="567")) == ["ann\td_unsid=3"]


def test_what_is_gone_from_staging_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gone = world.sent(("ann", "1", ""))
    world.sent(("ann", "2", ""))
    (world.staging / gone["parts"][0]["path"]).unlink()
    world.opt_out("ann")
    assert world.text(world.removal()) == ["ann\td_unsid=2"]
    assert "1 more were sent and are gone from staging" in caplog.text
    assert not re.search(r"\bann\b", caplog.text)


def test_a_user_with_very_many_traits_gets_as_many_lines_as_it_takes(world: World) -> None:
    traits = [str(1_000_000_000 + number) for number in range(6_000)]
    world.sent(("ann", ",".join(traits[:3_000]), ""), ("ann", ",".join(traits[3_000:]), ""))
    world.opt_out("ann")
    lines = world.text(world.removal())
    assert len(lines) == 2
    assert all(len(line) <= MAX_LINE_BYTES for line in lines)
    removed = [item for line in lines for item in line.removeprefix("ann\t").split(",")]
    assert removed == [f"d_unsid={trait}" for trait in traits]


def test_without_any_list_the_task_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"partner_name": "acme", "staging_location": str(world.staging)}
    document = {"conn_type": "audience_manager", "extra": fields}
    monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT", json.dumps(document))
    with pytest.raises(AirflowFailException, match="no suppression list is named"):
        world.removal()
