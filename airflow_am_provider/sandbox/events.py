"""What a sandbox tells while it works: one line an event, and never a user's ID."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Kind(StrEnum):
    """What happened."""

    STARTED = "started"
    FILE_TAKEN = "file_taken"
    FILE_REJECTED = "file_rejected"
    FILE_IGNORED = "file_ignored"
    FILE_MARKED = "file_marked"
    RECEIPT_MADE = "receipt_made"
    RECEIPT_LOST = "receipt_lost"
    RECEIPT_SENT = "receipt_sent"
    FORGERY_SENT = "forgery_sent"
    TRAITS_EXPIRED = "traits_expired"
    TROUBLE = "trouble"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened.

    :param kind: what.
    :param at: when, in UTC.
    :param subject: the file, the delivery or the place it is about.
    :param reason: why, where there is something to explain.
    :param details: figures and lists, by name.
    """

    kind: Kind
    at: datetime
    subject: str
    reason: str = ""
    details: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        head = f"{self.at:%H:%M:%S} {self.kind.replace('_', ' '):14} {self.subject}"
        said = ", ".join(f"{name} {_plain(value)}" for name, value in self.details.items())
        return " · ".join(part for part in (head, self.reason, said) if part)

    def to_json(self) -> dict[str, object]:
        """The event as plain JSON."""
        return {
            "event": self.kind.value,
            "at": self.at.isoformat(),
            "subject": self.subject,
            "reason": self.reason,
            **self.details,
        }


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name}={count:,}" for name, count in value.items() if count) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
