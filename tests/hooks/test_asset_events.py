"""Events for other DAGs: one for each delivery that is newly acknowledged."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.hooks.asset_events import announce
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path


class _Events:
    """What a task has told of."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
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
