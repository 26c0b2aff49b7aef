"""Events for other DAGs: one for each delivery that is newly acknowledged."""

from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider import airflow_compat
from airflow_am_provider.hooks import asset_events
from airflow_am_provider.hooks.asset_events import announce, announce_loaded
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path


class _Events:
    """What a task has told of."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.extras: list[dict[str, Any]] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.extras.append(extra)
        self.told.append(f"{asset.uri} {extra['delivery_id']} {extra['sending']}")


class _Outlets(defaultdict[str, _Events]):
    """As a task has them: by an alias, which has no hash on Airflow 3.1."""

    def __getitem__(self, alias: Any) -> _Events:
        return super().__getitem__(alias.name)


@pytest.fixture
def staging(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path)


def _told(
    staging: LocalFolder, run: str = "one", tried: int = 1, most: int = 2, **found: Any
) -> list[str]:
    events = _Outlets(_Events)
    context = {
        "outlet_events": events,
        "ti": SimpleNamespace(
            dag_id="d",
            run_id=run,
            task_id="receipt",
            map_index=-1,
            try_number=tried,
            max_tries=most,
        ),
        "task": SimpleNamespace(retries=2),
    }
    one = {"files": ["ftp_dpm_478_1366545717.sync"], "delivery_id": "0a1b", "sending": 1, **found}
    announce(context, staging, "production/acme", [one])
    return [told for each in events.values() for told in each.told]


NEW = ["audience-manager://production/acme/478 0a1b 1"]


def test_a_cleared_task_and_another_run_tell_nothing_again(staging: LocalFolder) -> None:
    assert _told(staging) == NEW
    assert _told(staging, tried=2, most=4) == []
    assert _told(staging, run="other") == []
    assert _told(staging, run="other", tried=2) == []


def test_a_try_after_one_that_died_tells_it_again(staging: LocalFolder) -> None:
    assert _told(staging) == NEW
    assert _told(staging, tried=2) == NEW


def test_what_was_sent_again_and_what_a_sign_says_at_last_is_new(staging: LocalFolder) -> None:
    assert _told(staging, assumed=True) == NEW
    assert _told(staging, run="other", assumed=True) == []
    assert _told(staging, run="other") == NEW
    assert _told(staging, sending=2) == ["audience-manager://production/acme/478 0a1b 2"]


@pytest.mark.parametrize("takes_nested", [True, False])
def test_no_event_holds_what_its_airflow_breaks_on(
    staging: LocalFolder, monkeypatch: pytest.MonkeyPatch, takes_nested: bool
) -> None:
    monkeypatch.setattr(asset_events, "takes_nested_extra", lambda: takes_nested)
    outlets = _Outlets(_Events)
    counts = {"rows": 2}
    one = {"files": ["ftp_dpm_478_1366545717.sync"], "delivery_id": "0a1b", "sending": 1}
    context = {"outlet_events": outlets, "ti": SimpleNamespace(dag_id="d", run_id="r")}
    announce(context, staging, "production/acme", [{**one, "problems": [], "counts": counts}])
    report = {"destination": 1234, "delivery_id": "", "sending": 0, "set_aside": counts}
    announce_loaded(outlets, [report])
    (acknowledged,), (loaded,) = (events.extras for events in outlets.values())
    if takes_nested:
        assert (acknowledged["counts"], loaded["set_aside"]) == (counts, counts)
        return
    # What the API server of Airflow 3.1.0 does with it.
    assert dict(frozenset(acknowledged.items())) == acknowledged
    assert dict(frozenset(loaded.items())) == loaded
    assert json.loads(acknowledged["counts"]) == json.loads(loaded["set_aside"]) == counts


def test_this_airflow_is_known_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, takes in (("1.1.2", False), ("1.1.3rc1", True), ("1.2.0", True), ("1.10.0", True)):
        monkeypatch.setattr(airflow_compat, "version", lambda _, version=version: version)
        assert airflow_compat.takes_nested_extra() is takes
