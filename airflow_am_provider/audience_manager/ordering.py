"""Which deliveries must not be on their way at the same time, and which come too late.

Audience Manager looks for files several times a day and promises no order between them
(faq/faq-inbound-data-ingestion.md). Deliveries that only add traits end the same in any order. An
``.overwrite`` replaces all traits of its target, so nothing else of that target may be under way
with it. A ``.sync`` with ``d_unsid`` takes single traits away, so what the same task sent before it
must have been processed; other tasks say other things.

>>> from dataclasses import replace
>>> first = Turn(number=1, delivery_id="a", location="deliveries/data/a", mode=Mode.SYNC,
...              removes=False, name="ftp_dpm_478", window_end="2026-03-02T00:00:00+00:00")
>>> second = replace(first, number=2, delivery_id="b", removes=True,
...                  window_end="2026-03-01T00:00:00+00:00")
>>> second.waits_for(first), second.is_older_than(first)
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import DataFileName, IdSyncFileName, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

_PAGE = "faq/faq-inbound-data-ingestion.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A delivery's place in the queue of its target: who has a lower number goes first.

    :param number: from 1; no two deliveries of a target have the same.
    :param delivery_id: the delivery.
    :param location: its folder, relative to the staging location.
    :param sending: 1, or the number of this repetition.
    :param name: its file name without timestamp and split number: data source and target.
    :param mode: of a data file; None for an ID sync.
    :param removes: whether it may take something away from users.
    :param series: what formats such deliveries again and again: ``DAG/TASK``.
    :param window_start: first moment of the data, ISO 8601 in UTC, or None.
    :param window_end: first moment after the data, likewise.
    :param made_at: when it was staged, ISO 8601 in UTC; "" where that is not known.
    :param taken_at: when the place was taken, likewise.
    """

    number: int
    delivery_id: str
    location: str
    sending: int = 1
    name: str
    mode: Mode | None
    removes: bool
    series: str = ""
    window_start: str | None = None
    window_end: str | None = None
    made_at: str = ""
    taken_at: str = ""

    def conflicts_with(self, other: Turn) -> bool:
        """Whether the order of the two counts."""
        if Mode.OVERWRITE in (self.mode, other.mode):
            return True
        return self.series == other.series and (self.removes or other.removes)

    def waits_for(self, other: Turn) -> bool:
        """Whether this one must not be under way before the other has been processed."""
        return other.number < self.number and self.conflicts_with(other)

    @property
    def as_of(self) -> datetime | None:
        """Up to when its data says something: where it has no window, when it was staged."""
        return _moment(self.window_end or self.made_at)

    def is_older_than(self, other: Turn) -> bool:
        """Whether its data ends before the other's.

        Where one has a window and the other has none, nothing tells.
        """
        if (self.window_end is None) != (other.window_end is None):
            return False
        return _is_before(self.as_of, other.as_of)

    def would_undo(self, other: Turn) -> bool:
        """Whether sending this one again would put older data in force than the other's.

        An ``.overwrite`` that was extracted before the other's data came to be takes that away.
        """
        if self.delivery_id == other.delivery_id or not self.conflicts_with(other):
            return False
        if self.mode is Mode.OVERWRITE and other.mode is not Mode.OVERWRITE:
            return _is_before(_moment(self.made_at), other.as_of)
        return self.is_older_than(other)

    def is_same_window_as(self, other: Turn) -> bool:
        """Whether both say the same kind of thing about the same stretch of time."""
        window = (self.name, self.mode, self.window_start, self.window_end)
        return self.window_end is not None and window == (
            other.name,
            other.mode,
            other.window_start,
            other.window_end,
        )

    @property
    def title(self) -> str:
        """For sentences: kind, window and delivery."""
        kind = "ID sync" if self.mode is None else f".{self.mode}"
        window = f"the window {self.window_start or '…'} to {self.window_end or '…'}"
        if self.window_start is None and self.window_end is None:
            window = f"no window, staged at {self.made_at or '…'}"
        again = "" if self.sending == 1 else f", sent again ({self.sending})"
        return f"{kind} of {self.name} for {window} (delivery {self.delivery_id}{again})"


def target_of(name: DataFileName | IdSyncFileName) -> str:
    """What deliveries are queued for: the data source whose traits are set, or the ID pairs.

    >>> from airflow_am_provider.audience_manager.names import parse_file_name
    >>> target_of(parse_file_name("ftp_dpm_478_567_1366545717.sync"))
    '567'
    >>> target_of(parse_file_name("adobe_id_0_12345_1476312152.sync"))
    'adobe_id_0_12345'
    """
    if isinstance(name, DataFileName):
        return str(name.dpid if name.target_dpid is None else name.target_dpid)
    return stem(name)


def stem(name: DataFileName | IdSyncFileName) -> str:
    """A name without its timestamp and what follows.

    >>> stem(DataFileName(dpid=478, timestamp=1366545717))
    'ftp_dpm_478'
    """
    return str(name).partition(f"_{name.timestamp}")[0]


def overtaking(turn: Turn, others: Iterable[Turn]) -> list[Turn]:
    """Deliveries of newer data that are there already, oldest first, and whose order counts.

    :param turn: the one that comes late.
    :param others: the queue; of a delivery that was sent again, its last turn counts.
    """
    return _last_of_each(
        other
        for other in others
        if other.delivery_id != turn.delivery_id
        and turn.is_older_than(other)
        and turn.conflicts_with(other)
    )


def undone(turn: Turn, others: Iterable[Turn]) -> list[Turn]:
    """Deliveries whose newer data would not be in force any more if this one was sent again.

    :param turn: what is to be sent again.
    :param others: the queue, likewise; the oldest data comes first.
    """
    return _last_of_each(other for other in others if turn.would_undo(other))


def is_refused(turn: Turn, newer: Turn) -> bool:
    """Whether sending the one after the other would put old data in force.

    An ``.overwrite`` holds what was true when it was extracted, so it is held against others of its
    kind alone.
    """
    return turn.mode is not Mode.OVERWRITE or newer.mode is Mode.OVERWRITE


def refusal(turn: Turn, newer: Turn) -> str:
    """The sentence that names both."""
    return (
        f"{turn.title} is older than what was sent for the same target: {newer.title}. It would "
        f"put old data in force, as Audience Manager goes by what it reads last ({_PAGE})"
    )


def _last_of_each(turns: Iterable[Turn]) -> list[Turn]:
    """Of each delivery the last turn, the oldest data first."""
    last = {turn.delivery_id: turn for turn in turns}
    return sorted(last.values(), key=lambda turn: (turn.as_of, turn.number))


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _is_before(moment: datetime | None, other: datetime | None) -> bool:
    """Whether one is before the other; nothing tells where one is not known."""
    return moment is not None and other is not None and moment < other


def superseded(turn: Turn, others: Iterable[Turn]) -> list[Turn]:
    """Earlier deliveries of the same kind for the same window, with other content."""
    return [
        other
        for other in others
        if other.number < turn.number
        and other.delivery_id != turn.delivery_id
        and turn.is_same_window_as(other)
    ]
