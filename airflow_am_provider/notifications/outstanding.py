"""Tells which deliveries of a DAG are not acknowledged yet, when a deadline has passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseNotifier

from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.polling import Seen, Waiting, in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_am_provider.deliveries.target.state import DeliveryEntry

__all__ = ["OutstandingDeliveriesNotifier"]

# Nobody looks again later, so a line that breaks for a moment is borne.
_INTERVAL_S: Final = 5.0
_TIMEOUT: Final = timedelta(minutes=2)


class OutstandingDeliveriesNotifier(BaseNotifier):
    """Write down, as an error in the log, what is known of a DAG's outstanding deliveries.

    Made for Airflow's deadline alerts (3.2 and newer), which see the run and nothing of its tasks;
    as ``on_failure_callback`` of a sensor it works on 3.1 too. To tell somebody else, override
    :meth:`tell`.

    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param kwargs: what Airflow gives notifiers.

    Example::

        deadline = DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(hours=36),
            callback=AsyncCallback(OutstandingDeliveriesNotifier),
        )
    """

    template_fields: Sequence[str] = ("audience_manager_conn_id",)

    def __init__(self, audience_manager_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_manager_conn_id = audience_manager_conn_id

    def notify(self, context: Context) -> None:
        """Find out and tell, in a worker."""
        self.tell(self._known(context))

    async def async_notify(self, context: Context) -> None:
        """Find out and tell, in the triggerer, which has other things to do meanwhile."""
        self.tell(await in_thread(self._known, context))

    def tell(self, text: str) -> None:
        """Pass it on.

        :param text: the run, and each outstanding delivery with state and window.
        """
        self.log.error("%s", text)

    def _known(self, context: Mapping[str, Any]) -> str:
        run = context.get("dag_run")
        dag_id, run_id = _fact(run, "dag_id"), _fact(run, "run_id", "dag_run_id")
        waiting = Waiting(_INTERVAL_S, deadline=datetime.now(UTC) + _TIMEOUT)
        seen = waiting.until_over(partial(self._look, dag_id))
        if seen is None:
            known = f"Which of its deliveries are not acknowledged is not known: {waiting.told()}"
        else:
            known = f"Deliveries of this DAG that are not acknowledged: {seen.result}"
        return (
            f"Run {run_id} of {dag_id} is not done in time. {known}. A receipt that comes later "
            f"still counts. The sensor finds it. If the sensor has given up, clear it"
        )

    def _look(self, dag_id: str) -> Seen:
        from airflow_am_provider.deliveries.target.queries import outstanding as outstanding_of
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        targets = AudienceManagerHook(self.audience_manager_conn_id).targets()
        outstanding = [
            _in_words(entry)
            for target in targets.all()
            for entry in outstanding_of(target.state())
            if entry.series.startswith(f"{dag_id}/")
        ]
        return Seen("", is_over=True, result="; ".join([str(len(outstanding)), *outstanding]))


def _in_words(entry: DeliveryEntry) -> str:
    return f"{entry.delivery_id} ({entry.window}) {entry.state} since {entry.since}"


def _fact(run: object, *names: str) -> str:
    """What is known of the run: an object in a worker, plain JSON in the triggerer."""
    for name in names:
        found = run.get(name) if isinstance(run, dict) else getattr(run, name, None)
        if found:
            return str(found)
    return "unknown"
