"""What cleaning deletes from staging, and what it never touches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.cleaning import clean, retention_of
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.staging import write_manifest
from airflow_am_provider.deliveries.target.commands import Enqueue
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.journal import begin_sending
from airflow_am_provider.deliveries.uploads.sending import queue_again
from airflow_am_provider.storage import LocalFolder, S3Folder
from tests.staged_deliveries import send as note_sent
from tests.staged_deliveries import stage

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.storage import Folder
    from demo.local.s3 import S3

MONTH = timedelta(days=30)
NAMES = ("ftp_dpm_478_1366545717.sync.1.gz", "ftp_dpm_478_1366545717.sync.2.gz")


@pytest.fixture(params=["local", "s3"])
def staging(request: pytest.FixtureRequest, tmp_path: Path, s3: S3, bucket: str) -> Folder:
    if request.param == "local":
        return LocalFolder(tmp_path)
    return S3Folder(s3.client(), bucket, "staging")


@pytest.fixture
def bucket(s3: S3) -> str:
    name = f"clean-{uuid4().hex[:12]}"
    s3.create_bucket(name)
    return name


def send(
    staging: Folder, manifest: Manifest, *, acknowledged: bool | None, sending: int = 1
) -> None:
    note_sent(staging, manifest, again=sending > 1)
    if acknowledged is not None:
        report = {"acknowledged": acknowledged, "concluded_at": datetime.now(UTC).isoformat()}
        records = DeliveryRecords(Targets(staging))
        records.record_reconciliation(records.find(manifest.delivery_id), sending, report)


def paths(staging: Folder) -> set[str]:
    """What lies in staging, but for what the target keeps."""
    kept = ("targets/", "target-details/", ".decisions.lock")
    return {entry.path for entry in staging.list() if not entry.path.startswith(kept)}


def later(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def test_parts_go_when_they_were_acknowledged_long_enough_ago_and_the_records_stay(
    staging: Folder,
) -> None:
    manifest = stage(staging)
    send(staging, manifest, acknowledged=True)
    before = paths(staging)
    size = sum(part.compressed_bytes for part in manifest.parts)
    assert clean(Targets(staging), MONTH, now=later(29)).files == 0
    would = clean(Targets(staging), MONTH, now=later(31), dry_run=True)
    assert paths(staging) == before
    cleaned = clean(Targets(staging), MONTH, now=later(31))
    assert (cleaned.deliveries, cleaned.files, cleaned.bytes) == (1, 2, size)
    assert (would.deliveries, would.files, would.bytes) == (1, 2, size)
    assert paths(staging) == before - {part.path for part in manifest.parts}
    assert {"manifest.json", "reconciliation.json"} <= {
        path.rpartition("/")[2] for path in paths(staging)
    }
    assert clean(Targets(staging), MONTH, now=later(31)).files == 0


@pytest.mark.parametrize("acknowledged", [None, False])
def test_what_is_not_acknowledged_is_never_touched(
    staging: Folder, acknowledged: bool | None
) -> None:
    manifest = stage(staging)
    send(staging, manifest, acknowledged=acknowledged)
    stage(staging, {"ftp_dpm_478_1366545718.sync.gz": b"x"}, delivery_id="b" * 20)  # not sent
    before = paths(staging)
    cleaned = clean(Targets(staging), MONTH, now=later(1000))
    assert (cleaned.files, cleaned.unacknowledged) == (0, 2)
    assert paths(staging) == before


def test_what_was_sent_again_stays_until_that_is_acknowledged(staging: Folder) -> None:
    manifest = stage(staging)
    send(staging, manifest, acknowledged=True)
    send(staging, manifest, acknowledged=None, sending=2)
    assert clean(Targets(staging), MONTH, now=later(31)).files == 0
    records = DeliveryRecords(Targets(staging))
    report = {"acknowledged": True, "concluded_at": datetime.now(UTC).isoformat()}
    records.record_reconciliation(records.find(manifest.delivery_id), 2, report)
    assert clean(Targets(staging), MONTH, now=later(31)).files == 2


def test_files_that_another_delivery_needs_stay(staging: Folder) -> None:
    manifest = stage(staging)
    send(staging, manifest, acknowledged=True)
    other = stage(staging, {NAMES[0]: b"x"}, delivery_id="c" * 20, window=(None, None))
    write_manifest(staging, replace(other, parts=manifest.parts[:1]))
    staging.delete(other.parts[0].path)
    cleaned = clean(Targets(staging), MONTH, now=later(31))
    assert cleaned.files == 1
    assert staging.exists(manifest.parts[0].path)
    assert not staging.exists(manifest.parts[1].path)


def test_attempts_that_became_no_delivery_go_when_they_are_old(staging: Folder) -> None:
    folder = "deliveries/id_sync/attempts/2026-11-01-0123456789ab"
    staging.write_bytes(f"{folder}/parts/00001.gz", b"part")
    staging.write_bytes(f"{folder}/rejects.csv", b"rejects")
    staging.write_bytes(f"{folder}/manifest.json", b"{}")  # of a run with nothing to send
    assert clean(Targets(staging), MONTH, now=later(29)).files == 0
    cleaned = clean(Targets(staging), MONTH, now=later(31))
    assert (cleaned.attempts, cleaned.files, cleaned.deliveries) == (1, 2, 0)
    assert paths(staging) == {f"{folder}/manifest.json"}


def test_writes_that_broke_off_go_when_they_are_old(staging: Folder, s3: S3, bucket: str) -> None:
    if isinstance(staging, LocalFolder):
        left = staging.root / "deliveries" / ".0123456789abcdef.unfinished"
        left.parent.mkdir()
        left.write_bytes(b"half a part")
    else:
        s3.client().create_multipart_upload(Bucket=bucket, Key="staging/deliveries/a")
        s3.client().create_multipart_upload(Bucket=bucket, Key="elsewhere/a")
    if isinstance(staging, LocalFolder):  # to moto, each of them was begun in 2010
        assert clean(Targets(staging), MONTH, now=later(29)).files == 0
    assert clean(Targets(staging), MONTH, now=later(31)).files == 1
    assert clean(Targets(staging), MONTH, now=later(31)).files == 0
    if isinstance(staging, S3Folder):
        left_over = s3.client().list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert [upload["Key"] for upload in left_over] == ["elsewhere/a"]


def test_a_manifest_that_cannot_be_read_stops_it(staging: Folder) -> None:
    send(staging, stage(staging), acknowledged=True)
    other = stage(staging, {NAMES[0]: b"x"}, delivery_id="d" * 20, window=(None, None))
    staging.write_bytes(f"{other.location}/manifest.json", b"{")
    before = paths(staging)
    with pytest.raises(ConfigurationError, match="manifest: not JSON"):
        clean(Targets(staging), MONTH, now=later(31))
    assert paths(staging) == before


@pytest.mark.parametrize(
    "value", ["P1M", "a week", "PT5H", "-3", "P0D", timedelta(hours=5), "", None]
)
def test_a_retention_that_is_none(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^retention: "):
        retention_of("retention", value)


@pytest.mark.parametrize("value", ["P14D", "P2W", "14", 14, timedelta(days=14)])
def test_a_retention(value: object) -> None:
    assert retention_of("retention", value) == timedelta(days=14)


@pytest.mark.parametrize("reached", ["staged", "queued", "sending", "sent", "given up", "in doubt"])
def test_what_is_outstanding_stays_however_old_it_is(staging: Folder, reached: str) -> None:
    manifest, targets = stage(staging), Targets(staging)
    target = targets.of(manifest)
    if reached not in ("staged", "given up"):
        target.decide(Enqueue(delivery_id=manifest.delivery_id, at=""))
    if reached in ("sending", "in doubt"):
        journal = begin_sending(
            target, manifest, staging, "s3://b/acme", lambda: datetime.now(UTC), in_order=False
        )
        if reached == "in doubt":
            journal.begin(journal.manifest.parts[0])
    if reached == "sent":
        note_sent(staging, manifest)
    if reached == "given up":
        DeliveryRecords(targets).end(manifest.delivery_id, DeliveryState.ABANDONED, "wrong")
    before = paths(staging)
    assert clean(targets, MONTH, now=later(1000)).files == 0
    assert paths(staging) == before


def test_what_waits_to_be_sent_again_stays(staging: Folder) -> None:
    manifest, targets = stage(staging), Targets(staging)
    send(staging, manifest, acknowledged=True)
    queue_again(DeliveryRecords(targets).find(manifest.delivery_id))
    before = paths(staging)
    assert clean(targets, MONTH, now=later(1000)).files == 0
    assert paths(staging) == before
