"""What sensors share that look again and again: failures that pass do not end them."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_am_provider.airflow_compat import AirflowSensorTimeout
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.polling import Waiting

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_am_provider.hooks.polling import Seen


class PollingSensor(BaseSensorOperator):
    """Look until it is over, by the policy of :mod:`airflow_am_provider.hooks.polling`.

    With ``mode="reschedule"`` each look is a process of its own, which knows how many there were
    and not how many failed: then the pause after a failure is ``poke_interval``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._waiting = Waiting(self.poke_interval)

    @abstractmethod
    def look(self) -> Seen:
        """Look once; the result is what the task returns.

        :raises TransientError: when it may go better next time.
        :raises Exception: when it will not.
        """

    def execute(self, context: Context) -> Any:
        """Look until it is over, and say what is known when time is up."""
        self._waiting.ends_at(datetime.now(UTC) + timedelta(seconds=self.timeout))
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            known = self._waiting.told().rstrip(".")
            raise AirflowSensorTimeout(f"{error} What is known: {known}.") from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, unless a failure before asks for a longer pause."""
        if self.reschedule:
            looks = int(context.get("task_reschedule_count", 0) or 0)
            self._waiting = Waiting(self.poke_interval, looks=looks)
            if looks == 0:
                self._waiting.ends_at(datetime.now(UTC) + timedelta(seconds=self.timeout))
        if not self._waiting.is_due():
            return PokeReturnValue(is_done=False)
        seen = self._patiently()
        if seen is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=seen.is_over, xcom_value=seen.result)

    def _patiently(self) -> Seen | None:
        """What a look has shown; None when it failed and may go better next time."""
        with airflow_errors():
            return self._waiting.look(self.look)
