"""Staged deliveries for tests, without the engine that formats them."""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import replace

from airflow_am_provider.audience_manager.names import DataFileName
from airflow_am_provider.deliveries.target.commands import Stage
from airflow_am_provider.deliveries.target.names import stem
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.formatting.delivery import write_manifest
from airflow_am_provider.formatting.manifest import Manifest, Part
from airflow_am_provider.stores import Folder

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
    destination: str = "",
    removes: bool = False,
    series: str = "daily/format",
    window: tuple[str | None, str | None] = (
        "2026-11-04T00:00:00+00:00",
        "2026-11-05T00:00:00+00:00",
    ),
    created_at: str = "2026-11-05T01:00:00+00:00",
) -> Manifest:
    """Put parts and their manifest into staging, and tell their target."""
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
        window_start=window[0],
        window_end=window[1],
        created_at=created_at,
        parts=tuple(parts),
    )
    name = manifest.file_name
    event = targets.of(manifest).decide(
        Stage(
            content_id=delivery_id,
            folder="deliveries/data",
            name=stem(name),
            now=name.timestamp,
            at=created_at,
            mode=name.mode if isinstance(name, DataFileName) else None,
            removes=removes,
            series=series,
            # Without a window each is of a run of its own.
            subject=json.dumps(
                [series, stem(name), str(getattr(name, "mode", "")), *window]
                if any(window)
                else [series, delivery_id]
            ),
            window_start=window[0],
            window_end=window[1],
            figures={
                "created_at": created_at,
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
    write_manifest(staging, manifest)
    return manifest
