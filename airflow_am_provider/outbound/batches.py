"""Batches of segment files, and what each still lacks.

A batch is complete when every file that its control file lists is there with its size, not when the
control file is: that may come first (transfer-control-files.md). Where an account gets no control
files, a batch is complete when nothing of it has changed for a stated time, which
:class:`QuietWatch` observes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.names import (
    WIDTHS,
    AmbiguousName,
    SegmentFileName,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.storage.folder import ListedFile


@dataclass(frozen=True, kw_only=True)
class NameForm:
    """How an account's files are named; by default any form that Adobe's pages show.

    :param template: Adobe's own macros, such as
        ``<SYNC_TYPE>_<ORDER_ID>_<SYNC_MODE>_<TIMESTAMP>SPLITNUM.sync``.
    :param timestamp_digits: 10 or 13, where names do not say which.
    :param destination: batches of other destinations are passed over; None takes all.
    :param mode: ``full`` or ``iter`` of batches whose names say neither; None where it is not
        known.
    """

    template: str | None = None
    timestamp_digits: int | None = None
    destination: int | None = None
    mode: str | None = None

    def parse(self, name: str, digits: int | None = None) -> SegmentFileName:
        """Read a name; ``digits`` is what a control file says, where no setting does."""
        found = SegmentFileName.parse(
            name, template=self.template, timestamp_digits=self.timestamp_digits or digits
        )
        return replace(found, mode=found.mode or self.mode)

    def readings(self, name: str) -> tuple[SegmentFileName, ...]:
        """Each way in which a name can be read; none where it is no segment file's."""
        found = []
        for digits in (None, *WIDTHS):
            try:
                found.append(self.parse(name, digits))
            except AmbiguousName:
                continue
            except DataError:
                if digits is None:
                    return ()
                continue
            if digits is None:
                break
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class BatchFile:
    """A file of a batch.

    :param path: where it is expected, relative to the inbox.
    :param name: what its name says.
    :param size: bytes, as the control file says; without one, as listed.
    :param lines: lines by the control file, header lines included; None when it does not say.
    :param checksum: MD5 by the control file; None when it gives none that can be one.
    :param found: the file as listed; None when it has not come.
    """

    path: str
    name: SegmentFileName
    size: int
    lines: int | None = None
    checksum: str | None = None
    found: ListedFile | None = None

    @property
    def lacks(self) -> str | None:
        """Why it is not complete, in a few words; None when it is."""
        if self.found is None:
            return f"{printable(self.path)} has not come"
        if self.found.size != self.size:
            return (
                f"{printable(self.path)} has {self.found.size:,} of {self.size:,} bytes"
                if self.found.size < self.size
                else f"{printable(self.path)} has {self.found.size:,} bytes, its control file says "
                f"{self.size:,}"
            )
        # Not the ETag: an object that KMS encrypts has another one than its MD5, of as many digits.
        # What is inside is held against the checksum while it is read.
        return None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What belongs together: one run of a destination's export.

    :param batch_id: the name that all of its files share.
    :param files: in their sequence.
    :param control_path: where its control file lies; None when there is none.
    :param remarks: what is odd about it.
    :param unsettled: what has to be settled before anybody can say that it is complete, such as
        another control file that says something else; in sentences.
    """

    batch_id: str
    files: tuple[BatchFile, ...]
    control_path: str | None = None
    remarks: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()

    @property
    def name(self) -> SegmentFileName:
        """What the name of its first file says."""
        return self.files[0].name

    @property
    def destination(self) -> int:
        """The destination that it is of; 0 where its name does not say."""
        return self.name.destination or 0

    @property
    def mode(self) -> str | None:
        """``full`` or ``iter`` by the data files' names: control files have said otherwise.

        None where they say neither.
        """
        return self.name.mode

    @property
    def timestamp(self) -> datetime | None:
        """When it was made, by its name."""
        return self.name.timestamp

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing or unsettled, a few words each; nothing when all is there."""
        missing = [found for file in self.files if (found := file.lacks)]
        return (*missing, *self.unsettled)

    @property
    def size(self) -> int:
        """Bytes of all files, by the control file where there is one."""
        return sum(file.size for file in self.files)

    @property
    def version(self) -> str:
        """Changes when any of its files does: a batch sent again under its name is another one.

        By the checksums of its control file too: a host may tell the time of a file by the minute.
        """
        said = "\n".join(
            f"{file.path}:{file.checksum}:"
            + (f"{file.found.version}:{file.found.etag}" if file.found else "")
            for file in self.files
        )
        return hashlib.sha256(said.encode()).hexdigest()[:16]


class QuietWatch:
    """Since when nothing of a batch has changed, as seen by looking again and again.

    It goes by what was seen, and by one clock, the one of who looks: times that a server puts on
    files are not asked.

    :param quiet: how long nothing may change.
    """

    def __init__(self, quiet: timedelta) -> None:
        self.quiet = quiet
        self._seen: dict[str, tuple[str, datetime]] = {}

    def is_quiet(self, batch: Batch, now: datetime) -> bool:
        """Whether a batch has not changed for as long as it takes; each look is told to it."""
        version, since = self._seen.get(batch.batch_id, (None, now))
        if version != batch.version:
            self._seen[batch.batch_id] = (batch.version, now)
            return False
        return now - since >= self.quiet


def missing_days(batches: Sequence[Batch]) -> dict[str, list[str]]:
    """Days without a batch in the series of each destination, between its first and its last.

    Adobe exports once a day, up to a day late, and then two batches have one day
    (reporting-file-transfer-timeframe.md).

    :return: the destination's part of the name to days, ``2026-01-31``.
    """
    days: dict[str, set[date]] = {}
    for batch in batches:
        if (day := day_of(batch.name)) is not None:
            days.setdefault(series_of(batch), set()).add(day)
    gaps: dict[str, list[str]] = {}
    for series, known in days.items():
        first, last = min(known), max(known)
        count = (last - first).days
        every = (first + timedelta(days=number) for number in range(count + 1))
        if gap := [f"{day:%Y-%m-%d}" for day in every if day not in known]:
            gaps[series] = gap
    return gaps


def days_with_several(batches: Sequence[Batch]) -> dict[str, list[str]]:
    """Days that have more than one batch of the same destination and mode."""
    seen: dict[tuple[str, str | None, date], int] = {}
    for batch in batches:
        if (made := day_of(batch.name)) is not None:
            key = (series_of(batch), batch.mode, made)
            seen[key] = seen.get(key, 0) + 1
    found: dict[str, list[str]] = {}
    for (series, _, day), count in sorted(seen.items(), key=lambda item: item[0][2]):
        if count > 1:
            found.setdefault(series, []).append(f"{day:%Y-%m-%d}")
    return found


def series_of(batch: Batch) -> str:
    """What comes once a day: a destination's batches of one kind of ID, such as ``1234_20914``."""
    name = batch.name
    said = (name.destination, name.master_dpid, name.alias)
    return "_".join(str(part) for part in said if part is not None) or "all"


def day_of(name: SegmentFileName) -> date | None:
    """The day in UTC on which a file was made, by its name; None where that has no time."""
    return None if name.timestamp is None else name.timestamp.astimezone(UTC).date()
