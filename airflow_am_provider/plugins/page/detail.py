"""One delivery: the one answer for which staging is read, a handful of small files of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.deliveries.figures import TITLES, match_rate
from airflow_am_provider.deliveries.guard_note import read_guard_note
from airflow_am_provider.deliveries.layout import RECONCILIATION_FILE, numbered
from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.standing import Notes
from airflow_am_provider.deliveries.target.queries import blockers
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.hooks.process_context import connections_of_the_database
from airflow_am_provider.plugins.page.actions import actions, commands
from airflow_am_provider.plugins.page.answers import answer
from airflow_am_provider.plugins.page.guard import guard_of
from airflow_am_provider.plugins.page.ladders import ladders
from airflow_am_provider.plugins.page.places import Place, place_of, sentence_of
from airflow_am_provider.plugins.page.rejects import set_aside_reasons
from airflow_am_provider.plugins.page.rows import row_of
from airflow_am_provider.plugins.page.waiting import waiting

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.plugins.page.places import Problem

    FindPlace = Callable[[str], Place | Problem]

_MOST_FILES: Final = 1000
_MOST_SENDINGS: Final = 5
# What the index calls a figure, and what all of this package does.
_FUNNEL: Final = {
    "rows_read": "rows_read",
    "rows_written": "rows_written",
    "lines": "lines",
    "received": "records_received",
    "stored": "stored_records",
}
_HIDDEN: Final = "What lies in staging cannot be read; whoever may read all DAGs is told why"


def one_delivery(
    row: sqlite3.Row, conn_id: str | None, *, tells_all: bool, find_place: FindPlace = place_of
) -> dict[str, Any]:
    """A delivery with all that is known of it.

    :param row: of the index.
    :param conn_id: a connection that leads to its staging location; None where none does.
    :param tells_all: whether the user may be told what is wrong with connections.
    :param find_place: opens the connection's staging location.
    """
    known = _Files(row, conn_id, find_place)
    with connections_of_the_database():
        known.read()
    problems = known.problems if tells_all else [_HIDDEN] if known.problems else []
    facts, manifest, found = known.facts(), known.manifest, known.reconciliation
    staging = None if known.place is None else known.place.targets.staging
    try:
        reasons = set_aside_reasons(facts["set_aside"], manifest, staging)
    except AudienceManagerError:
        # Rows that were set aside are deleted some time after the acknowledgement.
        reasons = set_aside_reasons(facts["set_aside"], manifest, None)
    if facts["is_outstanding"]:
        facts |= _so_far(found)
    if known.notes.failure is not None:
        facts["reason"] = _why_not_sent(facts, known.notes.failure)
    return {
        **facts,
        "funnel": _funnel(facts),
        "files": list(_files(manifest, known.entry)),
        "signs": ladders(facts, known.entry, found),
        "set_aside_reasons": reasons,
        "guard": guard_of(known.guard, facts["reason"], facts["since"]),
        "waiting": waiting(facts, known.notes, known.before),
        "sendings": list(known.sendings()),
        "problems": [
            *([facts["reason"]] if facts["reason"] else []),
            *_not_finished(facts),
            *_said(found, is_outstanding=facts["is_outstanding"]),
            *problems,
        ],
        "disagreements": [str(one) for one in found.get("disagreements") or ()],
        "actions": list(actions(facts, known.notes, known.guard)),
        "commands": list(commands(facts, conn_id, known.in_doubt())),
    }


class _Files:
    """What lies in staging of a delivery, as far as it can be read."""

    def __init__(self, row: sqlite3.Row, conn_id: str | None, find_place: FindPlace) -> None:
        self._row = row
        self._conn_id = conn_id
        self._find_place = find_place
        self.place: Place | None = None
        self.entry: DeliveryEntry | None = None
        self.manifest: Manifest | None = None
        self.reconciliation: dict[str, Any] = {}
        self.guard: dict[str, Any] | None = None
        self.notes = Notes()
        #: What goes before it in the queue of its target.
        self.before: list[DeliveryEntry] = []
        self.problems: list[str] = []

    def read(self) -> None:
        """Read it; what cannot be read is among the problems."""
        if self._conn_id is None:
            self.problems.append("No connection leads to its staging location any more")
            return
        place = self._find_place(self._conn_id)
        if not isinstance(place, Place):
            self.problems.append(place.sentence)
            return
        try:
            target = place.targets.named(self._row["destination"], self._row["target"])
            state = target.state()
            self.entry = target.find(self._row["delivery_id"], state)
            if self.entry is None:
                self.problems.append("Its target does not know it any more")
                return
            self.place = place
            record = DeliveryRecord(self.entry, target, place.targets.staging)
            self.reconciliation = record.reconciliation or {}
            self.notes = record.notes
            if self.entry.state is DeliveryState.QUEUED:
                self.before = blockers(state, self.entry)
            self.guard = read_guard_note(place.targets.staging, self.entry.location)
            self.manifest = record.manifest
        except Exception as error:  # noqa: BLE001  # of drivers; see sentence_of
            self.problems.append(sentence_of(self._conn_id, error))

    def facts(self) -> dict[str, Any]:
        """The row of the table: as staging says it now, which the index may not know yet."""
        row = dict(self._row)
        if self.entry is not None:
            row |= row_of(
                self.entry,
                space=row["space"],
                destination=row["destination"],
                target=row["target"],
                notes=self.notes,
            )
        return answer(row)

    def in_doubt(self) -> str | None:
        """The file of which a person has to say whose it is."""
        failure = self.notes.failure or {}
        name = str(failure.get("error", "")).partition(":")[0]
        names = [] if self.manifest is None else [one.file_name for one in self.manifest.parts]
        return name if failure.get("asks") and name in names else None

    def sendings(self) -> Iterator[dict[str, Any]]:
        """Each time that it was sent; of long ago the last five."""
        last = None if self.entry is None else self.entry.sending
        if last is None:
            return
        for number in range(max(1, last.number - _MOST_SENDINGS + 1), last.number):
            yield _sending(number, self._sent_at(number))
        is_whole = self.entry is not None and self.entry.times_sent == last.number
        yield _sending(last.number, last.sent_at or last.begun_at, is_whole=is_whole)

    def _sent_at(self, number: int) -> str | None:
        assert self.place is not None
        assert self.entry is not None
        path = f"{self.entry.location}/{numbered(RECONCILIATION_FILE, number)}"
        try:
            content = self.place.targets.staging.read_bytes(path)
            found = json.loads(content or b"{}").get("sent_at")
        except (AttributeError, ValueError, AudienceManagerError):
            return None
        return None if found is None else str(found)


def _sending(number: int, at: str | None, *, is_whole: bool = True) -> dict[str, Any]:
    if not is_whole:
        return {"number": number, "at": at, "why": "Begun, and not finished"}
    why = (
        "Sent for the first time"
        if number == 1
        else "Sent again: a person asked for it, or older data of its target came late"
    )
    return {"number": number, "at": at, "why": why}


def _funnel(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"step": step, "label": TITLES[name], "count": facts[step]}
        for step, name in _FUNNEL.items()
    ]


def _files(manifest: Manifest | None, entry: DeliveryEntry | None) -> Iterator[dict[str, Any]]:
    if manifest is None:
        return
    sending = None if entry is None else entry.sending
    for part in manifest.parts[:_MOST_FILES]:
        address = None
        if sending is not None:
            # S3 keys have the day of the first attempt (inbound-s3-filenames.md).
            day = f"/date={sending.day}" if sending.url.startswith("s3://") else ""
            address = f"{sending.url}{day}/{part.file_name}"
        yield {
            "name": part.file_name,
            "address": address,
            "bytes": part.compressed_bytes,
            "lines": part.lines,
        }


def _said(found: dict[str, Any], *, is_outstanding: bool) -> list[str]:
    """What was found wrong with it; its reason says the problems already.

    While it is waited for, what has come and what is missing.
    """
    names = ("findings", "warnings") if is_outstanding else ("warnings",)
    return [str(one) for name in names for one in found.get(name) or ()]


def _so_far(found: dict[str, Any]) -> dict[str, Any]:
    """Figures of the receipts that came, of a delivery that waits for more of them."""
    counts = found.get("counts") or {}
    received, stored = counts.get("records_received"), counts.get("stored_records")
    return {"received": received, "stored": stored, "match_rate": match_rate(received, stored)}


def _why_not_sent(facts: dict[str, Any], failure: Mapping[str, Any]) -> str:
    """That its sending failed, when, why, and what to do."""
    error = str(failure.get("error")).rstrip(".")
    told = f"Sending failed at {_in_words(failure.get('at'))}: {error}"
    if failure.get("asks"):
        return told  # it says what to do already
    if facts["state"] == DeliveryState.SENDING:
        return (
            f"{told}. Mend what it says, and clear the upload: it goes on where it stopped. Where "
            f"that leads to another destination, clear the task that formatted it, with all that "
            f"is after it"
        )
    return f"{told}. That was before it began: mend what it says, and clear the upload"


def _not_finished(facts: dict[str, Any]) -> Iterator[str]:
    """That it is being sent, as far as anybody knows."""
    if facts["standing"] == DeliveryState.SENDING:
        yield (
            f"Sending began at {_in_words(facts['since'])} and is not finished. If its upload does "
            f"not run any more, clear that task: it goes on where it stopped"
        )


def _in_words(moment: object) -> str:
    """A time as the page has it.

    >>> _in_words("2026-11-28T19:06:18+00:00")
    '28 Nov 2026, 19:06 UTC'
    """
    try:
        at = datetime.fromisoformat(str(moment)).astimezone(UTC)
    except ValueError:
        return "a time that is not noted"
    return f"{at.day} {at:%b %Y, %H:%M} UTC"
