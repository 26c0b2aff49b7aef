"""What a task knows of batches: a small file in staging, for the page in Airflow's UI.

Nothing is decided by these notes. Each task instance writes a file of its own, so that no two write
the same one. The layout is public: docs/manifest.md.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.outbound.batches import series_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_am_provider.outbound.arrival import Look
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.storage.folder import Folder

#: The folder of the notes, with one for each month in which they were written.
NOTES: Final = "outbound"
_VERSION: Final = 1
# What a task said first when it said the same again.
_SAME: Final = ("state", "series", "day", "batch", "version")


class BatchState(StrEnum):
    """How far a batch is, as one task saw it."""

    MISSING = "missing"
    ARRIVED = "arrived"
    LOADED = "loaded"


Fact = dict[str, Any]


def seen_facts(look: Look) -> Iterator[Fact]:
    """What a look has shown: complete batches, those that wait, and days without any."""
    for batch in look.complete:
        yield arrived_fact(batch)
    for batch, lacks in look.waiting:
        yield {"state": str(BatchState.MISSING), **_batch_facts(batch), "lacks": lacks}
    for missing in look.missing:
        yield {
            "state": str(BatchState.MISSING),
            "series": missing.series,
            "day": missing.day,
            "is_asked_for": missing.is_asked_for,
        }


def arrived_fact(batch: Batch) -> Fact:
    """A batch that is complete."""
    return {"state": str(BatchState.ARRIVED), **_batch_facts(batch)}


def loaded_fact(batch: Batch, report: Mapping[str, Any] | None) -> Fact:
    """What became of a batch.

    :param report: as the load operator returns it; None for one that was loaded before.
    """
    counts = ("url", "lines_read", "rows_loaded", "lines_set_aside", "set_aside")
    return {
        "state": str(BatchState.LOADED),
        **_batch_facts(batch),
        **({} if report is None else {name: report[name] for name in counts}),
    }


def _batch_facts(batch: Batch) -> Fact:
    """What a batch is."""
    made_at = None if batch.timestamp is None else batch.timestamp.astimezone(UTC)
    return {
        "batch": batch.batch_id,
        "series": series_of(batch),
        "day": None if made_at is None else f"{made_at:%Y-%m-%d}",
        "made_at": None if made_at is None else made_at.isoformat(timespec="seconds"),
        "mode": batch.mode,
        "version": batch.version,
        "files": len(batch.files),
        "bytes": batch.size,
    }


class TaskNotes:
    """The file of one task instance.

    :param staging: the staging location.
    :param origin: the task instance, as :class:`~airflow_am_provider.deliveries.origin.Origin`
        has it.
    """

    def __init__(self, staging: Folder, origin: Mapping[str, Any]) -> None:
        self._staging = staging
        self._origin = dict(origin)
        named = [str(origin[name]) for name in ("dag_id", "run_id", "task_id", "map_index")]
        self._name = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:20]
        self._told: list[Fact] | None = None

    def tell(self, facts: Iterable[Fact], *, now: datetime | None = None) -> None:
        """Write what is known now in place of what was known before, unless it is the same.

        :param facts: all that the task knows.
        :param now: the time, in UTC.
        :raises TransientError: when staging fails.
        """
        moment = now or datetime.now(UTC)
        at = moment.isoformat(timespec="milliseconds")
        since = {_identity(fact): fact["since"] for fact in self.told(moment)}
        told = [{**fact, "since": since.get(_identity(fact), at)} for fact in facts]
        if told == self._told:
            return
        document = {"version": _VERSION, "at": at, "origin": self._origin, "batches": told}
        content = json.dumps(document, indent=1).encode()
        self._staging.write_bytes(self._path(moment), content)
        self._told = told

    def told(self, now: datetime | None = None) -> list[Fact]:
        """What it has told, in this try or one before.

        :raises TransientError: when staging fails.
        """
        if self._told is None:
            moment = now or datetime.now(UTC)
            last_month = moment.replace(day=1) - timedelta(days=1)
            self._told = self._read(self._path(moment)) or self._read(self._path(last_month)) or []
        return self._told

    def _path(self, moment: datetime) -> str:
        return f"{NOTES}/{moment:%Y-%m}/{self._name}.json"

    def _read(self, path: str) -> list[Fact]:
        content = self._staging.read_bytes(path)
        try:
            return [] if content is None else list(read_note(content, path)["batches"])
        except DataError:
            return []


def read_note(content: bytes, where: str) -> dict[str, Any]:
    """The document of a file of notes.

    :param where: its path, for the message.
    :raises DataError: when it is none.
    """
    try:
        document = json.loads(content)
        document["origin"]["dag_id"]
        for fact in document["batches"]:
            BatchState(fact["state"])
            fact["since"], fact["series"], fact["day"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: no note about batches: {type(error).__name__}; it may be deleted"
        ) from None
    found: dict[str, Any] = document
    return found


def is_same_content(one: Fact, other: Fact) -> bool:
    """Whether two facts are of the same content, however far it is."""
    names = ("batch", "version")
    return all(one.get(name) == other.get(name) for name in names)


def is_of(one: Fact, other: Fact) -> bool:
    """Whether two facts say the same of the same content."""
    return _identity(one) == _identity(other)


def _identity(fact: Fact) -> tuple[object, ...]:
    return tuple(fact.get(name) for name in _SAME)
