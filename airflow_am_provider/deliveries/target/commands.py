"""What can be asked of a target. A command carries all that its decision needs but the state.

Times are for people to read: no decision depends on them, save that a new file name takes the time
where it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_am_provider.deliveries.window import NO_WINDOW, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.audience_manager.names import Mode
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, DeliveryState, Refreshed


class OnOlder(StrEnum):
    """What to do with a delivery when newer data of its target was sent already."""

    REFUSE = "refuse"  # fail, with a sentence that names both
    REPLAY = "replay"  # send it; ReplayNewerSensor sends the newer ones again after it
    SEND = "send"  # send it, old data or not


@dataclass(frozen=True, kw_only=True, slots=True)
class NewExtract:
    """The snapshot that a difference leaves.

    :param series: whose it is.
    :param follows: the number of the newest extract that it was compared with; 0 for none.
    :param path: the snapshot's file.
    :param compared: the state's sequence number when it was settled what it is compared with.
    :param counts: what the comparison found.
    :param refreshed: what was said again, the newest last.
    """

    series: str
    follows: int
    path: str
    compared: int
    counts: Mapping[str, int] = field(default_factory=dict)
    refreshed: tuple[Refreshed, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Make a delivery of content that lies in staging, unless it is one already.

    :param content_id: what follows from content, destination and window.
    :param folder: the folder of deliveries of this kind; the delivery's own is made of its ID.
    :param name: file names without timestamp and split number.
    :param now: the time as UNIX seconds: the names' timestamp where nothing has it.
    :param subject: what it is a version of.
    :param latest: the newest version of the subject that is done with, or None.
    :param latest_left: the newest one of them that may have left, or None.
    :param known: the delivery whose ID is ``content_id``, where it is done with, or None.
    :param extract: the snapshot of a difference, or None.

    For the others see :class:`~airflow_am_provider.deliveries.target.state.DeliveryEntry`.
    """

    content_id: str
    folder: str
    name: str
    now: int
    at: str
    mode: Mode | None
    removes: bool
    series: str
    subject: str
    window: Window = NO_WINDOW
    watermark: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    latest: DeliveryEntry | None = None
    latest_left: DeliveryEntry | None = None
    known: DeliveryEntry | None = None
    extract: NewExtract | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Enqueue:
    """Give a staged delivery its place in the queue.

    :param on_older: what to do when newer data was sent already.
    :param closed: the delivery where it is done with, or None.
    """

    delivery_id: str
    at: str
    on_older: OnOlder = OnOlder.REFUSE
    closed: DeliveryEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Begin to send, or go on with what was begun.

    :param url: where to.
    :param day: the day for keys on S3, ``YYYY-MM-DD`` in UTC; that of the first attempt counts.
    :param in_order: whether to wait for what is before it in the queue.
    """

    delivery_id: str
    url: str
    day: str
    at: str
    in_order: bool = True
    closed: DeliveryEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rename:
    """Choose another name, as a stranger's file has this one. Nothing of it may have been sent.

    :param timestamp: the one that is taken; another attempt may have changed it meanwhile.
    """

    delivery_id: str
    timestamp: int
    now: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Complete:
    """All of a sending is there.

    :param sending: its number.
    """

    delivery_id: str
    sending: int
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PickUp:
    """All files of a sending have their ``.processed`` marker."""

    delivery_id: str
    sending: int
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledge:
    """Audience Manager has processed a sending, or is taken to have done so.

    :param sending: its number.
    :param state: ``ACKNOWLEDGED``, ``RECONCILED``, or ``FAILED`` when a limit was broken;
        ``ASSUMED`` when nothing says so and a fixed wait is over. A sign that comes later takes the
        place of that.
    :param reason: which, in a sentence.
    :param figures: counts of the receipt, added to those of the delivery.
    """

    delivery_id: str
    sending: int
    at: str
    state: DeliveryState
    reason: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    closed: DeliveryEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Give a delivery up: it is not sent, or not waited for.

    :param state: ``ABANDONED``, or ``FAILED`` when a guard has stopped it.
    :param reason: why, in a sentence.
    """

    delivery_id: str
    at: str
    state: DeliveryState
    reason: str
    closed: DeliveryEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reopen:
    """Take back that a delivery was given up, before anything of it was sent."""

    delivery_id: str
    at: str
    closed: DeliveryEntry | None = None
    latest_left: DeliveryEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resend:
    """Queue the same bytes under the same names once more.

    :param after: the number of the last sending that whoever asks knew of, 0 for none: what was
        sent since then is what is asked for. None when that is not known.
    :param force: although newer data would not be in force any more.
    :param closed: the delivery where it is done with, or None.
    :param latest_left: the newest version of its subject that may have left and is done with.
    """

    delivery_id: str
    at: str
    after: int | None = None
    force: bool = False
    closed: DeliveryEntry | None = None
    latest_left: DeliveryEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteEmptyWindow:
    """Note that a window had nothing to send.

    :param watermark: the watermark that moves.
    :param end: where it ended, ISO 8601 in UTC.
    """

    watermark: str
    end: str


Command = (
    Stage
    | Enqueue
    | Begin
    | Rename
    | Complete
    | PickUp
    | Acknowledge
    | End
    | Reopen
    | Resend
    | NoteEmptyWindow
)
