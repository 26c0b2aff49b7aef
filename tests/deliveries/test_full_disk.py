"""A disk that is full at any write: the task may go better later, and then nothing is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.staging import DeliveryContext, stage_delivery
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.formatting.lines.data_lines import DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.storage import LocalFolder
from tests.formatting.running import TRAITS, users
from tests.staged_deliveries import send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_am_provider.deliveries.manifest import Manifest

NOW = datetime(2026, 7, 30, 12, 0, 1, tzinfo=UTC)
DAY = DeliveryContext(destination="production/acme", run="daily/1")
# With so many files there is room for all that a delivery needs.
ENOUGH = 26


@contextmanager
def small_disk(at: Path, files: int) -> Iterator[None]:
    """A file system that takes so many files and folders, one of them its root."""
    at.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=8m,nr_inodes={files}", "tmpfs", str(at)],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def deliver(folder: LocalFolder) -> Manifest:
    """Stage a delivery, send it and note its receipt."""
    manifest = stage_delivery(
        [users(300)],
        DataLineWriter(TRAITS),
        Targets(folder),
        FormatOptions(),
        context=DAY,
        now=NOW,
    )
    send(folder, manifest)
    records = DeliveryRecords(Targets(folder))
    report = {"acknowledged": True, "concluded_at": NOW.isoformat()}
    records.record_reconciliation(records.find(manifest.delivery_id), 1, report)
    return manifest


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="takes root and mount"
)
def test_whichever_write_finds_it_full(tmp_path: Path) -> None:
    for files in range(4, ENOUGH + 1, 2):
        disk = tmp_path / f"disk{files}"
        with small_disk(disk, files):
            folder = LocalFolder(disk / "staging")
            if files < ENOUGH:
                with pytest.raises(TransientError, match="No space left on device"):
                    deliver(folder)
            options = "remount,size=8m,nr_inodes=1000"
            subprocess.run(["mount", "-o", options, str(disk)], check=True)
            manifest = deliver(folder)
            entry = Targets(folder).of(manifest).find(manifest.delivery_id)
            assert entry is not None
            assert (entry.state, entry.timestamp) == (DeliveryState.ACKNOWLEDGED, NOW.timestamp())
            assert all(folder.size(part.path) == part.compressed_bytes for part in manifest.parts)
