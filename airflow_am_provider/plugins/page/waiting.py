"""What an open delivery waits for: since when, until when, and what to check meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.standing import Special
from airflow_am_provider.deliveries.target.decide import waiting_for
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.formatting.progress import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_am_provider.deliveries.standing import Notes
    from airflow_am_provider.deliveries.target.state import DeliveryEntry

_NOBODY_LOOKS: Final = (
    "No task has noted that it looks for an acknowledgement. Look at the run: a receipt sensor "
    "begins after the upload"
)
_SENT: Final = (DeliveryState.SENT, DeliveryState.PICKED_UP)


def waiting(
    facts: dict[str, Any], notes: Notes, before: Sequence[DeliveryEntry]
) -> dict[str, Any] | None:
    """What it waits for; None where it waits for nothing.

    :param facts: the delivery's row of the table.
    :param notes: what lies beside it that says more than its state.
    :param before: what goes before it in the queue of its target.
    """
    state = facts["state"]
    if state == DeliveryState.QUEUED and notes.failure is None:
        return {"title": "Waiting for its turn", "facts": list(_turn(facts, before))}
    if state not in _SENT:
        return None
    if notes.looking is None:
        return {"title": "Waiting", "facts": [_text("Nobody looks", _NOBODY_LOOKS)]}
    is_over = facts["standing"] in (Special.NO_ANSWER_IN_TIME, Special.LOOKING_FAILED)
    title = "Nobody waits any more" if is_over else "Waiting for Audience Manager"
    return {"title": title, "facts": list(_looking(notes.looking))}


def _turn(facts: dict[str, Any], before: Sequence[DeliveryEntry]) -> Iterator[dict[str, Any]]:
    yield _at("Since", facts["since"])
    for other in before:
        yield _text("Before it", waiting_for(other))
    if not before:
        yield _text(
            "Before it",
            "Nothing in its own queue any more. Its upload waits for what its parameter after "
            "names, or goes on with its next look; if that task does not run, clear it",
        )


def _looking(note: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield _text("For", note.get("for"))
    for place in note.get("places") or ():
        yield _text("Looked for in", place)
    every_s = note.get("every_s")
    if isinstance(every_s, int | float):
        yield _text("Every", duration(every_s))
    yield _at("Until", note.get("until"))
    yield _at("Given up", note.get("gave_up_at"))
    yield _text("Why", note.get("error"))
    yield _at("Last noted", note.get("at"))
    yield _text("To check", note.get("check"))


def _text(label: str, text: object) -> dict[str, Any]:
    return {"label": label, "text": None if text is None else str(text), "at": None}


def _at(label: str, moment: object) -> dict[str, Any]:
    return {"label": label, "text": None, "at": None if moment is None else str(moment)}
