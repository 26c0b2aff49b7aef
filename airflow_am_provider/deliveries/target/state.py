"""What is known of one target, as values that never change: a decision makes new ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.window import NO_WINDOW, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_am_provider.audience_manager.names import Mode


class DeliveryState(StrEnum):
    """How far a delivery came."""

    STAGED = "staged"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    PICKED_UP = "picked_up"
    ASSUMED = "assumed"
    ACKNOWLEDGED = "acknowledged"
    RECONCILED = "reconciled"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    ABANDONED = "abandoned"


#: Audience Manager may still be at work on it, or has not seen it yet.
ON_ITS_WAY: Final = (DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.PICKED_UP)
#: Audience Manager has processed it, or is taken to have done so, and no limit was broken.
PROCESSED_WELL: Final = (
    DeliveryState.ASSUMED,
    DeliveryState.ACKNOWLEDGED,
    DeliveryState.RECONCILED,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """One sending of a delivery: the first one, or a repetition of the same bytes.

    :param number: from 1.
    :param url: where to, such as ``s3://bucket/PARTNER``.
    :param day: the day in its keys on S3, ``YYYY-MM-DD`` in UTC.
    :param begun: the target's sequence number when it began.
    :param begun_at: ISO 8601 in UTC, for people.
    :param sent_at: when all of it was there; None before.
    """

    number: int
    url: str
    day: str
    begun: int
    begun_at: str
    sent_at: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryEntry:
    """A delivery as its target knows it.

    :param delivery_id: the delivery.
    :param content_id: what follows from content, destination and window alone; versions with the
        same content share it.
    :param location: its folder, relative to the staging location.
    :param name: its file names without timestamp and split number, such as ``ftp_dpm_478``.
    :param timestamp: the timestamp in its names.
    :param mode: of a data file; None for an ID sync.
    :param removes: whether it may take something away from users.
    :param series: what formats such deliveries again and again, ``DAG/TASK``: their order counts.
    :param subject: what it is a version of: series, mapped task, name, mode and window or run.
    :param version: which version of its subject, from 1.
    :param window: what time the data is about; in JSON ``window_start`` and ``window_end``.
    :param staged: the target's sequence number when it was staged.
    :param state: how far it came.
    :param since: when it came there, ISO 8601 in UTC, for people.
    :param reason: why it failed, was abandoned or superseded, in a sentence.
    :param sending: its last sending; None before the first.
    :param may_have_left: whether a file of it may ever have been seen by Audience Manager.
    :param in_order: whether its acknowledgement is waited for, so that others can follow it.
    :param decided: the target's sequence number when it was done with; 0 while it is open.
    :param watermark: the watermark that moves when it is sent, or None.
    :param figures: counts for people: rows, lines, bytes, records received and stored.
    """

    delivery_id: str
    content_id: str
    location: str
    name: str
    timestamp: int
    mode: Mode | None
    removes: bool
    series: str
    subject: str
    version: int = 1
    window: Window = NO_WINDOW
    staged: int
    state: DeliveryState = DeliveryState.STAGED
    since: str = ""
    reason: str | None = None
    sending: Sending | None = None
    may_have_left: bool = False
    in_order: bool = True
    decided: int = 0
    watermark: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_on_its_way(self) -> bool:
        """Whether Audience Manager may still read it: sending has begun, and nothing ended it."""
        return self.state in ON_ITS_WAY

    @property
    def times_sent(self) -> int:
        """How often all of it was sent; a sending that is not finished does not count."""
        if self.sending is None:
            return 0
        # Acknowledged, it was there, whether or not the worker lived to note it.
        is_read = self.state in PROCESSED_WELL or self.state is DeliveryState.FAILED
        is_whole = self.sending.sent_at is not None or is_read
        return self.sending.number if is_whole else self.sending.number - 1

    @property
    def title(self) -> str:
        """For sentences: kind, window, version and delivery."""
        kind = "ID sync" if self.mode is None else f".{self.mode}"
        window = f"the window {self.window}" if self.window.is_given else "no window"
        version = f", version {self.version}" if self.version > 1 else ""
        again = ""
        if self.sending is not None and self.sending.number > 1:
            again = f", sending {self.sending.number}"
        return f"{kind} of {self.name} for {window}{version} (delivery {self.delivery_id}{again})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refreshed:
    """What an extract said again, since traits expire.

    :param until: all turns up to this day were had, ``YYYY-MM-DD``.
    :param turns: every how many days each trait is said again, by its ID; 0 for never. ``default``
        stands for all that are not named.
    """

    until: str
    turns: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extract:
    """A snapshot of a series: who has which traits once its delivery is processed.

    :param number: its place in the series, from 1.
    :param path: the snapshot's file, relative to the staging location.
    :param delivery_id: the delivery that was made with it.
    :param compared: the target's sequence number when it was settled what it is compared with.
    :param counts: what the comparison found, by name.
    :param refreshed: what was said again, the newest last; those before it are said again by the
        next extract where nothing shows that this one was read. Empty when it is not known.
    """

    number: int
    path: str
    delivery_id: str
    compared: int
    counts: Mapping[str, int] = field(default_factory=dict)
    refreshed: tuple[Refreshed, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotSeries:
    """The extracts of a series that a new one has to be compared with.

    :param acknowledged: the newest one whose delivery is acknowledged, or None.
    :param before: the path of the one that was acknowledged before it: a task that began earlier
        may be reading it.
    :param in_force: each that may be in force as well, oldest first: sent and not acknowledged,
        abandoned after it may have left, or staged and not sent yet.
    :param given_up: since the newest one, each that was given up before anything of it was sent: it
        may be in force again when that is taken back.
    :param open_until: up to this number, what the acknowledged one said has to be said once more:
        a file from before it may be processed late.
    :param last_number: the number that was given last.
    """

    acknowledged: Extract | None = None
    before: str | None = None
    in_force: tuple[Extract, ...] = ()
    given_up: tuple[Extract, ...] = ()
    open_until: int = 0
    last_number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetState:
    """All that decisions about one target need.

    :param sequence: counts what has happened; order is that of these numbers, never a clock's.
    :param names: the last timestamp given, by name without timestamp.
    :param entries: deliveries that are not done with.
    :param queue: those of them that have an entry in the queue, first come first.
    :param landmarks: deliveries that are done with and that decide whether others are too old.
    :param done: what was done with since the last page of history, oldest first.
    :param history: the newest page of history, or None.
    :param history_until: where the last window on its pages ends, ISO 8601 in UTC; empty where none
        has one, None where that is not known.
    :param written_down: up to this sequence number, what was done with has records of its own.
    :param last_overwrite: the sequence number when an ``.overwrite`` began to be sent last.
    :param previous: the last deliveries of a series that were sent whole, newest last.
    :param said_since: by series, the day from which on its ``.sync`` deliveries were sent; or that
        of the last ``.overwrite``, which says everything anew. For a warning alone.
    :param snapshots: by series.
    :param watermarks: up to where a task's rows were delivered, ISO 8601 in UTC.
    """

    sequence: int = 0
    names: Mapping[str, int] = field(default_factory=dict)
    entries: Mapping[str, DeliveryEntry] = field(default_factory=dict)
    queue: tuple[str, ...] = ()
    landmarks: tuple[DeliveryEntry, ...] = ()
    done: tuple[DeliveryEntry, ...] = ()
    history: str | None = None
    history_until: str | None = ""
    written_down: int = 0
    last_overwrite: int = 0
    previous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    said_since: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, SnapshotSeries] = field(default_factory=dict)
    watermarks: Mapping[str, str] = field(default_factory=dict)

    def find(self, delivery_id: str) -> DeliveryEntry | None:
        """A delivery that is not done with, or was done with of late; None for others."""
        entry = self.entries.get(delivery_id)
        if entry is not None:
            return entry
        return next((one for one in reversed(self.done) if one.delivery_id == delivery_id), None)

    def queued(self) -> list[DeliveryEntry]:
        """The queue, first come first."""
        return [self.entries[delivery_id] for delivery_id in self.queue]

    def next_number(self) -> TargetState:
        """The same with the next sequence number taken."""
        return replace(self, sequence=self.sequence + 1)

    def with_entry(self, entry: DeliveryEntry) -> TargetState:
        """The same with a delivery put in or changed."""
        return replace(self, entries={**self.entries, entry.delivery_id: entry})

    def with_series(
        self, name: str, change: Callable[[SnapshotSeries], SnapshotSeries]
    ) -> TargetState:
        """The same with a series of snapshots changed."""
        series = change(self.snapshots.get(name, SnapshotSeries()))
        return replace(self, snapshots={**self.snapshots, name: series})
