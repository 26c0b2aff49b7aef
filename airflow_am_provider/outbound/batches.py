"""Which batches have arrived, and what each still lacks: pure functions of a folder's listing.

A batch is complete when every file that its control file lists is there with its size, not when the
control file is: that may come first (transfer-control-files.md). Where an account gets no control
files, a batch is complete when nothing of it has changed for a stated time, which
:class:`QuietWatch` observes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.names import (
    AmbiguousName,
    SegmentFileName,
    control_root,
    digits_of,
    is_control_file,
    is_unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_am_provider.audience_manager.outbound.control_files import ControlFile
    from airflow_am_provider.storage.folder import ListedFile

_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class NameForm:
    """How an account's files are named; by default any form that Adobe's pages show.

    :param template: Adobe's own macros, such as
        ``<SYNC_TYPE>_<ORDER_ID>_<SYNC_MODE>_<TIMESTAMP>SPLITNUM.sync``.
    :param timestamp_digits: 10 or 13, where names do not say which.
    :param destination: batches of other destinations are passed over; None takes all.
    """

    template: str | None = None
    timestamp_digits: int | None = None
    destination: int | None = None

    def parse(self, name: str, digits: int | None = None) -> SegmentFileName:
        """Read a name; ``digits`` is what a control file says, where no setting does."""
        return SegmentFileName.parse(
            name, template=self.template, timestamp_digits=self.timestamp_digits or digits
        )


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
    """

    batch_id: str
    files: tuple[BatchFile, ...]
    control_path: str | None = None
    remarks: tuple[str, ...] = ()

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
        """``full`` or ``iter`` by the data files' names: control files have said otherwise."""
        return self.name.mode

    @property
    def timestamp(self) -> datetime | None:
        """When it was made, by its name."""
        return self.name.timestamp

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing, a few words each; nothing when every listed file is there."""
        missing = [found for file in self.files if (found := file.lacks)]
        if self.control_path is None:
            missing += _gaps([file.name.split for file in self.files])
            missing += _doubles(self.files)
        return tuple(missing)

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


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What a look into an inbox has shown.

    :param batches: oldest first.
    :param passed_over: files that belong to no batch, with the reason in a sentence.
    """

    batches: tuple[Batch, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)


def arrivals(
    listing: Iterable[ListedFile],
    controls: Mapping[str, ControlFile | DataError],
    form: NameForm,
    *,
    needs_control: bool,
) -> Arrivals:
    """Put what lies in an inbox together to batches.

    :param listing: the inbox's files.
    :param controls: each control file by its path, or why it cannot be read yet.
    :param form: how the account's files are named.
    :param needs_control: whether files without a control file wait for it. Otherwise they are
        batches by their names.
    """
    files = {file.path: file for file in listing}
    passed_over: dict[str, str] = {}
    batches: dict[str, Batch] = {}
    claimed: dict[str, str] = {}
    for path in sorted(controls):
        control = controls[path]
        if isinstance(control, DataError):
            passed_over[path] = str(control)
            continue
        try:
            batch = _controlled(path, control, files, form)
        except DataError as error:
            passed_over[path] = str(error)
            continue
        if batch is None:
            continue
        other = batches.get(batch.batch_id)
        if other is not None and _paths(other) != _paths(batch):
            passed_over[path] = (
                f"{printable(path)}: it lists other files of the batch {batch.batch_id} than "
                f"{printable(str(other.control_path))}; the batch waits until one of them is gone"
            )
            batches[batch.batch_id] = _contradicted(other, path)
            continue
        batches[batch.batch_id] = batch
        claimed |= dict.fromkeys(_paths(batch), path)
    _add_uncontrolled(files, claimed, form, batches, passed_over, needs_control=needs_control)
    return Arrivals(batches=tuple(sorted(batches.values(), key=_order)), passed_over=passed_over)


def _gaps(splits: Sequence[int | None]) -> list[str]:
    """Numbers left out by the parts of a batch that has no control file.

    The first file has none, or the first number is 1; how many there are, nothing says.
    """
    numbers = {split for split in splits if split is not None}
    missing = sorted(set(range(1, max(numbers, default=0))) - numbers)
    shown = ", ".join(f"{number:03d}" for number in missing[:_SHOWN])
    return [f"part {shown}{' and others' * (len(missing) > _SHOWN)} has not come"] * bool(missing)


