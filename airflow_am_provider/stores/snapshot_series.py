"""The snapshots of one extract, in the order in which they were made, and which of them count.

Each has a record of its own with a number, written only where there is none: of two tasks that
compare at the same time one is told to extract anew, so that no snapshot rests on rows that are
older than those of the one before. No clock has a say in this.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.formatting.comparison import MOST_STATES, Base, fits
from airflow_am_provider.formatting.data_lines import DataLineWriter
from airflow_am_provider.formatting.delivery import NO_TIMESTAMP
from airflow_am_provider.stores.deliveries import DELIVERIES, DeliveryRecords, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_am_provider.audience_manager.ordering import Turn
    from airflow_am_provider.formatting.data_lines import DataFileSpec
    from airflow_am_provider.stores.entry import Folder
    from airflow_am_provider.stores.lanes import Lane

log = logging.getLogger(__name__)

RECORD_VERSION: Final = 1
_FOLDER: Final = "snapshots"
_EXTENSION: Final = ".parquet"
_PROCESSED_WELL: Final = (DeliveryState.ACKNOWLEDGED, DeliveryState.RECONCILED)


class Acknowledgements(Protocol):
    """What is known of deliveries."""

    def is_acknowledged(self, delivery_id: str) -> bool:
        """Whether Audience Manager is known to have processed a delivery."""
        ...


class RecordedDeliveries:
    """What the record of deliveries says.

    :param staging: the staging location.
    """

    def __init__(self, staging: Folder) -> None:
        self._records = DeliveryRecords(staging)

    def is_acknowledged(self, delivery_id: str) -> bool:
        """Whether a delivery was processed, and no limit on what may be lost was gone over."""
        record = self._records.at(f"{DELIVERIES}/data/{delivery_id}")
        return record is not None and record.state in _PROCESSED_WELL


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotRecord:
    """One snapshot.

    :param number: its place among those of the series, from 1.
    :param path: the snapshot, relative to the staging location.
    :param delivery_id: the delivery that was made with it.
    :param bases: what it was compared with: paths of snapshots, null for the state before anything
        was delivered.
    :param created_at: ISO 8601, UTC.
    :param counts: what was found, by name; see
        :class:`~airflow_am_provider.formatting.comparison.Counts`.
    :param queue: the last place in the queue of its target before the comparison; 0 for none.
    """

    number: int
    path: str
    delivery_id: str
    bases: tuple[str | None, ...]
    created_at: str
    counts: dict[str, int] = field(default_factory=dict)
    queue: int = 0
    version: int = RECORD_VERSION

    @classmethod
    def from_json(cls, content: bytes, where: str) -> SnapshotRecord:
        """Read a record.

        :param where: the file, for the message.
        :raises DataError: when it is none.
        """
        try:
            document = json.loads(content)
            if document["version"] != RECORD_VERSION:
                raise ValueError(f"version {document['version']!r} is not {RECORD_VERSION}")
            return cls(**{**document, "bases": tuple(document["bases"])})
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{where}: not the record of a snapshot: {error}; what was delivered is not known. "
                f"To begin anew, give another name for snapshot"
            ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """What a new extract is to be compared with.

    :param bases: every state that Audience Manager may be in, the newest last.
    :param acknowledged: the newest record whose delivery is acknowledged, or None.
    :param later: the records after it, oldest first.
    :param before: the record before it, or None.
    :param overwrites: ``.overwrite`` deliveries of the same target that went since the acknowledged
        one was compared: of no trait it is sure that it is there still.
    :param queue: the last place in the queue of the target.
    """

    bases: tuple[Base, ...]
    acknowledged: SnapshotRecord | None = None
    later: tuple[SnapshotRecord, ...] = ()
    before: SnapshotRecord | None = None
    overwrites: tuple[Turn, ...] = ()
    queue: int = 0

    @property
    def newest(self) -> SnapshotRecord | None:
        """The newest record."""
        return self.later[-1] if self.later else self.acknowledged

    def __str__(self) -> str:
        """Say it in words, for the log."""
        if self.acknowledged is None:
            what = "nothing: no delivery of this extract is acknowledged"
        else:
            what = f"snapshot {self.acknowledged.number} ({self.acknowledged.path})"
        if self.later:
            numbers = ", ".join(str(record.number) for record in self.later)
            what += f"; and with {numbers}, of which it is not known whether they arrived"
        if self.overwrites:
            what += (
                f"; and with nothing, since an .overwrite of the same target may have taken "
                f"everything away (delivery {self.overwrites[-1].delivery_id})"
            )
        return what


class SnapshotSeries:
    """The snapshots of one extract for one target.

    :param staging: the staging location.
    :param facts: what tells the series from others.
    """

    def __init__(self, staging: Folder, *facts: str) -> None:
        self._staging = staging
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]
        self.location = f"{_FOLDER}/{digest}"

    @classmethod
    def of(cls, staging: Folder, destination: str, spec: DataFileSpec, name: str) -> SnapshotSeries:
        """The series of an extract, by where it goes, whose traits it sets, and its name."""
        file_name = DataLineWriter(spec).file_name(NO_TIMESTAMP)
        return cls(staging, destination, str(file_name), spec.kind.name, name)

    def new_path(self, now: datetime) -> str:
        """Where a snapshot may be written: each attempt has a path of its own."""
        return f"{self.location}/{now:%Y-%m-%d}-{uuid.uuid4().hex[:12]}{_EXTENSION}"

    def basis(self, deliveries: Acknowledgements, lane: Lane) -> Basis:
        """What the next extract is to be compared with; to be asked before it is read.

        The newest acknowledged snapshot, and each that came after it: its delivery may have been
        processed or not. A delivery that came before and is not acknowledged may have been
        processed after it; where there is one, what the acknowledged one said is said once more.

        :param deliveries: says which are acknowledged.
        :param lane: the queue of the target. When an ``.overwrite`` went in between, all is said
            once more.
        :raises DataError: when a record is damaged, or the newest snapshot gone.
        """
        places = lane.numbers()
        acknowledged, before = None, None
        later: list[SnapshotRecord] = []
        for record in self._newest_first():
            if acknowledged is not None:
                before = record
                break
            if deliveries.is_acknowledged(record.delivery_id):
                acknowledged = record
            else:
                later.insert(0, record)
        first = Base(path=None)
        overwrites: list[Turn] = []
        if acknowledged is not None:
            since = {place for place in places if place > acknowledged.queue}
            overwrites = lane.overwrites(since)
            # What went before it and is not acknowledged may have been processed after it.
            overtook = before is not None and not deliveries.is_acknowledged(before.delivery_id)
            first = Base(path=acknowledged.path, is_open=overtook)
        bases = [first, *(Base(path=record.path) for record in later)]
        there = [base.path is None or self._staging.exists(base.path) for base in bases]
        newest = bases[-1].path
        if not there[-1]:
            raise DataError(
                f"{self._staging.url}/{newest}: the newest snapshot is gone, so what has changed "
                f"since cannot be told. To begin anew, with everything as additions and no "
                f"removals, give another name for snapshot"
            )
        nothing = [Base(path=None)] if overwrites else []
        if not (all(there) and fits([*nothing, *bases])):
            # The newest one knows all states that were possible when it was made.
            bases = [Base(path=newest, is_open=True)]
        return Basis(
            bases=(*nothing, *bases),
            acknowledged=acknowledged,
            later=tuple(later),
            before=before,
            overwrites=tuple(overwrites),
            queue=max(places, default=0),
        )

    def add(
        self, basis: Basis, path: str, delivery_id: str, counts: dict[str, int], now: datetime
    ) -> SnapshotRecord:
        """Record a new snapshot as the newest.

        :param basis: what it was compared with.
        :param path: the snapshot.
        :param delivery_id: the delivery that is made with it.
        :param counts: what was found.
        :param now: the time, in UTC.
        :raises TransientError: when another task has added one since the basis was asked for: its
            rows may be newer. The snapshot is deleted.
        """
        number = 1 if basis.newest is None else basis.newest.number + 1
        record = SnapshotRecord(
            number=number,
            path=path,
            delivery_id=delivery_id,
            bases=tuple(base.path for base in basis.bases),
            created_at=now.isoformat(timespec="seconds"),
            counts=counts,
            queue=basis.queue,
        )
        where, text = self._path(number), json.dumps(asdict(record), indent=2).encode()
        # Where it is there already, an answer may have got lost, and the client asked again.
        if not self._staging.create(where, text) and self._staging.read_bytes(where) != text:
            self._staging.delete(path)
            raise TransientError(
                f"{self._staging.url}/{where}: another task has made a snapshot of this extract "
                f"meanwhile, perhaps of newer rows; nothing was staged. Extract again"
            )
        return record

    def tidy(self, basis: Basis) -> None:
        """Delete snapshots that nothing will be compared with any more.

        Kept are the acknowledged one; the one before, which another task may be reading; those
        after, but of many the newest few; and what is newer than all of them, as a task may be
        about to record it.
        """
        later, old = basis.later[-2 * MOST_STATES :], basis.later[: -2 * MOST_STATES]
        kept = {record.path for record in (basis.before, basis.acknowledged, *later) if record}
        superseded = {record.path for record in old}
        entries = [
            entry
            for entry in self._staging.list(f"{self.location}/")
            if entry.path.endswith(_EXTENSION)
        ]
        oldest = min((entry.modified for entry in entries if entry.path in kept), default=None)
        for entry in entries:
            is_older = oldest is not None and entry.modified < oldest
            if entry.path in superseded or (is_older and entry.path not in kept):
                log.info("Deleting %s/%s, superseded", self._staging.url, entry.path)
                self._staging.delete(entry.path)

    def _newest_first(self) -> Iterator[SnapshotRecord]:
        paths = sorted(entry.path for entry in self._staging.list(f"{self.location}/records/"))
        for path in reversed(paths):
            where = f"{self._staging.url}/{path}"
            record = SnapshotRecord.from_json(self._staging.read_bytes(path) or b"", where)
            if path != self._path(record.number):
                raise DataError(f"{where}: the record of number {record.number}")
            yield record

    def _path(self, number: int) -> str:
        return f"{self.location}/records/{number:08d}.json"
