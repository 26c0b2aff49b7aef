"""How tasks wait for something outside: one policy for triggers, sensors, uploads and the notifier.

A look that fails with a ``TransientError`` is made again for as long as there is time, after longer
and longer pauses, and each failure is a warning in the log. Any other error ends the waiting at
once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from airflow_am_provider.airflow_compat import conf
from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.formatting.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

#: Seconds between two looks; ``receipt_poke_interval_s`` in section ``[audience_manager]`` of
#: Airflow's configuration. Files are processed twice a day
#: (reference/reporting-file-transfer-timeframe.md).
POKE_INTERVAL_S: Final = conf.getfloat(
    "audience_manager", "receipt_poke_interval_s", fallback=300.0
)
#: Seconds between two times that a log says what is waited for.
REMIND_EVERY_S: Final = 3600.0
#: The longest pause after failures, in seconds, unless the interval itself is longer.
LONGEST_PAUSE_S: Final = 900.0
#: How much longer Airflow waits for a trigger, which keeps the deadline itself: this is for a
#: triggerer that is not there.
GRACE: Final = timedelta(minutes=10)

# After an outage not all tasks that wait ask at once.
_JITTER: Final = 0.25
_MOST_DOUBLINGS: Final = 30

_Found = TypeVar("_Found")


class Seen(NamedTuple):
    """What one look has shown.

    :param known: in a sentence, for the log.
    :param is_over: whether there is nothing to wait for any more.
    :param result: what whoever waits gets then.
    :param waited_for: what is waited for, where it is looked for, and what to check meanwhile: a
        few sentences that are said when waiting begins, and again every hour.
    :param note: called whenever that is said, with the seconds between two looks and with when to
        give up, where that is known: it keeps for others what the log says.
    """

    known: str
    is_over: bool
    result: Any = None
    waited_for: object = ""
    note: Callable[[float, datetime | None], None] | None = None


class Waiting:
    """One wait: when to look, what is known, and how many looks in a row have failed.

    After ``n`` failures in a row the pause is the interval times ``2 ** (n - 1)``, at most a
    quarter of an hour, and up to a quarter longer by chance.

    :param interval_s: seconds between two looks.
    :param deadline: when to give up; None when somebody else sees to that.
    :param looks: how many looks there were before, by other processes.
    :param failures: how many of them failed in a row, up to now.
    :param is_told: whether it was said just now what is waited for, as by a task that is deferred.

    Example::

        waiting = Waiting(300, deadline=datetime.now(UTC) + timedelta(days=2))
        seen = waiting.until_over(look)
        if seen is None:
            raise AirflowSensorTimeout(f"What is known: {waiting.told()}")
    """

    def __init__(
        self,
        interval_s: float,
        *,
        deadline: datetime | None = None,
        looks: int = 0,
        failures: int = 0,
        is_told: bool = False,
    ) -> None:
        self.failures = failures
        self._interval_s = interval_s
        self._deadline = self._until = deadline
        self._looks = looks
        self._known = ""
        self._last_error = ""
        self._reminded: float | None = time.monotonic() if is_told else None
        self._next = time.monotonic() + (self._pause_s() if failures else 0.0)

    def look(self, look: Callable[[], Seen]) -> Seen | None:
        """Look once; None when it failed and may go better next time.

        :param look: looks.
        :raises Exception: whatever it raises that is no ``TransientError``.
        """
        self._looks += 1
        try:
            seen = look()
        except TransientError as error:
            self.failures += 1
            self._last_error = str(error)
            in_a_row = f", the last {self.failures} in a row" if self.failures > 1 else ""
            pause_s = self._pause_s()
            self._next = time.monotonic() + pause_s
            _logger.warning(
                "Look %d failed%s, and is made again: %s (that repairs itself; next look in %s)",
                self._looks,
                in_a_row,
                error,
                duration(pause_s),
            )
            return None
        if self.failures:
            _logger.info("Look %d went well, after %d had failed", self._looks, self.failures)
        self.failures = 0
        self.tell(seen.known)
        if not seen.is_over:
            self._remind(seen)
        self._next = time.monotonic() + self._pause_s()
        return seen

    def until_over(self, look: Callable[[], Seen]) -> Seen | None:
        """Look, sleep, look again; None when time is up.

        :param look: looks.
        :raises Exception: whatever it raises that is no ``TransientError``.
        """
        while True:
            seen = self.look(look)
            if seen is not None and seen.is_over:
                return seen
            pause_s = self.pause_s()
            if pause_s is None:
                return None
            time.sleep(pause_s)

    async def until_over_in_thread(self, look: Callable[[], Seen]) -> Seen | None:
        """:meth:`until_over` for the triggerer: it looks in a thread and sleeps in none."""
        if self.failures:
            await asyncio.sleep(self.pause_s() or 0.0)
        while True:
            seen = await in_thread(self.look, look)
            if seen is not None and seen.is_over:
                return seen
            pause_s = self.pause_s()
            if pause_s is None:
                return None
            await asyncio.sleep(pause_s)

    def ends_at(self, deadline: datetime) -> None:
        """Say until when is looked, where somebody else sees to that."""
        self._until = deadline

    def is_due(self) -> bool:
        """Whether the pause after a failure is over, for those whose sleep is Airflow's."""
        return not self.failures or time.monotonic() >= self._next

    def pause_s(self) -> float | None:
        """Seconds until the next look; None when time is up."""
        pause_s = max(0.0, self._next - time.monotonic())
        if self._deadline is None:
            return pause_s
        left_s = (self._deadline - datetime.now(UTC)).total_seconds()
        return None if left_s <= 0 else min(pause_s, left_s)

    def tell(self, known: str) -> None:
        """Say in the log what is known, unless it was said already."""
        if known != self._known:
            self._known = known
            _logger.info("%s", known)

    def told(self, known: str = "") -> str:
        """What is known when time is up: what the last good look has shown, and what failed.

        :param known: what that look has shown, in other words than the log's.
        """
        known = known or self._known or "no look succeeded"
        if not self._last_error or not self.failures:
            return known
        count = "look" if self.failures == 1 else f"{self.failures} looks in a row"
        return f"{known}; the last {count} failed, at last: {self._last_error}"

    def _remind(self, seen: Seen) -> None:
        """Say what is waited for, when that begins and every hour."""
        waited_for = str(seen.waited_for)
        if not waited_for or self._is_reminded():
            return
        until = "" if self._until is None else f", until {self._until:%Y-%m-%d %H:%M} UTC"
        is_first = self._reminded is None and self._looks <= 1
        still = "Waiting" if is_first else "Still waiting"
        self._reminded = time.monotonic()
        _logger.info(
            "%s for %s. It is looked for every %s%s",
            still,
            waited_for.rstrip("."),
            duration(self._interval_s),
            until,
        )
        if seen.note is not None:
            seen.note(self._interval_s, self._until)

    def _is_reminded(self) -> bool:
        if self._reminded is not None:
            return time.monotonic() - self._reminded < REMIND_EVERY_S
        # Where each look is a process of its own, their number tells how long it has been.
        of_an_hour = max(1, round(REMIND_EVERY_S / max(self._interval_s, 1.0)))
        return self._looks > 1 and (self._looks - 1) % of_an_hour != 0

    def _pause_s(self) -> float:
        if not self.failures:
            return self._interval_s
        doubled = self._interval_s * 2.0 ** min(self.failures - 1, _MOST_DOUBLINGS)
        pause_s = min(doubled, max(LONGEST_PAUSE_S, self._interval_s))
        return pause_s * random.uniform(1, 1 + _JITTER)  # noqa: S311  # a pause, not a secret


async def in_thread(function: Callable[..., _Found], *arguments: Any) -> _Found:
    """Call something that blocks, so that the triggerer can go on with others.

    :param function: may ask for connections.
    :param arguments: of the function.
    """
    # Not asyncio.to_thread: connections are asked for from within the thread, and on Airflow
    # 3.1 the answer finds its way back only through asgiref.
    from asgiref.sync import sync_to_async

    call = sync_to_async(function, thread_sensitive=False)
    return await call(*arguments)
