"""Whom an answer that does not come points to, by what the records of staging know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_am_provider.deliveries.no_answer import what_to_ask
from airflow_am_provider.deliveries.past_answers import in_words, past_answers
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.signs import AcknowledgedBy
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.storage import LocalFolder
from tests.staged_deliveries import send, stage

if TYPE_CHECKING:
    from pathlib import Path

SENT = datetime(2026, 11, 6, 12, tzinfo=UTC)


def _sent(targets: Targets, number: int, dpid: int, answered_at: datetime | None) -> Any:
    """A delivery of a data source, and its receipt where there is one."""
    name = f"ftp_dpm_{dpid}_136654571{number}.sync.gz"
    manifest = stage(targets, {name: b"1"}, delivery_id=f"{number:020}", window=(None, None))
    send(targets, manifest, at=SENT)
    if answered_at is not None:
        records = DeliveryRecords(targets)
        report = {
            "acknowledged": True,
            "concluded_at": answered_at.isoformat(),
            "counts": {"records_received": 1000},
        }
        records.record_reconciliation(records.find(manifest.delivery_id), 1, report)
    return SimpleNamespace(
        delivery_id=manifest.delivery_id,
        destination_name=manifest.destination,
        target=str(dpid),
        sent_at=SENT,
    )


def test_a_wrong_data_source_reads_unlike_an_adobe_that_is_away(tmp_path: Path) -> None:
    targets = Targets(LocalFolder(tmp_path))
    yesterday, later = SENT - timedelta(days=1), SENT + timedelta(hours=1)
    wrong = _sent(targets, 1, 889, None)
    assert "nothing was ever acknowledged" in in_words(past_answers(wrong, targets), wrong)
    _sent(targets, 2, 898, yesterday)
    wrong = _sent(targets, 3, 889, None)
    past = past_answers(wrong, targets)
    assert past.had_receipt
    assert in_words(past, wrong) == (
        f"the number and the setting up of data source 889 first: it was never acknowledged, in 1 "
        f"delivery before this one, and data source 898 was, last at {yesterday.isoformat()}"
    )
    away = _sent(targets, 4, 898, None)
    assert in_words(past_answers(away, targets), away).startswith(
        f"Adobe, the way there and the mailbox first, rather than data source 898: at this "
        f"connection's destination nothing of any data source was acknowledged since "
        f"{yesterday.isoformat()}, before"
    )
    _sent(targets, 5, 7, later)
    assert in_words(past_answers(away, targets), away) == (
        f"data source 898 first: it was acknowledged last at {yesterday.isoformat()}, and data "
        f"source 7 at {later.isoformat()}"
    )


def _silent(name: str) -> Any:
    """What is known of a file of which nothing came back."""
    found = SimpleNamespace(in_part=(), uncounted=())
    status: Any = SimpleNamespace(outstanding=(name,), reconciliation=found, signs=())
    status.acknowledged_by = AcknowledgedBy.COUNTED
    status.delivery = SimpleNamespace(target=name.partition(".")[0])
    return status


def test_nothing_is_said_of_a_past_that_could_not_be_read() -> None:
    check, _ = what_to_ask([_silent("ftp_dpm_478_1366545717.sync.gz")])
    assert check == "Check the mailbox and the way to Adobe first."


def test_an_id_sync_without_an_answer_asks_for_its_number() -> None:
    def asked(name: str) -> str:
        return what_to_ask([_silent(name)])[1]

    assert asked("adobe_id_0_487_1795901749.sync.gz").startswith(
        "Ask whoever administers Audience Manager whether 487 is the data source that was meant, "
        "your company's own and set up for IDs, and Adobe whether your account gets receipts for "
        "ID syncs"
    )
    several = asked("adobe_id_0_487_488_1795901749.sync.gz")
    assert "the data sources 487, 488 are your company's own and set up" in several
