"""What became of the deliveries, read from the staging bucket as a user would find it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.figures import COUNTS, TITLES
from demo.world import BUCKETS, STAGING_BUCKET

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.s3 import S3

_COLUMNS: Final = (
    ("first file", 42),
    ("parts", 5),
    *((TITLES[name], max(9, len(TITLES[name]))) for name in COUNTS),
    ("verdict", 12),
)
_TEXTS: Final = ("first file", "verdict")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A manifest and the last word on it.

    :param manifest: the manifest, as JSON.
    :param reconciliation: the reconciliation, as JSON, or None when there is none.
    """

    manifest: dict[str, Any]
    reconciliation: dict[str, Any] | None

    @property
    def is_reconciled(self) -> bool:
        """Whether all that was sent was received, by the receipt."""
        return self.verdict == "reconciled"

    @property
    def is_good(self) -> bool:
        """Whether nothing more is waited for: a marker is enough for an ID sync."""
        return self.is_reconciled or self.verdict == "acknowledged"

    @property
    def verdict(self) -> str:
        """What the receipts say, in one word."""
        found = self.reconciliation or {}
        by_marker = self.manifest["kind"] == "id_sync" and found.get("verdict") == "pending"
        if by_marker and found.get("acknowledged"):
            return "acknowledged"
        return str(found.get("verdict", "no receipt"))


def deliveries(server: S3) -> list[Delivery]:
    """All deliveries in staging, in the order of their making."""
    client = server.client()
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=STAGING_BUCKET):
        for entry in page.get("Contents", ()):
            folder, _, name = entry["Key"].rpartition("/")
            if name == "manifest.json" and "/attempts/" not in folder:
                found.append(
                    Delivery(
                        manifest=_document(client, entry["Key"]) or {},
                        reconciliation=_document(client, f"{folder}/reconciliation.json"),
                    )
                )
    return sorted(found, key=lambda delivery: str(delivery.manifest["created_at"]))


def table(found: list[Delivery]) -> str:
    """A line a delivery."""
    titles = [
        f"{title:<{width}}" if title in _TEXTS else f"{title:>{width}}" for title, width in _COLUMNS
    ]
    lines = ["  ".join(titles), "  ".join("─" * width for _, width in _COLUMNS)]
    lines += ["  ".join(_cells(delivery)) for delivery in found]
    return "\n".join(lines)


def keep(server: S3, directory: Path) -> None:
    """Make folders on disk what the buckets are now: what is new is copied, what is gone deleted.

    The S3 server holds all in memory, and forgets it when it ends.

    :param directory: has a folder for each bucket.
    """
    client = server.client()
    for bucket in BUCKETS:
        here = set()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", ()):
                target = directory / bucket / entry["Key"]
                here.add(target)
                written = entry["LastModified"].timestamp()
                if _is_copied(target, entry["Size"], written):
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(client.exceptions.ClientError):  # gone since it was listed
                    client.download_file(bucket, entry["Key"], str(target))
                    os.utime(target, (written, written))
        for path in (directory / bucket).rglob("*"):
            if path.is_file() and path not in here:
                path.unlink()


def _is_copied(target: Path, size: int, written: float) -> bool:
    if not target.exists():
        return False
    found = target.stat()
    # The server tells whole seconds: what is younger than one may have changed since.
    return found.st_size == size and found.st_mtime == written and time.time() - written > 2.0


def _cells(delivery: Delivery) -> list[str]:
    manifest = delivery.manifest
    counts = (delivery.reconciliation or {}).get("counts") or {}
    values = [
        manifest["parts"][0]["file_name"],
        len(manifest["parts"]),
        manifest["rows_read"],
        manifest["rows_written"],
        manifest["rows_set_aside"],
        sum(part["lines"] for part in manifest["parts"]),
        counts.get("records_received", "?"),
        counts.get("stored_records", "?"),
        delivery.verdict,
    ]
    return [
        f"{value:>{width},}" if isinstance(value, int) else f"{value:<{width}}"
        for value, (_, width) in zip(values, _COLUMNS, strict=True)
    ]


def _document(client: Any, key: str) -> dict[str, Any] | None:
    try:
        body = client.get_object(Bucket=STAGING_BUCKET, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
    document: dict[str, Any] = json.loads(body)
    return document
