"""Deleting what in staging is not needed any more: personal data stays no longer than it must.

Deleted are, when they are older than the retention:

- parts and rejects files of deliveries that were acknowledged that long ago;
- files of attempts that became no delivery, and writes that broke off.

Kept are the small files that say what was delivered (manifest, sending, sent, reconciliation), so
that the history and "this was sent already" last, and all of a delivery that is not acknowledged.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.companions import MANIFEST_FILE, RECONCILIATION_FILE
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.formatting.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_am_provider.stores.entry import Entry, Folder

_logger = logging.getLogger(__name__)

_ATTEMPT = re.compile(r"deliveries/[^/]+/attempts/[^/]+/")
_DELIVERY = re.compile(r"deliveries/[^/]+/[^/]+/")
_SENDING = re.compile(r"sending(-[0-9a-f]+)*\.json")
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


def retention_of(place: str, value: object) -> timedelta:
    """How long to keep: a timedelta, or text such as ``P30D``, ``P4W`` or ``30`` (days).

    :param place: the parameter's name, for the message.
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
                f"{place}: {value!r} is no time in days, such as P30D, P4W or 30"
            )
        retention = timedelta(days=int(found[1]) * (7 if found[2] == "W" else 1))
    if retention < _SHORTEST:
        raise ConfigurationError(
            f"{place}: {retention} is less than a day; what is younger may be in use"
        )
    return retention


def clean(
    staging: Folder, retention: timedelta, *, now: datetime, dry_run: bool = False
) -> Cleaned:
    """Delete what is older than the retention and not needed.

    :param staging: the staging location.
    :param retention: how long deliveries are kept after they were acknowledged.
    :param now: the time, in UTC.
    :param dry_run: whether to count only.
    :raises DataError: when a manifest cannot be read; nothing was deleted then.
    """
    before = now - retention
    # In this order: a delivery that was made of an old attempt in between is seen.
    attempts = _by_folder(staging.list("deliveries/"), _ATTEMPT)
    deliveries = [
        _Delivery.read(staging, folder, files)
        for folder, files in _by_folder(staging.list("deliveries/"), _DELIVERY).items()
        if any(file.path == f"{folder}{MANIFEST_FILE}" for file in files)
    ]
    done = [one for one in deliveries if one.is_done_before(before)]
    needed = {path for one in deliveries if not one.is_done_before(before) for path in one.paths}
    of_deliveries = {path for one in deliveries for path in one.paths}
    found: dict[str, int] = {}
    orphans = 0
    gone_with = {path for one in done for path in one.paths} - needed
    for files in attempts.values():
        old = all(file.modified < before for file in files)
        left = [
            file
            for file in files
            if file.path in gone_with
            or (old and file.path not in of_deliveries and not file.path.endswith(MANIFEST_FILE))
        ]
        orphans += any(file.path not in gone_with for file in left)
        found |= {file.path: file.size for file in left}
    unfinished = list(staging.unfinished(before))
    if not dry_run:
        for path in found:
            staging.delete(path)
        for entry in unfinished:
            staging.discard_unfinished(entry)
    return Cleaned(
        deliveries=sum(any(path in found for path in one.paths) for one in done),
        attempts=orphans,
        files=len(found) + len(unfinished),
        bytes=sum(found.values()) + sum(entry.size for entry in unfinished),
        unacknowledged=sum(
            one.acknowledged_at is None and one.staged_at < before for one in deliveries
        ),
        dry_run=dry_run,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delivery:
    """A delivery in staging.

    :param paths: its parts and its rejects file.
    :param staged_at: when its manifest was written.
    :param acknowledged_at: when that was written down, or None.
    :param sending_since: when the last sending that has not ended was begun, or None.
    """

    paths: frozenset[str]
    staged_at: datetime
    acknowledged_at: datetime | None
    sending_since: datetime | None

    def is_done_before(self, time: datetime) -> bool:
        if self.acknowledged_at is None or self.acknowledged_at >= time:
            return False
        # It may be on its way once more; a sending as old as that was given up.
        return self.sending_since is None or self.sending_since < time

    @classmethod
    def read(cls, staging: Folder, folder: str, files: list[Entry]) -> _Delivery:
        by_name = {file.path.removeprefix(folder): file for file in files}
        ended = {f"sending{name.removeprefix('sent')}" for name in by_name}
        open_sendings = [
            file.modified
            for name, file in by_name.items()
            if _SENDING.fullmatch(name) and name not in ended
        ]
        manifest = _manifest(staging, f"{folder}{MANIFEST_FILE}")
        paths = {part.path for part in manifest.parts}
        if manifest.rejects is not None:
            paths.add(manifest.rejects)
        report = by_name.get(RECONCILIATION_FILE)
        return cls(
            paths=frozenset(paths),
            staged_at=by_name[MANIFEST_FILE].modified,
            acknowledged_at=(
                report.modified
                if report is not None and _is_acknowledged(staging, report.path)
                else None
            ),
            sending_since=max(open_sendings, default=None),
        )


def _by_folder(entries: Iterable[Entry], pattern: re.Pattern[str]) -> dict[str, list[Entry]]:
    folders: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        match = pattern.match(entry.path)
        if match is not None:
            folders[match[0]].append(entry)
    return folders


def _manifest(staging: Folder, path: str) -> Manifest:
    try:
        return Manifest.from_json(staging.read_bytes(path) or b"")
    except ConfigurationError as error:
        # Which files it needs is not known.
        raise DataError(f"{staging.url}/{path}: {error}; nothing was deleted") from None


def _is_acknowledged(staging: Folder, path: str) -> bool:
    try:
        return json.loads(staging.read_bytes(path) or b"")["acknowledged"] is True
    except (ValueError, KeyError, TypeError):
        return False
