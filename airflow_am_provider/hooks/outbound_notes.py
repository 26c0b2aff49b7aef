"""Notes of what tasks know of batches from Audience Manager, where a connection's staging is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.parameters import is_given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.outbound.arrival import Look
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.notes import Fact, TaskNotes

_logger = logging.getLogger(__name__)


class BatchNotes:
    """What one task instance tells the page. A note that cannot be written breaks nothing.

    :param conn_id: the connection whose staging location gets it; None for no notes.
    :param origin: the task instance; None outside of a run, and then there are no notes.
    """

    def __init__(self, conn_id: object, origin: Mapping[str, Any] | None) -> None:
        self._conn_id = str(conn_id) if is_given(conn_id) and origin is not None else None
        self._origin = dict(origin or {})
        self._notes: TaskNotes | None = None
        self._facts: dict[str, Fact] = {}

    @classmethod
    def of(cls, conn_id: object, origin: Origin | None) -> BatchNotes:
        """Those of a task that runs."""
        return cls(conn_id, None if origin is None else origin.to_json())

    def to_json(self) -> dict[str, Any] | None:
        """The parameters, for a trigger; None for no notes."""
        if self._conn_id is None:
            return None
        return {"conn_id": self._conn_id, "origin": self._origin}

    def seen(self, look: Look) -> None:
        """Note what a look has shown."""
        from airflow_am_provider.outbound.notes import seen_facts

        self._write(lambda notes: notes.tell(seen_facts(look)))

    def found(self, batches: Iterable[Batch], *, gone: Iterable[str] = ()) -> None:
        """Note which batches are there to be loaded; what a try before has loaded stays so.

        :param gone: batches that are loaded, and whose files are not there any more.
        """
        from airflow_am_provider.outbound.notes import arrived_fact, is_same_content

        def write(notes: TaskNotes) -> None:
            told = {fact.get("batch"): fact for fact in notes.told()}
            self._facts |= {batch_id: told[batch_id] for batch_id in gone if batch_id in told}
            for batch in batches:
                fact, before = arrived_fact(batch), told.get(batch.batch_id, {})
                self._facts[batch.batch_id] = before if is_same_content(before, fact) else fact
            notes.tell(self._facts.values())

        self._write(write)

    def loaded(self, batch: Batch, report: Mapping[str, Any] | None) -> None:
        """Note that a batch is loaded.

        :param report: what the load operator returns of it; None where it was loaded before.
        """
        from airflow_am_provider.outbound.notes import is_of, loaded_fact

        def write(notes: TaskNotes) -> None:
            fact = loaded_fact(batch, report)
            # A try before this one may have told how many rows it was.
            if report is not None or not is_of(fact, self._facts.get(batch.batch_id, {})):
                self._facts[batch.batch_id] = fact
            notes.tell(self._facts.values())

        self._write(write)

    def _write(self, write: Callable[[TaskNotes], None]) -> None:
        if self._conn_id is None:
            return
        try:
            if self._notes is None:
                self._notes = self._open(self._conn_id)
            write(self._notes)
        except AudienceManagerError as error:
            _logger.warning("The page is not told of batches; nothing else is wrong: %s", error)

    def _open(self, conn_id: str) -> TaskNotes:
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.outbound.notes import TaskNotes

        return TaskNotes(AudienceManagerHook(conn_id).staging(), self._origin)
