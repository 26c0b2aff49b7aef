"""Deleting what in staging is not needed any more: personal data stays no longer than it must.

Deleted are, when they are older than the retention:

- parts and rejects files of deliveries that were acknowledged that long ago;
- files of attempts that became no delivery, and writes that broke off.

Kept are the small files that say what was delivered, so that the record and "this was sent already"
last, and all of a delivery of which the last sending is not acknowledged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.layout import MANIFEST_FILE
from airflow_am_provider.deliveries.records import DELIVERIES, DeliveryRecords

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.record import DeliveryRecord
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.storage.folder import Folder, ListedFile

_ATTEMPT = re.compile(r"deliveries/[^/]+/attempts/[^/]+/")
_ISO_DAYS = re.compile(r"P([0-9]{1,5})([DW])")
# Whatever is younger may belong to a task that is running.
_SHORTEST: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaned:
    """What was deleted, or would be.

    :param deliveries: acknowledged deliveries whose parts were deleted.
    :param attempts: attempts that became no delivery.
    :param files: files of both, and writes that broke off.
    :param bytes: their size.
    :param unacknowledged: deliveries that are older than the retention and stay, since nothing
        says that they arrived.
    :param dry_run: whether nothing was deleted.
    """

    deliveries: int
    attempts: int
    files: int
    bytes: int
    unacknowledged: int
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB, of {self.deliveries:,} "
            f"acknowledged deliveries and {self.attempts:,} attempts that became none "
            f"{'would be' if self.dry_run else 'were'} deleted; {self.unacknowledged:,} deliveries "
            f"of that age are not acknowledged and stay"
        )


def retention_of(parameter: str, value: object) -> timedelta:
    """How long to keep: a timedelta, or text such as ``P30D``, ``P4W`` or ``30`` (days).

    :param parameter: the parameter's name, for the message.
    :raises ConfigurationError: when it is none of them, or less than a day.

    >>> retention_of("retention", "P30D"), retention_of("retention", "7")
    (datetime.timedelta(days=30), datetime.timedelta(days=7))
    """
    if isinstance(value, timedelta):
        retention = value
    else:
        text = str(value).strip()
        found = _ISO_DAYS.fullmatch(text if text.startswith("P") else f"P{text}D")
        if found is None:
            raise ConfigurationError(
                f"{parameter}: {value!r} is no time in days, such as P30D, P4W or 30"
            )
        retention = timedelta(days=int(found[1]) * (7 if found[2] == "W" else 1))
    if retention < _SHORTEST:
        raise ConfigurationError(
            f"{parameter}: {retention} is less than a day; what is younger may be in use"
        )
    return retention


def clean(
    targets: Targets, retention: timedelta, *, now: datetime, dry_run: bool = False
) -> Cleaned:
    """Delete what is older than the retention and not needed.

    :param targets: of the staging location.
    :param retention: how long deliveries are kept after they were acknowledged.
    :param now: the time, in UTC.
    :param dry_run: whether to count only.
    :raises ConfigurationError: when a manifest cannot be read, so that it is not known which files
        it needs; nothing was deleted then.
    :raises DataError: when another record of a delivery cannot be read; nothing was deleted then.
    """
    before, staging = now - retention, targets.staging
    # In this order: a delivery that was made of an old attempt in between is seen.
    attempts = _attempts(staging)
    records = list(DeliveryRecords(targets).all())
    done = [record for record in records if _is_done_before(record, before)]
    needed = {path for record in records if record not in done for path in _paths(record)}
    of_deliveries = {path for record in records for path in _paths(record)}
    gone_with = {path for record in done for path in _paths(record)} - needed
    found: dict[str, int] = {}
    orphans = 0
    for files in attempts.values():
        is_old = all(file.modified < before for file in files)
        left = [
            file
            for file in files
            if file.path in gone_with
            or (is_old and file.path not in of_deliveries and not file.path.endswith(MANIFEST_FILE))
        ]
        orphans += any(file.path not in gone_with for file in left)
        found |= {file.path: file.size for file in left}
    unfinished = list(staging.unfinished(before))
    if not dry_run:
        for path in found:
            staging.delete(path)
        for write in unfinished:
            staging.discard_unfinished(write)
    return Cleaned(
        deliveries=sum(any(path in found for path in _paths(record)) for record in done),
        attempts=orphans,
        files=len(found) + len(unfinished),
        bytes=sum(found.values()) + sum(write.size for write in unfinished),
        unacknowledged=sum(
            not record.is_acknowledged and _is_before(record.manifest.created_at, before)
            for record in records
        ),
        dry_run=dry_run,
    )


def _attempts(staging: Folder) -> dict[str, list[ListedFile]]:
    """The files of each attempt."""
    attempts: defaultdict[str, list[ListedFile]] = defaultdict(list)
    for entry in staging.list(f"{DELIVERIES}/"):
        match = _ATTEMPT.match(entry.path)
        if match is not None:
            attempts[match[0]].append(entry)
    return attempts


def _is_done_before(record: DeliveryRecord, time: datetime) -> bool:
    """Whether the last sending of a delivery was acknowledged before a time."""
    return record.is_acknowledged and _is_before(record.since, time)


def _is_before(moment: str, time: datetime) -> bool:
    """Whether a moment in ISO 8601 is before a time; one that cannot be read is not."""
    try:
        return datetime.fromisoformat(moment) < time
    except (TypeError, ValueError):
        return False


def _paths(record: DeliveryRecord) -> set[str]:
    """Where the parts of a delivery lie, and the files beside them."""
    manifest = record.manifest
    beside = {path for path in (manifest.rejects, manifest.contents) if path is not None}
    return beside | {part.path for part in manifest.parts}
