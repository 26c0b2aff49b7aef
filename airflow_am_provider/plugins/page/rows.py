"""A delivery as a row of the index: all that tables and charts need, from its entry alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.audience_manager.file_kinds import DataFileKind, parse_file_kind
from airflow_am_provider.deliveries.standing import Notes, standing_of
from airflow_am_provider.deliveries.target.state import ON_ITS_WAY, PROCESSED_WELL, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.deliveries.target.state import DeliveryEntry

OUTSTANDING: Final = (DeliveryState.STAGED, DeliveryState.QUEUED, *ON_ITS_WAY)
_BACKFILL: Final = "backfill"
_NO_NOTES: Final = Notes()
# The series of differences is named after the folder of their snapshots, and not after a task.
_SNAPSHOTS: Final = "snapshots/"


def row_of(
    entry: DeliveryEntry, *, space: str, destination: str, target: str, notes: Notes = _NO_NOTES
) -> dict[str, Any]:
    """What the index keeps of a delivery.

    :param entry: the delivery, as its target knows it.
    :param space: the staging location and home that it was found in.
    :param destination: where its target's deliveries go, such as ``production/acme``.
    :param target: the target's name.
    :param notes: what lies beside it that says more than its state.
    """
    figures, sending, standing = entry.figures, entry.sending, standing_of(entry, notes)
    created_at = _utc(figures.get("created_at") or entry.since)
    data_source, target_data_source = _data_sources(entry.name, target)
    acknowledged_at = _acknowledged_at(entry)
    origin = _origin(entry)
    searched = (entry.delivery_id, data_source, target_data_source, destination, standing.reason)
    named = (origin["dag_id"], origin["run_id"], origin["task_id"])
    return {
        "space": space,
        "target": target,
        "delivery_id": entry.delivery_id,
        "created_at": created_at,
        "day": (_utc(entry.window.texts[0]) or created_at)[:10],
        "kind": "id_sync" if entry.mode is None else "data",
        **entry.window.to_json(),
        "environment": destination.partition("/")[0],
        "destination": destination,
        "data_source": data_source,
        "target_data_source": target_data_source,
        "mode": None if entry.mode is None else str(entry.mode),
        "state": str(entry.state),
        "standing": standing.name,
        "state_words": standing.words,
        "since": standing.since,
        "is_outstanding": int(entry.state in OUTSTANDING),
        "needs_attention": int(standing.needs_attention),
        "reason": standing.reason,
        "rows_read": figures.get("rows_read"),
        "rows_written": figures.get("rows_written"),
        "rows_set_aside": figures.get("rows_set_aside"),
        "set_aside": _text(figures.get("set_aside_by_reason")),
        "lines": figures.get("lines"),
        "parts": figures.get("files"),
        "bytes": figures.get("bytes"),
        "received": figures.get("records_received"),
        "stored": figures.get("stored_records"),
        "failed": _text(figures.get("failed_records")),
        "limits": _text(_limits(figures)),
        "times_sent": entry.times_sent,
        "hours_to_acknowledgement": _hours(
            None if sending is None else sending.sent_at, acknowledged_at
        ),
        "location": entry.location,
        "series": entry.series,
        **origin,
        # What is looked through for a text, in one piece.
        "words": "\n".join(one for one in (*searched, *named) if one).lower(),
    }


def _limits(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Those of receipts, of rows set aside and of the wait for an acknowledgement."""
    found = {
        "receipts": figures.get("limits"),
        "max_set_aside": figures.get("max_set_aside"),
        "timeout_s": figures.get("timeout_s"),
    }
    return {name: limit for name, limit in found.items() if limit not in (None, {})}


def _data_sources(name: str, target: str) -> tuple[str, str | None]:
    """Whose IDs are in the files, and whose traits are set; of an ID sync its kind of pair."""
    try:
        kind = parse_file_kind(f"{name}.sync")
    except AudienceManagerError:
        return target, None
    if isinstance(kind, DataFileKind):
        return str(kind.dpid), target
    return kind.stem, None


def _origin(entry: DeliveryEntry) -> dict[str, Any]:
    """Which task of which run formatted it; of what earlier versions staged, DAG and task alone."""
    origin = entry.figures.get("origin") or {}
    dag_id, task_id = origin.get("dag_id"), origin.get("task_id")
    if not origin and entry.series.count("/") == 1 and not entry.series.startswith(_SNAPSHOTS):
        dag_id, _, task_id = entry.series.partition("/")
    return {
        "dag_id": dag_id or None,
        "run_id": origin.get("run_id"),
        "task_id": task_id or None,
        "map_index": origin.get("map_index"),
        "is_backfill": int(origin.get("run_type") == _BACKFILL),
    }


def _acknowledged_at(entry: DeliveryEntry) -> str | None:
    is_processed = entry.state in PROCESSED_WELL and entry.state is not DeliveryState.ASSUMED
    is_rejected = entry.state is DeliveryState.FAILED and entry.may_have_left
    return entry.since if is_processed or is_rejected else None


def _hours(begin: str | None, end: str | None) -> float | None:
    if not begin or not end:
        return None
    try:
        passed = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    except (TypeError, ValueError):
        return None
    return round(max(0.0, passed.total_seconds() / 3600), 3)


def _utc(moment: str | None) -> str:
    """One text for one moment, so that texts are in the order of time."""
    if not moment:
        return ""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return ""
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return parsed.astimezone(UTC).isoformat(timespec="seconds")


def _text(counts: object) -> str | None:
    return json.dumps(counts) if counts else None
