"""What triggers share that look, sleep and look again until there is nothing to wait for."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_am_provider.audience_manager.errors import AudienceManagerError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_FAILURES: Final = 10


class PollResult(NamedTuple):
    """What one look has shown.

    :param known: in a sentence, for the log.
    :param is_over: whether there is nothing to wait for any more.
    :param more: what the event is to carry then.
    """

    known: str
    is_over: bool
    more: dict[str, Any]


class PollingTrigger(BaseTrigger):
    """Look until it is over or the deadline has passed.

    Its event is ``{"status": DONE | "timeout" | "failed" | "error", "message": …, "deadline": …}``:
    ``failed`` is worth a retry, ``error`` is not.

    :param poll_interval_s: seconds between two looks.
    :param deadline: when to give up; ISO 8601.
    :param max_failures: how many looks in a row may fail.
    """

    #: The status when there is nothing to wait for any more.
    done = "done"

    def __init__(
        self, *, poll_interval_s: float, deadline: str, max_failures: int = MAX_FAILURES
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_interval_s = poll_interval_s
        self.deadline = deadline
        self.max_failures = max_failures

    @abstractmethod
    def look(self) -> PollResult:
        """Look once, in a thread.

        :raises TransientError: when it may go better next time.
        :raises AudienceManagerError: when it will not.
        """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its parameters, for the database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "poll_interval_s": self.poll_interval_s,
                "deadline": self.deadline,
                "max_failures": self.max_failures,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, sleep, look again; yield one event."""
        # Not asyncio.to_thread: connections are asked for from within the thread, and on Airflow
        # 3.1 the answer finds its way back only through asgiref.
        from asgiref.sync import sync_to_async

        look = sync_to_async(self.look, thread_sensitive=False)
        failures, known = 0, ""
        while True:
            try:
                seen = await look()
            except TransientError as error:
                failures += 1
                self.log.warning("Look %d of %d failed: %s", failures, self.max_failures, error)
                if failures >= self.max_failures:
                    yield self._event(
                        "failed", f"{failures} looks in a row failed, at last: {error}"
                    )
                    return
            except AudienceManagerError as error:
                yield self._event("error", str(error))
                return
            else:
                failures = 0
                if seen.known != known:
                    self.log.info("%s", seen.known)
                    known = seen.known
                if seen.is_over:
                    yield self._event(self.done, known, **seen.more)
                    return
            left_s = (datetime.fromisoformat(self.deadline) - datetime.now(UTC)).total_seconds()
            if left_s <= 0:
                yield self._event("timeout", known or "no look succeeded")
                return
            await asyncio.sleep(min(self.poll_interval_s, left_s))

    def _event(self, status: str, message: str, **more: Any) -> TriggerEvent:
        # With the deadline: `dag.test()` goes on without what the task was deferred with.
        payload = {"status": status, "message": message, "deadline": self.deadline, **more}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]
