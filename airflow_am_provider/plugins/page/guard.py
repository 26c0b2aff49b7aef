"""What a guard found of a delivery, in the page's words."""

from __future__ import annotations

import re
from typing import Any, Final

from airflow_am_provider.deliveries.standing import REJECTED_BY

_LIMITS: Final = {
    "min_rows_share": "Fewest rows, as a share of the median before",
    "max_rows_share": "Most rows, as a share of the median before",
    "max_removed_share": "Largest share of traits removed",
    "max_set_aside": "Most rows set aside",
}
_FIGURES: Final = {
    "rows_written": "rows written",
    "rows_set_aside": "rows set aside",
    "items_a_line": "items a line",
    "lines_without_items": "lines without items",
}
_REJECTED: Final = re.compile(rf"{REJECTED_BY}(?P<by>.+?): (?P<note>.*)", re.DOTALL)


def guard_of(
    noted: dict[str, Any] | None, reason: str | None, since: str | None
) -> dict[str, Any] | None:
    """What a guard found, and who decided; None where no guard looked.

    :param noted: ``guard.json``, or None.
    :param reason: the delivery's, which tells of a rejection where there is no note.
    :param since: when that was.
    """
    rejected = _REJECTED.fullmatch(reason or "")
    if noted is None and rejected is None:
        return None
    document = noted or {}
    decision = document.get("decision")
    if decision is None and rejected is not None:
        decision = {"by": rejected["by"], "at": since, "approved": False, "note": rejected["note"]}
    return {
        "limits": [
            *(f"{_LIMITS.get(name, name)}: {value}" for name, value in _items(document, "limits")),
            *(f"Over its limit: {one}" for one in document.get("breaches") or ()),
        ],
        "history": [
            {
                "date": one.get("created_at"),
                "figures": {words: one[name] for name, words in _FIGURES.items() if name in one},
            }
            for one in document.get("history") or ()
        ],
        "decision": decision,
    }


def _items(document: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    found = document.get(name)
    return list(found.items()) if isinstance(found, dict) else []
