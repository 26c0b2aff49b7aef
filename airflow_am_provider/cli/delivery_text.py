"""Deliveries as ``airflow-am deliveries`` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.cli.text import Colour, coloured, counted, number, table
from airflow_am_provider.deliveries.figures import (
    COUNTS,
    TITLES,
    lines_in_words,
    rows_in_words,
    share_in_words,
)
from airflow_am_provider.deliveries.reasons import reasons_in_words
from airflow_am_provider.deliveries.records import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.deliveries.record import DeliveryRecord

_FACTS: Final = ("delivery", "target", "window", "state", "since")
_COLOURS: Final = {
    DeliveryState.RECONCILED: Colour.GOOD,
    DeliveryState.ACKNOWLEDGED: Colour.GOOD,
    DeliveryState.FAILED: Colour.BAD,
    DeliveryState.ABANDONED: Colour.BAD,
}


def deliveries_table(records: Iterable[DeliveryRecord]) -> list[str]:
    """A line for each delivery."""
    figures = list(TITLES.values())
    return table([*_FACTS, *figures], list(map(_row, records)), right=figures)


def _row(record: DeliveryRecord) -> list[str]:
    facts, standing = record.to_json(), record.standing
    return [
        facts["delivery_id"],
        facts["target"],
        f"{_short(facts['window_start'])} to {_short(facts['window_end'])}",
        coloured(standing.name.replace("_", " "), _colour(record)),
        _short(standing.since),
        *(number(facts[name]) for name in COUNTS),
        share_in_words(facts["match_rate"]),
        number(facts["times_sent"]),
    ]


def _colour(record: DeliveryRecord) -> Colour:
    if record.standing.needs_attention:
        return Colour.BAD
    return _COLOURS.get(record.state, Colour.DOUBTFUL)


def delivery_document(record: DeliveryRecord) -> dict[str, Any]:
    """All that is known of one delivery, as plain JSON."""
    manifest, found = record.manifest, record.reconciliation or {}
    return {
        **record.to_json(),
        "files": manifest.lines_by_file,
        "set_aside_by_reason": manifest.set_aside_by_reason,
        "rejects": manifest.rejects,
        "guard": record.guard,
        "upload_failure": record.upload_failure,
        "looking": None if record.notes.looking is None else dict(record.notes.looking),
        "queue": _queue(record),
        **{
            name: found.get(name) or []
            for name in ("signs", "disagreements", "warnings", "problems")
        },
    }


def delivery_lines(record: DeliveryRecord, document: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    yield from deliveries_table([record])
    yield f"how it stands: {document['standing_words']}, since {document['standing_since']}"
    manifest = record.manifest
    lines = sum(document["files"].values())
    yield f"rows: {rows_in_words(document)}; {lines_in_words(manifest.rows_written, lines)}"
    for sentence in reasons_in_words(
        manifest.set_aside_by_reason, record.staging, manifest.rejects
    ):
        yield f"set aside: {sentence}"
    if manifest.rejects:
        yield f"which rows, by their numbers: {record.staging.url}/{manifest.rejects}"
    yield from _people(document["guard"])
    yield from _looking(document["looking"])
    yield from _signs(document["signs"], document["disagreements"])
    for name in ("warnings", "problems"):
        yield from (f"{name.removesuffix('s')}: {sentence}" for sentence in document[name])
    failure = document["upload_failure"]
    if failure is not None:
        yield f"not sent whole: an attempt failed at {failure['at']}: {failure['error']}"
    elif document["reason"]:
        yield f"reason: {document['reason']}"
    for name in ("series", "begun_at", "sent_at", "verdict", "location"):
        if document[name]:
            yield f"{name}: {document[name]}"
    for file_name, count in document["files"].items():
        yield f"file: {_address(record, file_name)}, {counted(count, 'line')}"
    yield from _places(record, document)


def _people(guard: dict[str, Any] | None) -> Iterator[str]:
    """What the guard found, and who let it pass or rejected it."""
    if guard is None:
        return
    yield from (f"guard: over its limit: {breach}" for breach in guard.get("breaches", ()))
    decision = guard.get("decision")
    if decision is not None:
        word = "approved" if decision["approved"] else "rejected"
        by = decision["by"] or "the DAG"
        yield f"guard: {word} by {by} at {decision['at']}: {decision['note']}"


def _looking(note: dict[str, Any] | None) -> Iterator[str]:
    """Where its acknowledgement is looked for; or that nobody looks any more."""
    if note is None:
        return
    if note.get("gave_up_at"):
        why = note.get("error") or "time was up"
        yield f"nobody looks for its acknowledgement since {note['gave_up_at']}: {why}"
        return
    places = "; ".join(map(str, note.get("places") or ()))
    # Not known where each look is a process of its own and the first one failed.
    until = f", until {note['until']}" if note.get("until") else ""
    yield f"waiting for {note.get('for')}{until}: looking in {places}"


def _address(record: DeliveryRecord, file_name: str) -> str:
    """Where a file is at the destination; its name alone where it is not there."""
    try:
        part = None if record.sent is None else record.sent.parts.get(file_name)
    except AudienceManagerError:
        part = None
    return file_name if part is None else part.destination


def _places(record: DeliveryRecord, document: dict[str, Any]) -> Iterator[str]:
    """The queue of its target, in words."""
    queue = document["queue"]
    for entry in queue:
        is_this = entry["delivery_id"] == record.entry.delivery_id
        who = "this delivery" if is_this else f"delivery {entry['delivery_id']}"
        yield (
            f"place {entry['number']} of {len(queue)} in the queue of target "
            f"{record.target.name}: {who}, {entry['state']}, {entry['window']}"
        )


def _signs(signs: Iterable[dict[str, Any]], disagreements: Iterable[str]) -> Iterator[str]:
    for sign in signs:
        said = [
            f"{sign[name]} {name.replace('_', ' ')}"
            for name in ("counted", "processed", "picked_up")
        ]
        figures = [
            f"{number(count)} {TITLES.get(name, name)}" for name, count in sign["figures"].items()
        ]
        yield f"{sign['sign']}: files {', '.join([*said, *figures])}"
    for sentence in disagreements:
        yield f"signs disagree: {sentence}"


def _queue(record: DeliveryRecord) -> list[dict[str, Any]]:
    """The queue of its target: what has its place and is not done with, first come first."""
    return [
        {
            "number": number,
            "delivery_id": entry.delivery_id,
            "sending": 1 if entry.sending is None else entry.sending.number,
            "mode": None if entry.mode is None else str(entry.mode),
            "window": str(entry.window),
            "state": str(entry.state),
            "since": entry.since,
        }
        for number, entry in enumerate(record.target.state().queued(), start=1)
    ]


def _short(moment: str | None) -> str:
    """A moment to the minute; midnight as the day.

    >>> _short("2026-03-01T00:00:00+00:00"), _short("2026-03-01T04:05:06+00:00"), _short(None)
    ('2026-03-01', '2026-03-01 04:05', '…')
    """
    if moment is None:
        return "…"
    day, _, time = moment.partition("T")
    return day if time.startswith("00:00:00") else f"{day} {time[:5]}"
