"""What a target is done with: pages of deliveries, each with a link to the one before it.

A page is written once and never changed. It takes one read to list fifty deliveries, however many
there are behind them.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.deliveries.target.document import entry_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.deliveries.target.homes import Home
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState

PAGE: Final = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of history.

    :param before: the page before, or None.
    :param entries: deliveries in the order in which they were done with.
    """

    before: str | None
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
        "entries": [asdict(entry) for entry in full],
    }
    if not home.store(name, json.dumps(content, indent=1).encode(), if_version=None):
        raise TransientError(f"{home.url}/{name}: there already")
    return replace(state, history=name, done=tuple(one for one in state.done if one not in full))


def newest_first(home: Home, state: TargetState) -> Iterator[DeliveryEntry]:
    """All deliveries that are done with, newest first, each as it was last; read page by page."""
    seen = set(state.entries)
    for entry in _all(home, state):
        if entry.delivery_id not in seen:
            seen.add(entry.delivery_id)
            yield entry


def _all(home: Home, state: TargetState) -> Iterator[DeliveryEntry]:
    yield from reversed(state.done)
    name = state.history
    while name is not None:
        page = _read(home, name)
        yield from reversed(page.entries)
        name = page.before


def _read(home: Home, name: str) -> Page:
    loaded = home.load(name)
    try:
        document = json.loads(b"" if loaded is None else loaded.content)
        return Page(
            before=document["before"],
            entries=tuple(map(entry_from_json, document["entries"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{home.url}/{name}: not a page of history: {error!r}; what was sent before it is not "
            f"known. Restore the document"
        ) from None
