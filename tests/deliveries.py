"""Staged deliveries for tests, without the engine that formats them."""

import hashlib
import json
import random
from collections.abc import Mapping

from airflow_am_provider.formatting.manifest import Manifest, Part
from airflow_am_provider.stores import Folder

NAMES = ("ftp_dpm_478_1366545717.sync.1.gz", "ftp_dpm_478_1366545717.sync.2.gz")


def content_of(name: str, size: int = 200_000) -> bytes:
    """Bytes that differ for each name and do not compress."""
    return random.Random(name).randbytes(size)


def stage(
    staging: Folder,
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
    """Put parts and their manifest into staging."""
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
    staging.write_bytes(f"{location}/manifest.json", json.dumps(manifest.to_json()).encode())
    return manifest
