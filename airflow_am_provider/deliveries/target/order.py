"""Whose order counts, and which of two deliveries has the older data.

Audience Manager looks for files several times a day and promises no order between them
(faq/faq-inbound-data-ingestion.md). Deliveries that only add traits end the same in any order. An
``.overwrite`` replaces all traits of its target, so nothing else of that target may be under way
with it. A ``.sync`` with ``d_unsid`` takes single traits away, so what the same task sent before it
must have been processed; other tasks say other things.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.names import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_am_provider.deliveries.target.state import DeliveryEntry

PAGE: Final = "faq/faq-inbound-data-ingestion.md"


def conflicts(one: DeliveryEntry, other: DeliveryEntry) -> bool:
    """Whether the order of two deliveries counts."""
    if one.delivery_id == other.delivery_id:
        return False
    if Mode.OVERWRITE in (one.mode, other.mode):
        return True
    return one.series == other.series and (one.removes or other.removes)


def is_older(one: DeliveryEntry, other: DeliveryEntry) -> bool:
    """Whether the first one's data is older: where nothing tells, it is not.

    Versions of one subject go by their number, windows by their end, and deliveries without a
    window by the order in which they were staged. Between one with a window and one without,
    nothing tells.
    """
    if one.subject == other.subject:
        return one.version < other.version
    ends = one.window.end, other.window.end
    if ends[0] is not None and ends[1] is not None:
        return ends[0] < ends[1]
    return ends == (None, None) and one.staged < other.staged


def would_undo(late: DeliveryEntry, newer: DeliveryEntry) -> bool:
    """Whether sending the first one now would put older data in force than the second one's.

    An ``.overwrite`` takes away what was added after it was staged, whatever the windows.
    """
    if late.subject == newer.subject:
        return late.version < newer.version
    if not conflicts(late, newer):
        return False
    if late.mode is Mode.OVERWRITE and newer.mode is not Mode.OVERWRITE:
        return late.staged < newer.staged
    return is_older(late, newer)


def comes_too_late(late: DeliveryEntry, newer: DeliveryEntry) -> bool:
    """Whether a delivery that was never sent is too old to follow one that was.

    An ``.overwrite`` holds what was true when it was extracted, so it is held against others of its
    kind alone.
    """
    if late.subject == newer.subject:
        return late.version < newer.version
    if late.mode is Mode.OVERWRITE and newer.mode is not Mode.OVERWRITE:
        return False
    return conflicts(late, newer) and is_older(late, newer)


def landmarks(entries: Iterable[DeliveryEntry]) -> tuple[DeliveryEntry, ...]:
    """The deliveries that may have left and that decide whether any other is too old.

    For each series the newest one and the newest one that removes, and for the target the newest
    ``.overwrite`` and what was staged last; with and without a window. Whoever is older than one
    that is left out here is older than one that is kept.
    """
    left = [entry for entry in entries if entry.may_have_left]
    kept: dict[str, DeliveryEntry] = {}

    def keep_newest(
        group: Iterable[DeliveryEntry], key: Callable[[DeliveryEntry], tuple[object, ...]]
    ) -> None:
        newest = max(group, key=key, default=None)
        if newest is not None:
            kept[newest.delivery_id] = newest

    by_series: dict[str, list[DeliveryEntry]] = {}
    for entry in left:
        by_series.setdefault(entry.series, []).append(entry)
    groups = list(by_series.values())
    groups += [[entry for entry in group if entry.removes] for group in by_series.values()]
    groups.append([entry for entry in left if entry.mode is Mode.OVERWRITE])
    for group in groups:
        keep_newest([entry for entry in group if entry.window.end is not None], _by_window)
        keep_newest([entry for entry in group if entry.window.end is None], _by_staging)
    keep_newest([entry for entry in left if entry.mode is not Mode.OVERWRITE], _by_staging)
    return tuple(sorted(kept.values(), key=_by_staging))


def moment(text: str) -> datetime:
    """A moment of ISO 8601."""
    return datetime.fromisoformat(text)


def _by_window(entry: DeliveryEntry) -> tuple[object, ...]:
    return entry.window.end, entry.staged


def _by_staging(entry: DeliveryEntry) -> tuple[object, ...]:
    return (entry.staged,)