def _doubles(files: Sequence[BatchFile]) -> list[str]:
    """Files that are the same part of a batch that has no control file, such as packed and not."""
    by_part: dict[int | None, list[str]] = {}
    for file in files:
        by_part.setdefault(file.name.split, []).append(printable(file.path))
    return [
        f"{' and '.join(paths[:_SHOWN])} are one part; one of them has to go"
        for paths in by_part.values()
        if len(paths) > 1
    ]


def _order(batch: Batch) -> tuple[datetime, str]:
    return batch.timestamp or datetime.min.replace(tzinfo=UTC), batch.batch_id


def _paths(batch: Batch) -> list[str]:
    return sorted(file.path for file in batch.files)


def _contradicted(batch: Batch, path: str) -> Batch:
    """A batch of which two control files say different things is never complete."""
    extra = BatchFile(path=path, name=batch.name, size=-1)
    return Batch(
        batch_id=batch.batch_id,
        files=(*batch.files, extra),
        control_path=batch.control_path,
        remarks=(*batch.remarks, f"{printable(path)} contradicts its control file"),
    )


def _controlled(
    path: str, control: ControlFile, files: Mapping[str, ListedFile], form: NameForm
) -> Batch | None:
    folder = path.rpartition("/")[0]
    digits = digits_of(control.name)
    found = []
    for entry in control.files:
        where = f"{folder}/{entry.name}" if folder else entry.name
        found.append(
            BatchFile(
                path=where,
                name=form.parse(entry.name, digits),
                size=entry.size,
                lines=entry.lines,
                checksum=entry.checksum if entry.is_checkable else None,
                found=files.get(where),
            )
        )
    roots = {file.name.root for file in found}
    if len(roots) > 1:
        raise DataError(
            f"control file {printable(path)!r}: it lists files of {len(roots)} batches, such as "
            f"{printable(min(roots))} and {printable(max(roots))}; one is expected"
        )
    if not _is_wanted(found[0].name, form):
        return None
    root = roots.pop()
    remarks = list(control.remarks)
    if root != control_root(control.name):
        remarks.append(f"{printable(path)}: its files are named {printable(root)}, which counts")
    return Batch(batch_id=root, files=tuple(found), control_path=path, remarks=tuple(remarks))


def _is_wanted(name: SegmentFileName, form: NameForm) -> bool:
    return form.destination is None or name.destination in (None, form.destination)


def _add_uncontrolled(
    files: Mapping[str, ListedFile],
    claimed: Mapping[str, str],
    form: NameForm,
    batches: dict[str, Batch],
    passed_over: dict[str, str],
    *,
    needs_control: bool,
) -> None:
    """What no control file lists: by the files' own names."""
    groups: dict[str, list[BatchFile]] = {}
    for path, file in files.items():
        name = path.rpartition("/")[2]
        if path in claimed or is_control_file(name):
            continue
        if is_unfinished(name):
            passed_over[path] = f"{printable(path)}: it is still being written, by its ending"
            continue
        try:
            parsed = form.parse(name)
        except DataError as error:
            # A control file would say how the name is to be read.
            awaits = needs_control and isinstance(error, AmbiguousName)
            passed_over[path] = (
                f"{printable(path)}: its control file has not come" if awaits else str(error)
            )
            continue
        if _is_wanted(parsed, form):
            groups.setdefault(parsed.root, []).append(
                BatchFile(path=path, name=parsed, size=file.size, found=file)
            )
    for root, found in groups.items():
        if needs_control or root in batches:
            why = (
                "its control file does not list it"
                if root in batches
                else "its control file has not come"
            )
            passed_over |= {file.path: f"{printable(file.path)}: {why}" for file in found}
            continue
        found.sort(key=lambda file: (file.name.split or 0, file.path))
        batches[root] = Batch(batch_id=root, files=tuple(found))


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
    days: dict[str, set[datetime]] = {}
    for batch in batches:
        if batch.timestamp is not None:
            days.setdefault(series_of(batch), set()).add(_day(batch.timestamp))
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
    seen: dict[tuple[str, str | None, datetime], int] = {}
    for batch in batches:
        if batch.timestamp is not None:
            key = (series_of(batch), batch.mode, _day(batch.timestamp))
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


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
