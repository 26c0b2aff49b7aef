"""How far a delivery came: a ladder for its own way, and one for each sign.

A rung that was not reached says why: it may come yet, or nothing waits for it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.target.state import PROCESSED_WELL, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.deliveries.target.state import DeliveryEntry

_RUNGS: Final = {"picked_up": "Picked up", "processed": "Processed", "counted": "Counted"}
_SIGNS: Final = {
    "receipts": "Receipts",
    "markers": "Markers at the destination",
    "inbound history": "Adobe's API",
}
_NOT_YET: Final = "not yet"


def ladders(
    facts: dict[str, Any], entry: DeliveryEntry | None, found: dict[str, Any]
) -> list[dict[str, Any]]:
    """The ladders: the delivery's own first.

    :param facts: its row of the table.
    :param entry: the delivery, as its target knows it; None where that cannot be read.
    :param found: its ``reconciliation.json``, which may be empty.
    """
    return [_life(facts, entry), *_signs(facts, entry, found)]


def _life(facts: dict[str, Any], entry: DeliveryEntry | None) -> dict[str, Any]:
    """The delivery's own way, as this package has noted it."""
    sending = None if entry is None else entry.sending
    state = DeliveryState(facts["state"])
    is_done = state in PROCESSED_WELL or (
        state is DeliveryState.FAILED and bool(entry and entry.may_have_left)
    )
    last = "Taken for processed" if state is DeliveryState.ASSUMED else "Acknowledged"
    began = None if sending is None else sending.begun_at
    sent = None if sending is None else sending.sent_at
    is_sent = bool(sent) or (is_done and sending is not None)
    unreached = _NOT_YET if facts["is_outstanding"] else _life_is_over(state)
    rungs = (
        ("Formatted", True, facts["created_at"] or None),
        ("Sending began", sending is not None, began),
        ("Sent whole", is_sent, sent),
        (last, is_done, facts["since"] if is_done else None),
    )
    return {
        "name": "This delivery",
        "rungs": [_rung(rung, at, reached, unreached) for rung, reached, at in rungs],
    }


def _life_is_over(state: DeliveryState) -> str:
    if state is DeliveryState.SUPERSEDED:
        return "another version took its place"
    if state is DeliveryState.ABANDONED:
        return "it was given up"
    return "it was stopped" if state is DeliveryState.FAILED else "not noted"


def _signs(
    facts: dict[str, Any], entry: DeliveryEntry | None, found: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """What receipts, markers and Adobe's API said of the last sending."""
    files = len(found.get("files") or ()) or facts["parts"] or 0
    ended = [one.get("job_end") for one in found.get("receipts_said") or ()]
    receipt_at = max(filter(None, ended), default=None)
    for sign in found.get("signs") or ():
        name = str(sign["sign"])
        at = receipt_at if name == "receipts" else None
        yield {
            "name": _SIGNS.get(name, name.capitalize()),
            "rungs": [
                _sign_rung(rung, sign.get(rung, 0), files, at, _unreached(name, rung, facts, entry))
                for rung in _RUNGS
            ],
        }


def _sign_rung(rung: str, count: int, files: int, at: str | None, unreached: str) -> dict[str, Any]:
    words = _RUNGS[rung]
    is_reached = bool(files) and count >= files
    if count or is_reached or unreached == _NOT_YET:
        # What never comes is not counted.
        words += f": {count:,} of {files:,} {'file' if files == 1 else 'files'}"
    return _rung(words, at, is_reached, unreached)


def _unreached(name: str, rung: str, facts: dict[str, Any], entry: DeliveryEntry | None) -> str:
    """Why a rung of a sign was not reached, in a few words."""
    if name != "receipts" and rung == "counted":
        return "only a receipt says so"
    sending = None if entry is None else entry.sending
    is_on_s3 = sending is None or sending.url.startswith("s3://")
    if name == "markers" and rung == "processed" and not is_on_s3:
        return "a marker on this host says only that a file was picked up"
    if facts["is_outstanding"]:
        return _NOT_YET
    return {
        DeliveryState.ASSUMED: "nothing came before the wait was over",
        DeliveryState.ABANDONED: "not waited for any more: it was given up",
        DeliveryState.SUPERSEDED: "not waited for any more: another version took its place",
        DeliveryState.FAILED: "not seen; it is over all the same",
    }.get(DeliveryState(facts["state"]), "not seen, and not needed: it is acknowledged")


def _rung(words: str, at: str | None, is_reached: bool, unreached: str) -> dict[str, Any]:
    return {
        "rung": words,
        "reached": is_reached,
        "at": at if is_reached else None,
        "unreached": None if is_reached else unreached,
    }
