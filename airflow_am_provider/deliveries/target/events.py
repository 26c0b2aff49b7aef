"""What comes of a command: an event that says what was decided, or a refusal with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.target.state import DeliveryEntry


class Outcome(StrEnum):
    """What was decided."""

    DONE = "done"  # what was asked for
    ALREADY = "already"  # it had been done before: nothing has changed
    SUPERSEDED = "superseded"  # a newer version of the same window takes its place


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What was decided.

    :param outcome: in a word.
    :param entry: the delivery as it is now; None for commands about windows.
    :param superseded: deliveries whose place it takes.
    """

    outcome: Outcome = Outcome.DONE
    entry: DeliveryEntry | None = None
    superseded: tuple[DeliveryEntry, ...] = ()


class RefusedFor(StrEnum):
    """Why a command is refused."""

    UNKNOWN = "unknown"  # there is no such delivery
    ENDED = "ended"  # it was given up
    SUPERSEDED = "superseded"  # another version of the same window took its place
    TOO_OLD = "too_old"  # newer data is in force
    NOT_YET = "not_yet"  # something has to be processed first
    PROCESSED = "processed"  # Audience Manager has processed it
    MEANWHILE = "meanwhile"  # another task was quicker: do it anew
    NO_STATE = "no_state"  # it does not fit how far the delivery came


class Refused(Exception):
    """A command that is not carried out. The state is as it was.

    :param why: what a caller goes by.
    :param sentence: what a person reads.
    :param others: the deliveries that stand in the way.
    """

    def __init__(
        self, why: RefusedFor, sentence: str, others: Sequence[DeliveryEntry] = ()
    ) -> None:
        super().__init__(sentence)
        self.why = why
        self.others = tuple(others)
