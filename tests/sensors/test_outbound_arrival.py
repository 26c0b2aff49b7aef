"""A run that starts when a batch has arrived: an asset's trigger, and the sensor in the run."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Asset, AssetWatcher

from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from airflow_am_provider.triggers import outbound_arrival
from airflow_am_provider.triggers.outbound_arrival import OutboundArrivalTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")

FIRST, SECOND = (f"S3_1234_20914_full_{stamp}" for stamp in (1768953600000, 1769040000000))


def put(inbox: Path, root: str, content: bytes, *, listed: int | None = None) -> None:
    inbox.mkdir(exist_ok=True)
    size = len(content) if listed is None else listed
    files = {"Files": [{"FileName": f"{root}.sync", "FileByteSize": size}]}
    (inbox / f"{root}.info").write_text(json.dumps(files))
    (inbox / f"{root}.sync").write_bytes(content)


def trigger(inbox: Path | str, **more: Any) -> OutboundArrivalTrigger:
    path, arguments = OutboundArrivalTrigger(
        location=str(inbox), poke_interval=0.01, **more
    ).serialize()
    assert path.endswith("OutboundArrivalTrigger")
    return OutboundArrivalTrigger(**json.loads(json.dumps(arguments)))


async def told(events: AsyncIterator[Any], within_s: float = 5.0) -> dict[str, Any]:
    event = await asyncio.wait_for(anext(events), within_s)
    payload: dict[str, Any] = event.payload
    return payload


class Store:
    """Airflow's store for the state of an asset, as a trigger has it."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.kept[key] = json.loads(json.dumps(value))


async def test_each_batch_is_told_once_it_is_complete_and_again_when_it_is_another(
    tmp_path: Path,
) -> None:
    put(tmp_path / "in", FIRST, b"A 1\n")
    put(tmp_path / "in", SECOND, b"A 1\n", listed=8)
    events = trigger(tmp_path / "in").run()
    first = await told(events)
    assert (first["batch"], first["files"], first["location"]) == (FIRST, 1, str(tmp_path / "in"))
    with pytest.raises(TimeoutError):  # the second is not whole yet, the first was told
        await told(events, 0.1)
    events = trigger(tmp_path / "in").run()
    assert (await told(events))["batch"] == FIRST
    put(tmp_path / "in", SECOND, b"A 1\nB 2\n")
    second = await told(events)
    assert second["batch"] == SECOND
    put(tmp_path / "in", SECOND, b"A 1\nB 2\nC 3\n")
    again = await told(events)
    assert again["batch"] == SECOND
    assert again["version"] != second["version"]


async def test_what_was_told_before_is_kept_once_airflow_has_the_event(tmp_path: Path) -> None:
    put(tmp_path / "in", FIRST, b"A 1\n")
    store = Store()
    watched = trigger(tmp_path / "in")
    watched.asset_state_store = store
    events = watched.run()
    assert (await told(events))["batch"] == FIRST
    assert store.kept == {}  # whoever dies here tells it again
    put(tmp_path / "in", SECOND, b"A 1\n")
    assert (await told(events))["batch"] == SECOND
    (kept,) = store.kept.values()
    assert list(kept) == [FIRST]

    anew = trigger(tmp_path / "in")
    anew.asset_state_store = store
    events = anew.run()
    assert (await told(events))["batch"] == SECOND
    (tmp_path / "in" / f"{FIRST}.info").unlink()
    (tmp_path / "in" / f"{FIRST}.sync").unlink()
    with pytest.raises(TimeoutError):
        await told(events, 0.2)
    assert [list(kept) for kept in store.kept.values()] == [[SECOND]]


async def test_what_cannot_be_watched_is_said_and_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbound_arrival, "LONGEST_PAUSE_S", 0.01)
    events = trigger("sftp:///in", source_conn_id="not_there").run()
    with pytest.raises(TimeoutError):
        await told(events, 1.5)
    assert "sftp:///in cannot be watched: " in caplog.text
    assert "not_there" in caplog.text


def test_an_asset_can_be_watched(tmp_path: Path) -> None:
    watched = trigger(tmp_path, destination=1234)
    asset = Asset("batches", watchers=[AssetWatcher(name="batches", trigger=watched)])
    assert asset.watchers[0].trigger is watched


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_run_that_an_arrival_has_started_takes_what_has_arrived(
    tmp_path: Path, deferrable: bool
) -> None:
    payload = {
        "batch": FIRST, "version": "1", "mode": "full", "files": 1, "bytes": 4,
        "location": str(tmp_path),
    }  # fmt: skip
    other = {**payload, "batch": SECOND, "location": "s3://another/inbox"}
    extras = [{"payload": payload}, {"payload": {**payload, "version": "2"}}, {"payload": other}]
    events = [SimpleNamespace(extra=extra) for extra in (*extras, {}, None, {"payload": "x"})]
    task = OutboundFilesSensor(
        task_id="arrived", location=str(tmp_path), deferrable=deferrable, poke_interval=0.01
    )
    context: Any = {"triggering_asset_events": {"batches": events}}
    # Its version is not waited for: it may have been sent again since.
    expected = {"batch": FIRST, "mode": "full", "files": 1, "bytes": 4}
    assert task.execute(context) == [expected]
    task.quiet_period = 60
    assert task.execute(context) == [{**expected, "version": "2"}]
