"""What a target is done with: pages of deliveries, each with a link to the one before it.

A page is written once and never changed. It takes one read to list fifty deliveries, however many
older ones there are.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.deliveries.target.document import entry_from_json
from airflow_am_provider.deliveries.target.order import moment
from airflow_am_provider.deliveries.window import with_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.deliveries.target.homes import Home
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState

PAGE: Final = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of history.

    :param before: the page before, or None.
    :param before_until: see :attr:`TargetState.history_until`, for the pages before.
    :param entries: deliveries in the order in which they were done with.
    """

    before: str | None
    before_until: str | None
    entries: tuple[DeliveryEntry, ...]


def with_page(home: Home, key: str, state: TargetState) -> TargetState:
    """Write what was done with, and has records, to a page of its own when there is enough of it.

    A page that was written by one who then was not the first to decide is never linked to.

    :param key: the target's documents.
    """
    full = [entry for entry in state.done if entry.decided <= state.written_down]
    if len(full) < PAGE:
        return state
    name = f"{key}/history/{state.sequence:010d}-{secrets.token_hex(4)}"
    content = {
        "before": state.history,
        "before_until": state.history_until,
        "entries": [with_texts(entry) for entry in full],
    }
    if not home.store(name, json.dumps(content, indent=1).encode(), if_version=None):
        raise TransientError(f"{home.url}/{name}: there already")
    return replace(
        state,
        history=name,
        history_until=_until(state.history_until, full),
        done=tuple(one for one in state.done if one not in full),
    )


def newest_first(
    home: Home, state: TargetState, *, newer_than: DeliveryEntry | None = None
) -> Iterator[DeliveryEntry]:
    """All deliveries that are done with, newest first, each as it was last; read page by page.

    :param newer_than: read only as far back as anything can have newer data than this one.
    """
    seen = set(state.entries)
    for entry in _all(home, state, newer_than):
        if entry.delivery_id not in seen:
            seen.add(entry.delivery_id)
            yield entry


def _all(home: Home, state: TargetState, late: DeliveryEntry | None) -> Iterator[DeliveryEntry]:
    yield from reversed(state.done)
    name, until = state.history, state.history_until
    decided = state.done[0].decided if state.done else state.sequence + 1
    while name is not None and (late is None or _may_be_newer(late, until, decided)):
        page = read_page(home, name)
        yield from reversed(page.entries)
        name, until, decided = page.before, page.before_until, page.entries[0].decided


def _may_be_newer(late: DeliveryEntry, until: str | None, decided: int) -> bool:
    """Whether anything can be newer than a delivery, of what was done with before some number.

    What was staged after it, such as another version, was done with after it, too. Everything else
    is newer by its window alone.

    :param until: where the last of their windows ends.
    :param decided: the number.
    """
    if until is None or decided > late.staged:
        return True
    if not until or late.window.end is None:
        return False
    return moment(until) > late.window.end


def _until(known: str | None, entries: Iterable[DeliveryEntry]) -> str | None:
    """Where the last window of more deliveries ends."""
    if known is None:
        return None
    ends = [entry.window.end for entry in entries if entry.window.end is not None]
    last = max([*ends, *([moment(known)] if known else [])], default=None)
    return "" if last is None else last.isoformat()


def read_page(home: Home, name: str) -> Page:
    """One page, by the name that a state or the page after it gives.

    :raises DataError: when it is gone or damaged.
    """
    loaded = home.load(name)
    try:
        document = json.loads(b"" if loaded is None else loaded.content)
        return Page(
            before=document["before"],
            before_until=document.get("before_until"),
            entries=tuple(map(entry_from_json, document["entries"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{home.url}/{name}: not a page of history: {error!r}; what was sent before it is not "
            f"known. Restore the document"
        ) from None
