"""What came to pass while a job ran."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


class JobFailedError(Exception):
    """The job did not come to its end, however often it was cleared."""


class TaskFailedError(Exception):
    """A task used up its attempts."""


class GivenUpError(Exception):
    """The user gave up what a run has sent, so that the run is over."""


@dataclass
class Told:
    """What tasks, and the user's commands, were told.

    :param contents: what rows each run read in the end, by its number.
    :param given_up: deliveries that the user gave up.
    :param uploads: contents whose data was sent, by run, in turn; each once where nothing else was
        sent between.
    :param waited: how many receipts were lost while a successor was in the queue.
    :param refused_for: sentences of a store's refusal to keep decisions.
    :param most_asked: the most requests about decisions that one attempt of a step made, but for
        looks at whether it is its turn.
    :param problems: what did not hold on the way.
    """

    attempts: int = 0
    kills: int = 0
    clears: int = 0
    at_once: list[str] = field(default_factory=list)
    contents: dict[int, str] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    happened: Counter[str] = field(default_factory=Counter)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[int, list[str]] = field(default_factory=dict)
    sent_by: dict[str, int] = field(default_factory=dict)
    waited: int = 0
    refused_for: list[str] = field(default_factory=list)
    most_asked: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def uploaded(self, number: int, content: str, sent: dict[str, Any]) -> None:
        """Note that a run's data was sent, as its upload says."""
        self.sent[sent["delivery_id"]] = sent
        self.sent_by[sent["delivery_id"]] = number
        before = self.uploads.setdefault(number, [])
        # Rows that are set aside are in no file.
        lines = {"back": "there"}.get(content, content)
        if not before or before[-1] != lines:
            before.append(lines)

    def gave_up(self, delivery_id: str) -> None:
        """Note that the user gave a delivery up."""
        self.given_up.add(delivery_id)
        self.sent.pop(delivery_id, None)
        self.receipts.pop(delivery_id, None)
