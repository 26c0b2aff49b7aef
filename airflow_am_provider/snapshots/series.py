"""The snapshots of one extract: what a new one is compared with, and which files are needed.

Which extracts there are, in which order, and which of them may be in force, is decided by the
target. No clock has a say in this: of two tasks that compare at the same time one is told to
extract anew, so that no snapshot rests on rows that are older than those of the one before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.deliveries.target.names import target_of
from airflow_am_provider.deliveries.target.snapshots import Basis, basis
from airflow_am_provider.snapshots.comparison import Base, fits

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec

log = logging.getLogger(__name__)

_FOLDER: Final = "snapshots"
_EXTENSION: Final = ".parquet"


@dataclass(frozen=True, kw_only=True)
class SnapshotSeries:
    """The snapshots of one extract for one target.

    :param targets: of the staging location.
    :param target: whose traits the extract sets.
    :param location: the folder of its snapshots, which also names the series.
    """

    targets: Targets
    target: Target
    location: str

    @classmethod
    def of(
        cls, targets: Targets, destination: str, spec: DataFileSpec, name: str
    ) -> SnapshotSeries:
        """The series of an extract, by where it goes, whose traits it sets, and its name."""
        facts = [destination, str(spec.file_kind), spec.kind.name, name]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]
        return cls(
            targets=targets,
            target=targets.named(destination, target_of(spec.file_kind)),
            location=f"{_FOLDER}/{digest}",
        )

    def new_path(self, now: datetime) -> str:
        """Where a snapshot may be written: each attempt has a path of its own."""
        return f"{self.location}/{now:%Y-%m-%d}-{uuid.uuid4().hex[:12]}{_EXTENSION}"

    def basis(self) -> Basis:
        """What the next extract is to be compared with; to be asked before it is read."""
        return basis(self.target.state(), self.location)

    def bases(self, basis: Basis) -> tuple[Base, ...]:
        """The states that Audience Manager may be in, as snapshots, the newest last.

        The acknowledged one, and each that may be in force beside it. Where a file from before the
        acknowledged one may still be processed, what that one said is said once more. Where an
        ``.overwrite`` went in between, all is said once more.

        :raises DataError: when the newest snapshot is gone.
        """
        series = basis.series
        known = series.acknowledged
        first = Base(path=None)
        if known is not None:
            first = Base(path=known.path, is_open=known.number <= series.open_until)
        bases = [first, *(Base(path=extract.path) for extract in series.in_force)]
        there = [base.path is None or self._exists(base.path) for base in bases]
        newest = bases[-1].path
        if not there[-1]:
            raise DataError(
                f"{self.targets.staging.url}/{newest}: the newest snapshot is gone, so nobody can "
                f"say what has changed since. To begin anew, with everything as additions and no "
                f"removals, give another name for snapshot"
            )
        nothing = [Base(path=None)] if basis.overwritten else []
        if all(there) and fits([*nothing, *bases]):
            return (*nothing, *bases)
        # The newest one knows all states that were possible when it was made. The acknowledged one
        # is what removals are held against.
        acknowledged = [Base(path=first.path)] if there[0] and len(bases) > 1 else []
        return (*nothing, *acknowledged, Base(path=newest, is_open=True))

    def describe(self, basis: Basis) -> str:
        """What is compared with, in words, for the log."""
        series = basis.series
        if series.acknowledged is None:
            what = "nothing: no delivery of this extract is acknowledged"
        else:
            what = f"snapshot {series.acknowledged.number} ({series.acknowledged.path})"
        if series.in_force:
            numbers = ", ".join(str(extract.number) for extract in series.in_force)
            what += f"; and with {numbers}, of which it is not known whether they arrived"
        if basis.overwritten:
            what += (
                "; and with nothing, since an .overwrite of the same target may have taken "
                "everything away"
            )
        return what

    def tidy(self) -> None:
        """Delete snapshots that nothing will be compared with any more.

        Kept are those that may be in force; the one that was acknowledged before, which another
        task may be reading; and what is newer than all of them, as a task may be about to record
        it.
        """
        series = self.basis().series
        extracts = [*series.in_force, *([series.acknowledged] if series.acknowledged else [])]
        kept = {extract.path for extract in extracts} | {series.before}
        staging = self.targets.staging
        entries = [
            entry for entry in staging.list(f"{self.location}/") if entry.path.endswith(_EXTENSION)
        ]
        oldest = min((entry.modified for entry in entries if entry.path in kept), default=None)
        for entry in entries:
            if oldest is not None and entry.modified < oldest and entry.path not in kept:
                log.info("Deleting %s/%s, superseded", staging.url, entry.path)
                staging.delete(entry.path)

    def _exists(self, path: str) -> bool:
        return self.targets.staging.exists(path)
