"""Staged deliveries for tests, without the engine that formats them."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from airflow_am_provider.audience_manager.names import DataFileName
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.staging import write_manifest
from airflow_am_provider.deliveries.target.commands import Enqueue, OnOlder, Stage
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.destination import Destination
from airflow_am_provider.deliveries.uploads.journal import UploadJournal, begin_sending
from airflow_am_provider.deliveries.uploads.record import UploadRecord
from airflow_am_provider.deliveries.uploads.sending import queue_again, send_parts, utc_now
from airflow_am_provider.deliveries.window import Window
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.storage import Folder

NAMES = ("ftp_dpm_478_1366545717.sync.1.gz", "ftp_dpm_478_1366545717.sync.2.gz")


def content_of(name: str, size: int = 200_000) -> bytes:
    """Bytes that differ for each name and do not compress."""
    return random.Random(name).randbytes(size)


def stage(
    where: Folder | Targets,
    contents: Mapping[str, bytes] | None = None,
    *,
    delivery_id: str = "0123456789abcdef0123",
    lines: int = 1000,
    destination: str = "production/acme",
    conn_id: str | None = None,
    removes: bool = False,
    series: str = "daily/format",
    window: tuple[str | None, str | None] = (
        "2026-11-04T00:00:00+00:00",
        "2026-11-05T00:00:00+00:00",
    ),
    created_at: str = "2026-11-05T01:00:00+00:00",
) -> Manifest:
    """Put parts and their manifest into staging, and tell their target.

    They go where the connection leads, if there is one.
    """
    if conn_id is not None:
        destination = AudienceManagerHook(conn_id).destination_name
    targets = where if isinstance(where, Targets) else Targets(where)
    staging = targets.staging
    contents = {name: content_of(name) for name in NAMES} if contents is None else contents
    location = f"deliveries/data/{delivery_id}"
    parts = []
    for number, (name, content) in enumerate(contents.items(), start=1):
        path = f"deliveries/data/attempts/{delivery_id}/parts/{number:05}.gz"
        staging.write_bytes(path, content)
        parts.append(
            Part(
                path=path,
                file_name=name,
                lines=lines,
                bytes=2 * len(content),
                compressed_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    rows = lines * len(parts)
    manifest = Manifest(
        delivery_id=delivery_id,
        kind="data",
        staging=staging.url,
        location=location,
        destination=destination,
        removes=removes,
        series=series,
        rows_read=rows + 5,
        rows_written=rows,
        rows_set_aside=5,
        set_aside_by_reason={"personal_data": 5},
        window=Window.parse(*window),
        created_at=created_at,
        parts=tuple(parts),
    )
    return register(targets, manifest)


def register(targets: Targets, manifest: Manifest) -> Manifest:
    """Tell the target of a manifest; it may give the delivery other names."""
    name, delivery_id = manifest.file_name, manifest.delivery_id
    window = manifest.window
    event = targets.of(manifest).decide(
        Stage(
            content_id=delivery_id,
            folder="deliveries/data",
            name=name.kind.stem,
            now=name.timestamp,
            at=manifest.created_at,
            mode=name.mode if isinstance(name, DataFileName) else None,
            removes=manifest.removes,
            series=manifest.series,
            # Without a window each is of a run of its own.
            subject=json.dumps(
                [manifest.series, name.kind.stem, str(getattr(name, "mode", "")), *window.texts]
                if window.is_given
                else [manifest.series, delivery_id]
            ),
            window=window,
            figures={
                "created_at": manifest.created_at,
                "rows_read": manifest.rows_read,
                "rows_written": manifest.rows_written,
                "rows_set_aside": manifest.rows_set_aside,
            },
        )
    )
    entry = event.entry
    assert entry is not None
    manifest = replace(
        manifest.named(entry.timestamp), delivery_id=entry.delivery_id, location=entry.location
    )
    write_manifest(targets.staging, manifest)
    return manifest


def send(
    where: Folder | Targets,
    manifest: Manifest,
    *,
    url: str = "s3://bucket/acme",
    at: datetime | None = None,
    again: bool = False,
    is_whole: bool = True,
    in_order: bool = False,
) -> UploadJournal:
    """Note that a delivery was sent, all of it or its first part, without sending it."""
    targets = where if isinstance(where, Targets) else Targets(where)
    target, delivery_id = targets.of(manifest), manifest.delivery_id
    if again:
        queue_again(DeliveryRecords(targets).find(delivery_id), force=True)
    else:
        target.decide(Enqueue(delivery_id=delivery_id, at="", on_older=OnOlder.SEND))

    def clock() -> datetime:
        return at or datetime.now(UTC)

    journal = begin_sending(target, manifest, targets.staging, url, clock, in_order=in_order)
    for part in journal.manifest.parts if is_whole else journal.manifest.parts[:1]:
        journal.uploaded(part, f"{url}/{part.file_name}", is_sent=True)
    if is_whole:
        journal.complete()
    return journal


def send_for_real(
    destination: Destination,
    manifest: Manifest,
    staging: Folder,
    *,
    again: bool = False,
    places: list[int] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> UploadRecord:
    """What the upload does with a delivery."""
    targets = Targets(staging)
    if again:
        queue_again(DeliveryRecords(targets).find(manifest.delivery_id))
    else:
        targets.of(manifest).decide(Enqueue(delivery_id=manifest.delivery_id, at=""))
    journal = send_parts(targets, destination, manifest, places=places, clock=clock)
    return journal.record if journal.is_whole or places is not None else journal.complete()
