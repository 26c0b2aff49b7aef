"""The page's words: states and reasons, as a person reads them."""

from __future__ import annotations

from typing import Final

from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.deliveries.target.state import DeliveryState

STATE_WORDS: Final = {
    DeliveryState.STAGED: "Formatted, not sent yet",
    DeliveryState.QUEUED: "Waiting for its turn",
    DeliveryState.SENDING: "Being sent",
    DeliveryState.SENT: "Sent, not acknowledged yet",
    DeliveryState.PICKED_UP: "Picked up, not acknowledged yet",
    DeliveryState.ASSUMED: "Taken for processed, as the wait is over",
    DeliveryState.ACKNOWLEDGED: "Acknowledged",
    DeliveryState.RECONCILED: "Acknowledged, all lines are accounted for",
    DeliveryState.FAILED: "Failed",
    DeliveryState.SUPERSEDED: "Not sent, another version took its place",
    DeliveryState.ABANDONED: "Given up",
}


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
