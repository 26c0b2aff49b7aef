"""How a delivery stands: its state, and what the state alone does not say, in plain words.

A delivery is ``sending`` while its files go, and also when its upload has failed; ``staged`` before
its upload, and also while a person is asked. Notes beside the manifest tell these apart, and only
deliveries that are open have any that count. List, page and command line go by this module. Nothing
is decided by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.layout import (
    GUARD_FILE,
    LOOKING_FILE,
    UPLOAD_FAILURE_FILE,
    numbered,
)
from airflow_am_provider.deliveries.note_file import read_note
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.storage.folder import Folder


class Special(StrEnum):
    """What a state alone does not say."""

    SENDING_FAILED = "sending_failed"
    FILE_IN_DOUBT = "file_in_doubt"
    APPROVAL_WAITING = "approval_waiting"
    STOPPED_BY_GUARD = "stopped_by_guard"
    NO_ANSWER_IN_TIME = "no_answer_in_time"
    LOOKING_FAILED = "looking_failed"
    REJECTED = "rejected"


#: How the reason begins of a delivery that a person rejected; ``NAME: WHY`` follows.
REJECTED_BY: Final = "Rejected by "
#: Stands for all in which nothing goes on before somebody has looked.
NEEDS_ATTENTION: Final = "needs_attention"

WORDS: Final = {
    DeliveryState.STAGED: "Formatted, not sent yet",
    DeliveryState.QUEUED: "Waiting for its turn",
    DeliveryState.SENDING: "Sending has begun and is not finished",
    DeliveryState.SENT: "Sent, not acknowledged yet",
    DeliveryState.PICKED_UP: "Picked up, not acknowledged yet",
    DeliveryState.ASSUMED: "Taken for processed, as the wait is over",
    DeliveryState.ACKNOWLEDGED: "Acknowledged",
    DeliveryState.RECONCILED: "Acknowledged, every line arrived and was counted",
    DeliveryState.FAILED: "Failed",
    DeliveryState.SUPERSEDED: "Not sent, another version took its place",
    DeliveryState.ABANDONED: "Given up",
    Special.SENDING_FAILED: "Sending failed and is not finished",
    Special.FILE_IN_DOUBT: "Sending stopped: a person has to say whose a file there is",
    Special.APPROVAL_WAITING: "Not sent: a person is asked to approve it",
    Special.STOPPED_BY_GUARD: "Not sent: its guard stopped it",
    Special.NO_ANSWER_IN_TIME: "Sent, not acknowledged in the time that was waited",
    Special.LOOKING_FAILED: "Sent, and looking for its acknowledgement failed",
    Special.REJECTED: "Not sent: a person rejected it",
}
_NOT_BEGUN: Final = "Sending failed before it began"
# On S3 a marker proves more than that it was picked up.
_PROCESSED: Final = "Processed, not acknowledged yet"
_READ: Final = {
    DeliveryState.STAGED: (GUARD_FILE, UPLOAD_FAILURE_FILE),
    DeliveryState.QUEUED: (UPLOAD_FAILURE_FILE,),
    DeliveryState.SENDING: (UPLOAD_FAILURE_FILE,),
    DeliveryState.SENT: (LOOKING_FILE,),
    DeliveryState.PICKED_UP: (LOOKING_FILE,),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a delivery stands.

    :param name: its state, or a :class:`Special`.
    :param words: that in a sentence without its full stop.
    :param since: since when, ISO 8601 in UTC.
    :param reason: why, in a sentence; None where there is nothing to say.
    """

    name: str
    words: str
    since: str
    reason: str | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether nothing goes on before somebody has looked."""
        return self.name in list(Special) and self.name != Special.REJECTED


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """What lies beside a delivery's manifest that says more than its state.

    :param guard: what its guard found, while it is not sent.
    :param failure: when and why an attempt to send it failed last.
    :param looking: where its acknowledgement is looked for, since when and until when.
    """

    guard: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    looking: Mapping[str, Any] | None = None


def notes_beside(staging: Folder, entry: DeliveryEntry) -> Notes:
    """Read those that count: one or two small files while it is open, none after that.

    One that is damaged is passed over.

    :param staging: the staging location.
    :param entry: the delivery, as its target knows it.
    :raises AudienceManagerError: when staging does not answer.
    """
    number = 1 if entry.sending is None else entry.sending.number
    found: dict[str, Mapping[str, Any]] = {}
    for name in _READ.get(entry.state, ()):
        file_name = name if name == GUARD_FILE else numbered(name, number)
        document = read_note(staging, f"{entry.location}/{file_name}")
        if document is not None:
            found[name] = document
    return Notes(
        guard=found.get(GUARD_FILE),
        failure=_of_now(found.get(UPLOAD_FAILURE_FILE), entry),
        looking=found.get(LOOKING_FILE),
    )


def standing_of(entry: DeliveryEntry, notes: Notes) -> Standing:
    """How a delivery stands.

    :param entry: the delivery, as its target knows it.
    :param notes: what lies beside it, see :func:`notes_beside`.
    """
    guard, failure, looking = notes.guard or {}, notes.failure, notes.looking or {}
    if failure is not None:
        is_doubt = bool(failure.get("asks"))
        name = Special.FILE_IN_DOUBT if is_doubt else Special.SENDING_FAILED
        words = WORDS[name] if entry.state is DeliveryState.SENDING else _NOT_BEGUN
        return _standing(name, entry, failure.get("at"), failure.get("error"), words)
    if guard.get("breaches") and not guard.get("decision"):
        name = Special.APPROVAL_WAITING if guard.get("is_asked") else Special.STOPPED_BY_GUARD
        why = "; ".join(map(str, guard["breaches"]))
        return _standing(name, entry, guard.get("at"), why)
    if looking.get("gave_up_at"):
        error = looking.get("error")
        name = Special.NO_ANSWER_IN_TIME if error is None else Special.LOOKING_FAILED
        return _standing(name, entry, looking["gave_up_at"], error)
    if entry.state is DeliveryState.ABANDONED and str(entry.reason).startswith(REJECTED_BY):
        return _standing(Special.REJECTED, entry)
    words = WORDS[entry.state]
    # A marker proves less on FTP than on S3.
    is_on_s3 = entry.sending is not None and entry.sending.url.startswith("s3://")
    if entry.state is DeliveryState.PICKED_UP and is_on_s3:
        words = _PROCESSED
    return Standing(name=str(entry.state), words=words, since=entry.since, reason=entry.reason)


def _standing(
    name: Special,
    entry: DeliveryEntry,
    at: object = None,
    why: object = None,
    words: str | None = None,
) -> Standing:
    return Standing(
        name=str(name),
        words=words or WORDS[name],
        since=str(at or entry.since),
        reason=str(why) if why else entry.reason,
    )


def _of_now(note: Mapping[str, Any] | None, entry: DeliveryEntry) -> Mapping[str, Any] | None:
    """A failure of an attempt to send it; one that was before it came to its state is over."""
    if note is None or entry.state is DeliveryState.SENDING:
        return note
    try:
        is_over = datetime.fromisoformat(str(note["at"])) < datetime.fromisoformat(entry.since)
    except (KeyError, TypeError, ValueError):
        return None
    return None if is_over else note
