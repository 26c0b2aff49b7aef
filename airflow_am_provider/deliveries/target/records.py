"""Single deliveries that are done with, and the versions of a window: found by name, in one read.

The document of a target keeps what is open. Each delivery that is done with has a small document
of its own here, and each subject one with its newest version. Whoever decides next about the target
writes them, before deciding: so they say nothing that was not decided. Each carries the sequence
number of its decision, and a lower one never replaces a higher one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.deliveries.target.document import entry_from_json
from airflow_am_provider.deliveries.window import with_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.deliveries.target.homes import Home
    from airflow_am_provider.deliveries.target.state import DeliveryEntry

_MOST_TRIES = 20


class Versions(NamedTuple):
    """What is known of a subject's versions that are done with.

    :param latest: the newest one.
    :param latest_left: the newest one that may have left.
    """

    latest: DeliveryEntry | None = None
    latest_left: DeliveryEntry | None = None


def record_of(home: Home, key: str, delivery_id: str) -> DeliveryEntry | None:
    """A delivery that was done with, as it was then.

    :param key: the target's documents.
    """
    return _read(home, f"{key}/records/{delivery_id}").latest


def versions_of(home: Home, key: str, subject: str) -> Versions:
    """The newest versions of a subject that were done with."""
    return _read(home, f"{key}/versions/{_hash(subject)}")


def write_down(home: Home, key: str, entry: DeliveryEntry) -> None:
    """Write down a delivery that is done with."""
    _merge(home, f"{key}/records/{entry.delivery_id}", entry, lambda one: (one.decided,))
    _merge(
        home,
        f"{key}/versions/{_hash(entry.subject)}",
        entry,
        lambda one: (one.version, one.decided),
    )


def _merge(
    home: Home,
    name: str,
    entry: DeliveryEntry,
    rank: Callable[[DeliveryEntry], tuple[int, ...]],
) -> None:
    for _ in range(_MOST_TRIES):
        loaded = home.load(name)
        known = Versions() if loaded is None else _parsed(loaded.content, f"{home.url}/{name}")
        latest = _higher(known.latest, entry, rank)
        left = _higher(known.latest_left, entry, rank) if entry.may_have_left else known.latest_left
        if (latest, left) == known:
            return
        content = json.dumps(
            {"latest": with_texts(latest), "latest_left": left and with_texts(left)}
        )
        version = None if loaded is None else loaded.version
        if home.store(name, content.encode(), if_version=version):
            return
    raise TransientError(f"{home.url}/{name}: too many write it at once")


def _higher(
    known: DeliveryEntry | None,
    entry: DeliveryEntry,
    rank: Callable[[DeliveryEntry], tuple[int, ...]],
) -> DeliveryEntry:
    return entry if known is None or rank(entry) > rank(known) else known


def _read(home: Home, name: str) -> Versions:
    loaded = home.load(name)
    return Versions() if loaded is None else _parsed(loaded.content, f"{home.url}/{name}")


def _parsed(content: bytes, where: str) -> Versions:
    try:
        document = json.loads(content)
        left = document["latest_left"]
        return Versions(
            entry_from_json(document["latest"]), None if left is None else entry_from_json(left)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: not the record of a delivery: {error!r}; restore the document"
        ) from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
