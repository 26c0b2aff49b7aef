"""CleanStagingOperator, as a worker runs it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.operators.clean_staging import CleanStagingOperator
from airflow_am_provider.storage import LocalFolder
from tests.staged_deliveries import send, stage

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalFolder:
    fields = {"partner_name": "acme", "staging_location": str(tmp_path)}
    document = {"conn_type": "audience_manager", "extra": fields}
    monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT", json.dumps(document))
    return LocalFolder(tmp_path)


def clean(**arguments: Any) -> dict[str, Any]:
    return CleanStagingOperator(task_id="clean", **arguments).execute({})


def test_it_says_what_it_did_and_leaves_what_is_young(staging: LocalFolder) -> None:
    manifest = stage(staging)
    send(staging, manifest)
    records = DeliveryRecords(Targets(staging))
    records.record_reconciliation(records.find(manifest.delivery_id), 1, {"acknowledged": True})
    nothing = {"deliveries": 0, "attempts": 0, "files": 0, "bytes": 0, "unacknowledged": 0}
    assert clean(retention="P1D") == {**nothing, "dry_run": False}
    assert clean(retention=timedelta(days=1), only_report="True") == {**nothing, "dry_run": True}


def test_a_wrong_retention_fails_at_once(staging: LocalFolder) -> None:
    with pytest.raises(AirflowFailException, match="retention: 'a month' is no time in days"):
        clean(retention="a month")
