"""The page's words: states and reasons, as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.state import DeliveryEntry

STATE_WORDS: Final = {
    DeliveryState.STAGED: "Formatted, not sent yet",
    DeliveryState.QUEUED: "Waiting for its turn",
    DeliveryState.SENDING: "Sending has begun and is not finished",
    DeliveryState.SENT: "Sent, not acknowledged yet",
    DeliveryState.PICKED_UP: "Picked up, not acknowledged yet",
    DeliveryState.ASSUMED: "Taken for processed, as the wait is over",
    DeliveryState.ACKNOWLEDGED: "Acknowledged",
    DeliveryState.RECONCILED: "Acknowledged, all lines are accounted for",
    DeliveryState.FAILED: "Failed",
    DeliveryState.SUPERSEDED: "Not sent, another version took its place",
    DeliveryState.ABANDONED: "Given up",
}

#: Of a delivery that waits, with markers which prove more than that it was picked up.
PROCESSED: Final = "Processed, not acknowledged yet"
SENDING_FAILED: Final = "Sending failed and is not finished"


def state_words(entry: DeliveryEntry) -> str:
    """How far a delivery came, by the sign that says most."""
    # A marker proves less on FTP than on S3.
    is_on_s3 = entry.sending is not None and entry.sending.url.startswith("s3://")
    if entry.state is DeliveryState.PICKED_UP and is_on_s3:
        return PROCESSED
    return STATE_WORDS[entry.state]


def reason_words(reason: str) -> str:
    """The rule that rows were set aside for, as a sentence; the code where it is not known.

    >>> reason_words("empty_id")
    'A user ID is never empty, nor made of blanks alone'
    """
    try:
        sentence = RULES[Rule(reason)].sentence
    except (KeyError, ValueError):
        return reason.replace("_", " ")
    return sentence[:1].upper() + sentence[1:]
