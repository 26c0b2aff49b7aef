"""One delivery: the one answer for which staging is read, a handful of small files of it."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.deliveries.figures import TITLES, match_rate
from airflow_am_provider.deliveries.guard_note import read_guard_note
from airflow_am_provider.deliveries.layout import RECONCILIATION_FILE, numbered
from airflow_am_provider.deliveries.records import DeliveryRecord
from airflow_am_provider.deliveries.target.state import PROCESSED_WELL, DeliveryState
from airflow_am_provider.hooks.process_context import connections_of_the_database
from airflow_am_provider.plugins.page.answers import answer, run_url, task_url
from airflow_am_provider.plugins.page.guard import guard_of
from airflow_am_provider.plugins.page.places import Place, place_of, sentence_of
from airflow_am_provider.plugins.page.rejects import set_aside_reasons
from airflow_am_provider.plugins.page.words import SENDING_FAILED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

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
_RUNGS: Final = {"picked_up": "Picked up", "processed": "Processed", "counted": "Counted"}
_SIGNS: Final = {
    "receipts": "Receipts",
    "markers": "Markers at the destination",
    "inbound history": "Adobe's API",
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
    facts, manifest, found = answer(row), known.manifest, known.reconciliation
    staging = None if known.place is None else known.place.targets.staging
    try:
        reasons = set_aside_reasons(facts["set_aside"], manifest, staging)
    except AudienceManagerError:
        # Rows that were set aside are deleted some time after the acknowledgement.
        reasons = set_aside_reasons(facts["set_aside"], manifest, None)
    if facts["is_outstanding"]:
        facts |= _so_far(found)
    if known.failure is not None:
        facts["state_words"] = SENDING_FAILED
    return {
        **facts,
        "funnel": _funnel(facts),
        "files": list(_files(manifest, known.entry)),
        "signs": [_life(facts, known.entry), *_signs(found, facts["parts"])],
        "set_aside_reasons": reasons,
        "guard": guard_of(known.guard, row["reason"], row["since"]),
        "sendings": list(known.sendings()),
        "problems": [
            *([facts["reason"]] if facts["reason"] else []),
            *_not_sent(facts, known.failure),
            *_said(found, is_outstanding=facts["is_outstanding"]),
            *problems,
        ],
        "disagreements": [str(one) for one in found.get("disagreements") or ()],
        "actions": list(_actions(facts, known.guard)),
        "commands": list(_commands(facts, conn_id)),
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
        self.failure: dict[str, Any] | None = None
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
            self.entry = target.find(self._row["delivery_id"])
            if self.entry is None:
                self.problems.append("Its target does not know it any more")
                return
            self.place = place
            record = DeliveryRecord(self.entry, target, place.targets.staging)
            self.reconciliation = record.reconciliation or {}
            self.failure = record.upload_failure
            self.guard = read_guard_note(place.targets.staging, self.entry.location)
            self.manifest = record.manifest
        except Exception as error:  # noqa: BLE001  # of drivers; see sentence_of
            self.problems.append(sentence_of(self._conn_id, error))

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


def _life(facts: dict[str, Any], entry: DeliveryEntry | None) -> dict[str, Any]:
    """The delivery's own way, as this package has noted it."""
    sending = None if entry is None else entry.sending
    state = DeliveryState(facts["state"])
    is_done = state in PROCESSED_WELL or (
        state is DeliveryState.FAILED and bool(entry and entry.may_have_left)
    )
    last = "Taken for processed" if state is DeliveryState.ASSUMED else "Acknowledged"
    rungs = (
        ("Formatted", True, facts["created_at"] or None),
        ("Sending began", sending is not None, sending and sending.begun_at),
        ("Sent whole", bool(sending and sending.sent_at), sending and sending.sent_at),
        (last, is_done, facts["since"] if is_done else None),
    )
    return {
        "name": "This delivery",
        "rungs": [{"rung": rung, "reached": reached, "at": at} for rung, reached, at in rungs],
    }


def _signs(found: dict[str, Any], parts: int | None) -> Iterator[dict[str, Any]]:
    """What receipts, markers and Adobe's API said of the last sending."""
    files = len(found.get("files") or ()) or parts or 0
    ended = [one.get("job_end") for one in found.get("receipts_said") or ()]
    receipt_at = max(filter(None, ended), default=None)
    for sign in found.get("signs") or ():
        name = str(sign["sign"])
        yield {
            "name": _SIGNS.get(name, name.capitalize()),
            "rungs": [
                {
                    "rung": f"{words}: {sign.get(rung, 0):,} of {files:,} "
                    f"{'file' if files == 1 else 'files'}",
                    "reached": bool(files) and sign.get(rung, 0) >= files,
                    "at": receipt_at if name == "receipts" else None,
                }
                for rung, words in _RUNGS.items()
            ],
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


def _not_sent(facts: dict[str, Any], failure: dict[str, Any] | None) -> Iterator[str]:
    """That a sending is not finished, since when, and what to do."""
    if facts["state"] != DeliveryState.SENDING:
        return
    if failure is None:
        yield (
            f"Sending began at {_in_words(facts['since'])} and is not finished. If its upload does "
            f"not run any more, clear that task: it goes on where it stopped"
        )
        return
    yield (
        f"Sending failed at {_in_words(failure.get('at'))}: "
        f"{str(failure.get('error')).rstrip('.')}. Mend what it says, and clear the upload: it "
        f"goes on where it stopped. Where that leads to another destination, clear the task that "
        f"formatted it, with all that is after it"
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


def _actions(facts: dict[str, Any], guard: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Airflow's own pages, where what is to be done is done."""
    task = (guard or {}).get("task") or {}
    is_asked = guard is not None and guard.get("is_asked") and guard.get("breaches")
    if is_asked and not (guard or {}).get("decision") and facts["state"] == DeliveryState.STAGED:
        url = task_url(task.get("dag_id"), task.get("run_id"), task.get("task_id"), -1)
        if url is not None:
            yield {
                "label": "Approve or reject in Airflow",
                "url": f"{url}/required_actions",
                "hint": "The guard waits for a person: nothing is sent before",
            }
    if facts["task_url"] is not None:
        yield {
            "label": "Clear the task in Airflow",
            "url": facts["task_url"],
            "hint": "It formats again; the same rows are the same delivery, and are not sent twice",
        }
    url = run_url(facts["dag_id"], facts["run_id"])
    if url is not None:
        yield {
            "label": "Open the run in Airflow",
            "url": url,
            "hint": "Its upload goes on where it stopped when it is cleared; its receipt sensor "
            "looks again",
        }


def _commands(facts: dict[str, Any], conn_id: str | None) -> Iterator[dict[str, str]]:
    where = f"--conn-id {shlex.quote(conn_id)}" if conn_id else "--conn-id CONNECTION"
    delivery_id, state = facts["delivery_id"], facts["state"]
    base = "airflow-am deliveries"
    yield {"label": "All that is known", "command": f"{base} show {delivery_id} {where}"}
    if facts["times_sent"]:
        yield {
            "label": "Send the same bytes again, as when a receipt is lost",
            "command": f"{base} resend {delivery_id} {where}",
        }
    if facts["is_outstanding"] or state == DeliveryState.FAILED:
        yield {
            "label": "Give it up, so that nothing waits for it",
            "command": f"{base} abandon {delivery_id} --reason 'WHY' {where}",
        }
