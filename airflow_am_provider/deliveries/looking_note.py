"""Where the acknowledgement of a delivery is looked for, and until when: kept for people.

What a task that waits says in its log it notes beside the manifest as well, when waiting begins,
every hour, and when it gives up. Nothing is decided by this note. The layout is public:
docs/manifest.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.layout import LOOKING_FILE, numbered
from airflow_am_provider.deliveries.note_file import read_note, write_note

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.uploads.result import UploadResult
    from airflow_am_provider.storage.folder import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Looking:
    """What is looked for, and where.

    :param what: that in words.
    :param places: each place with what is looked for there.
    :param since: no message is looked at that is older.
    :param check: what to check meanwhile.
    """

    what: str
    places: tuple[str, ...]
    since: datetime
    check: str

    def __str__(self) -> str:
        return (
            f"{self.what}: looking in {'; '.join(self.places)}. Files are processed twice a day, "
            f"so hours are usual. To check meanwhile: {self.check}"
        )


def note_looking(
    staging: Folder,
    delivery: UploadResult,
    looking: Looking,
    *,
    every_s: float,
    until: datetime | None,
    task: Origin | None,
) -> None:
    """Note that it is looked for, or still is.

    :param staging: the staging location.
    :param delivery: what was sent.
    :param looking: what is looked for.
    :param every_s: seconds between two looks.
    :param until: when the task gives up; None where this process does not know it.
    :param task: which task waits; None where this process does not know it.
    """
    path = _path(delivery)
    before = read_note(staging, path) or {}
    if before.get("gave_up_at"):
        before = {}
    document = {
        "at": _now(),
        "for": looking.what,
        "places": list(looking.places),
        "since": looking.since.isoformat(timespec="seconds"),
        "every_s": every_s,
        "until": before.get("until") if until is None else until.isoformat(timespec="seconds"),
        "check": looking.check,
        "task": before.get("task") if task is None else task.to_json(),
        "gave_up_at": None,
        "error": None,
    }
    write_note(staging, path, document)


def note_gave_up(
    staging: Folder, delivery: UploadResult, *, error: str | None, task: Origin | None
) -> None:
    """Note that nobody looks any more.

    :param error: why looking failed; None where time was up.
    """
    path = _path(delivery)
    document = {**(read_note(staging, path) or {}), "gave_up_at": _now(), "error": error}
    if task is not None:
        document["task"] = task.to_json()
    write_note(staging, path, document)


def _path(delivery: UploadResult) -> str:
    return f"{delivery.location}/{numbered(LOOKING_FILE, delivery.sending)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
