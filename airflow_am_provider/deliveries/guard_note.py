"""What a guard found, and who decided: kept beside the manifest, for people.

Nothing is decided by this note. The layout is public: docs/manifest.md.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.guard_limits import counts
from airflow_am_provider.deliveries.layout import GUARD_FILE
from airflow_am_provider.deliveries.note_file import read_note, write_note

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.guard import GuardReport
    from airflow_am_provider.deliveries.guard_limits import GuardLimits
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.storage.folder import Folder

_VERSION: Final = 1


def note_report(
    staging: Folder,
    report: GuardReport,
    limits: GuardLimits,
    *,
    origin: Origin | None,
    is_asked: bool,
) -> None:
    """Note what a guard found; a decision about an earlier report is no decision about this one.

    :param staging: the staging location.
    :param report: what was found.
    :param limits: by which limits.
    :param origin: the guard's task.
    :param is_asked: whether a person is asked.
    """
    manifest = report.manifest
    document = {
        "version": _VERSION,
        "at": _now(),
        "limits": {name: value for name, value in asdict(limits).items() if value is not None},
        "breaches": list(report.breaches),
        "history": [
            {"delivery_id": one.delivery_id, "created_at": one.created_at, **counts(one)}
            for one in (manifest, *report.earlier)
        ],
        "task": None if origin is None else origin.to_json(),
        "is_asked": is_asked,
        "decision": None,
    }
    write_note(staging, _path(manifest.location), document)


def note_decision(
    staging: Folder, manifest: Manifest, *, by: str | None, approved: bool, note: str
) -> None:
    """Note who let a delivery pass or not, and why.

    :param by: the user's name; None for nobody.
    :param note: what they gave for a reason.
    """
    document = read_guard_note(staging, manifest.location) or {"version": _VERSION}
    document["decision"] = {"by": by, "at": _now(), "approved": approved, "note": note}
    write_note(staging, _path(manifest.location), document)


def read_guard_note(staging: Folder, location: str) -> dict[str, Any] | None:
    """What was noted of a delivery; None where no guard looked, or the note cannot be read."""
    return read_note(staging, _path(location))


def _path(location: str) -> str:
    return f"{location}/{GUARD_FILE}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
