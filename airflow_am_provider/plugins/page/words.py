"""Reasons, as a person reads them."""

from __future__ import annotations

from airflow_am_provider.audience_manager.rules import RULES, Rule


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
