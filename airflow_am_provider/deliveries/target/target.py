"""A target and the loop that decides: read, decide, write back if nothing has changed."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.deliveries.target.agreement import Agreement
from airflow_am_provider.deliveries.target.decide import decide
from airflow_am_provider.deliveries.target.document import from_text, to_text, whose
from airflow_am_provider.deliveries.target.history import newest_first, with_page
from airflow_am_provider.deliveries.target.homes.probe import prove_conditions
from airflow_am_provider.deliveries.target.order import moment
from airflow_am_provider.deliveries.target.records import (
    Versions,
    record_of,
    versions_of,
    write_down,
)
from airflow_am_provider.deliveries.target.state import TargetState
from airflow_am_provider.deliveries.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_am_provider.deliveries.target.commands import Command
    from airflow_am_provider.deliveries.target.events import Event
    from airflow_am_provider.deliveries.target.homes import Home
    from airflow_am_provider.deliveries.target.state import DeliveryEntry

TARGETS: Final = "targets"
_DETAILS: Final = "target-details"
_MOST_TRIES: Final = 60
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 1.0


class Target:
    """One target, wherever its document lies.

    :param home: where it lies.
    :param destination: where deliveries go, such as ``production/acme``.
    :param name: whose traits are set, or the ID pairs: see
        :func:`~airflow_am_provider.deliveries.target.names.target_of`.

    Example::

        target = Target(home, "production/acme", "478")
        target.decide(Enqueue(delivery_id="0a1b…", at="2026-11-28T06:00:00+00:00"))
    """

    def __init__(self, home: Home, destination: str, name: str) -> None:
        self.home = home
        self.destination = destination
        self.name = name
        self._key, self._details = target_keys(destination, name)

    def state(self) -> TargetState:
        """What is known of it now: one read.

        :raises DataError: when its document is damaged.
        """
        return self._load()[0]

    def decide(self, command: Command | Callable[[TargetState], Command]) -> Event:
        """Decide, as one step whoever else is at it.

        :param command: what is asked for; or what makes it of the state, where more has to be
            looked up.
        :return: what was decided.
        :raises Refused: when it is not done.
        :raises ConfigurationError: when the home keeps no conditions.
        :raises TransientError: when the home does not answer.
        """
        pause = _FIRST_PAUSE_S
        for _ in range(_MOST_TRIES):
            state, version = self._load()
            if version is None:
                prove_conditions(self.home)
            asked = command(state) if callable(command) else command
            decided, event = decide(state, asked)
            if decided is state:
                return event
            self._write_down(state)
            decided = replace(decided, written_down=state.sequence)
            decided = with_page(self.home, self._details, decided)
            if self.home.store(self._key, self._text(decided), if_version=version):
                return event
            # Others are at it: each has to come through once in a while.
            time.sleep(pause * random.random())  # noqa: S311  # a pause, not a secret
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise TransientError(
            f"{self.home.url}/{self._key}: too many tasks decide about this target at once"
        )

    def find(self, delivery_id: str, state: TargetState | None = None) -> DeliveryEntry | None:
        """A delivery, open or done with; None when the target has never had it."""
        state = self.state() if state is None else state
        return state.find(delivery_id) or record_of(self.home, self._details, delivery_id)

    def closed(self, delivery_id: str, state: TargetState) -> DeliveryEntry | None:
        """A delivery that is done with, where the state does not have it: for a command."""
        if state.find(delivery_id) is not None:
            return None
        return record_of(self.home, self._details, delivery_id)

    def versions(self, subject: str) -> Versions:
        """The newest versions of a subject that are done with."""
        return versions_of(self.home, self._details, subject)

    def agreement(self, delivery_id: str, sending: int, file_name: str) -> Agreement:
        """What the attempts of a sending go by when they send a part.

        :param sending: the sending's number.
        """
        key = f"{self._details}/sendings/{delivery_id}-{sending}/{file_name}"
        return Agreement(home=self.home, key=key)

    def deliveries(self, *, newer_than: DeliveryEntry | None = None) -> Iterator[DeliveryEntry]:
        """All of them, newest first: those that are open, then page by page what is done with.

        :param newer_than: leave out pages on which nothing can have newer data than this one.
        """
        state = self.state()
        yield from sorted(state.entries.values(), key=lambda one: -one.staged)
        yield from newest_first(self.home, state, newer_than=newer_than)

    def claim_window(self, watermark: str, run: str, *, start: str, end: str) -> Window | None:
        """Settle which window a run has, for all its tries and mapped tasks.

        :param watermark: the watermark.
        :param run: the run.
        :param start: where it begins when nothing was delivered yet, ISO 8601 in UTC.
        :param end: where it ends.
        :return: the window; another one where a task of the run was quicker. None when all up to
            ``end`` was delivered already.
        """
        name = self._claim(watermark, run)
        known = self.claimed_window(watermark, run)
        if known is not None:
            return known
        begin = self.state().watermarks.get(watermark, start)
        if moment(begin) >= moment(end):
            return None
        window = Window.parse(begin, end)
        document = {"run": run, **window.to_json()}
        if self.home.store(name, json.dumps(document, indent=1).encode(), if_version=None):
            return window
        return self.claimed_window(watermark, run)

    def claimed_window(self, watermark: str, run: str) -> Window | None:
        """The window that a run claimed before, or None."""
        name = self._claim(watermark, run)
        loaded = self.home.load(name)
        if loaded is None:
            return None
        try:
            document = json.loads(loaded.content)
            return Window.parse(document["window_start"], document["window_end"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.home.url}/{name}: not a run's window: {error!r}; which one it was is not "
                f"known, so nothing is read. Restore the document, or set window_start and "
                f"window_end"
            ) from None

    def _claim(self, watermark: str, run: str) -> str:
        digest = hashlib.sha256(json.dumps([watermark, run]).encode()).hexdigest()[:20]
        return f"{self._details}/windows/{digest}"

    def _load(self) -> tuple[TargetState, str | None]:
        loaded = self.home.load(self._key)
        if loaded is None:
            return TargetState(), None
        return from_text(loaded.content, f"{self.home.url}/{self._key}"), loaded.version

    def _text(self, state: TargetState) -> bytes:
        return to_text(state, self.destination, self.name)

    def _write_down(self, state: TargetState) -> None:
        """Write down what was done with since somebody decided last."""
        for entry in state.done:
            if entry.decided > state.written_down:
                write_down(self.home, self._details, entry)


def all_targets(home: Home) -> Iterator[Target]:
    """All targets that a home has documents of."""
    for key in home.keys(f"{TARGETS}/"):
        loaded = home.load(key)
        if loaded is not None:
            yield Target(home, *whose(loaded.content, f"{home.url}/{key}"))


def target_keys(destination: str, name: str) -> tuple[str, str]:
    """Where a target's document lies, and what its other documents' names begin with."""
    folder = _folder_name(destination)
    return f"{TARGETS}/{folder}/{name}", f"{_DETAILS}/{folder}/{name}"


def _folder_name(destination: str) -> str:
    """A folder's name for a destination, which may be a URL; two never share one."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", destination).strip("-")[:60]
    return f"{words}-{hashlib.sha256(destination.encode()).hexdigest()[:8]}"
