"""What triggers share that look, sleep and look again until there is nothing to wait for."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.hooks.polling import Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_am_provider.hooks.polling import Seen


class PollingTrigger(BaseTrigger):
    """Look until it is over or the deadline has passed; see :mod:`…hooks.polling`.

    Its event is ``{"status": DONE | "timeout" | "error", "message": …, "deadline": …,
    "failures": …}``: ``error`` is not worth a retry. With what a look's result has when it is over.

    :param poll_interval_s: seconds between two looks.
    :param deadline: when to give up; ISO 8601.
    :param failures: how many looks of the task failed in a row before; then it pauses first.
    """

    #: The status when there is nothing to wait for any more.
    done = "done"
    #: Whether the task that is deferred has said what is waited for, if its look went well: both
    #: write into the same log.
    is_told = True

    def __init__(self, *, poll_interval_s: float, deadline: str, failures: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no annotations
        self.poll_interval_s = poll_interval_s
        self.deadline = deadline
        self.failures = failures

    @abstractmethod
    def look(self) -> Seen:
        """Look once, in a thread. The result is a dictionary, or None.

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
                "failures": self.failures,
            },
        )

    def waiting(self) -> Waiting:
        """The wait, for the triggerer or a worker that keeps its place."""
        return Waiting(
            self.poll_interval_s,
            deadline=datetime.fromisoformat(self.deadline),
            failures=self.failures,
            is_told=self.is_told and not self.failures,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, sleep, look again; yield one event."""
        waiting = self.waiting()
        try:
            seen = await waiting.until_over_in_thread(self.look)
        except AudienceManagerError as error:
            yield self._event("error", str(error))
            return
        if seen is None:
            yield self._event("timeout", waiting.told())
            return
        yield self._event(self.done, seen.known, **(seen.result or {}))

    def _event(self, status: str, message: str, **more: Any) -> TriggerEvent:
        # With the deadline: `dag.test()` goes on without what the task was deferred with.
        payload = {
            "status": status,
            "message": message,
            "deadline": self.deadline,
            "failures": self.failures,
            **more,
        }
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # as above
