"""What has really happened to a target, noted beside its document and never read off it.

The document says what the package believes. The facts say what was staged, begun, sent whole,
processed and given up, in which order. The invariants hold one against the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_am_provider.audience_manager.names import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One sending of a delivery: from when it begins, Audience Manager may see its files.

    :param begun: the moment at which it began.
    :param allowed: whether a user had said that old data may be sent.
    :param in_order: whether it waited for its turn.
    :param whole: when all of it was there, or None.
    :param processed: when Audience Manager was known to have processed it, or None.
    :param well: whether it was processed without a limit gone over.
    :param given_up: whether a person gave it up before that.
    """

    number: int
    begun: int
    allowed: bool = False
    in_order: bool = True
    whole: int | None = None
    processed: int | None = None
    well: bool = False
    given_up: bool = False

    @property
    def is_on_its_way(self) -> bool:
        return self.processed is None and not self.given_up


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A delivery, and all that happened to it.

    :param content: what its rows say, in a word.
    :param staged: the moment at which it was staged first.
    :param said: the moment at which its rows were staged last: of two contents of one subject, the
        one that was said last is what holds at the source.
    :param allowed: whether a user has said that old data may be sent.
    :param ended: whether it was given up, and not taken up again.
    :param words: of a difference, what its file says of each trait: added, removed or nothing.
    :param number: of a difference, its place in the series.
    """

    delivery_id: str
    subject: str
    series: str
    name: str
    mode: Mode | None
    removes: bool
    start: str | None
    end: str | None
    watermark: str | None
    content: str
    staged: int
    said: int
    names: tuple[int, ...]
    allowed: bool = False
    sendings: tuple[Sent, ...] = ()
    ended: bool = False
    words: tuple[bool | None, ...] = ()
    number: int = 0

    @property
    def has_left(self) -> bool:
        return bool(self.sendings)

    @property
    def is_on_its_way(self) -> bool:
        return any(one.is_on_its_way for one in self.sendings)

    @property
    def was_sent_whole(self) -> bool:
        return any(one.whole is not None or one.processed is not None for one in self.sendings)


def conflict(one: Fact, other: Fact) -> bool:
    """Whether the order of two deliveries counts, by the table of docs/operators.md#order."""
    if one.delivery_id == other.delivery_id:
        return False
    if Mode.OVERWRITE in (one.mode, other.mode):
        return True
    return one.series == other.series and (one.removes or other.removes)


def is_older(one: Fact, other: Fact) -> bool:
    """Whether the first one's data is older, by the paragraph under that table.

    Of one subject, what was said last at the source is newest.
    """
    if one.subject == other.subject:
        return one.said < other.said
    if one.end is not None and other.end is not None:
        return one.end < other.end
    return one.end is None and other.end is None and one.staged < other.staged


def must_not_follow(late: Fact, newer: Fact, sending: Sent) -> bool:
    """Whether a sending of the first one must not come after the second one was sent.

    An ``.overwrite`` is held against what was added after it was extracted when it is sent again,
    and otherwise against others of its kind.
    """
    if not conflict(late, newer):
        return False
    if late.mode is Mode.OVERWRITE and newer.mode is not Mode.OVERWRITE:
        return sending.number > 1 and late.staged < newer.staged
    return is_older(late, newer)


def precedes(one: Sent, other: Sent) -> bool:
    """Whether Audience Manager has surely processed one sending before another began."""
    return one.processed is not None and one.processed < other.begun
