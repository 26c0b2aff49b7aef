"""Puts what lies in an inbox together to batches: pure functions of its listing.

Nothing is guessed. A file that may be of a batch, while nothing says so yet, is undecided: its
batch is not complete, and is waited for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.names import (
    EXTENSIONS,
    AmbiguousName,
    control_root,
    digits_of,
    finished_name,
    is_control_file,
    is_unfinished,
)
from airflow_am_provider.outbound.batches import Batch, BatchFile, series_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_am_provider.audience_manager.outbound.control_files import ControlFile
    from airflow_am_provider.audience_manager.outbound.names import SegmentFileName
    from airflow_am_provider.outbound.batches import NameForm
    from airflow_am_provider.storage.folder import ListedFile

_SHOWN: Final = 5
_NO_FIRST: Final = (
    "the first file, which has no part's number, has not come (if what was read as a part's number "
    "is the end of a timestamp, say timestamp_digits)"
)
_HYPHENED_ONE: Final = re.compile(r"-0*1(?!\d)")


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """A file of which nothing says yet to which batch it belongs, or whether that has all.

    :param path: where it lies, relative to the inbox.
    :param why: why it is in no batch, in a sentence.
    :param names: each way in which its name can be read.
    """

    path: str
    why: str
    names: tuple[SegmentFileName, ...]


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What a look into an inbox has shown.

    :param batches: oldest first.
    :param passed_over: files that belong to no batch, with the reason in a sentence.
    :param undecided: those of them that may belong to one.
    :param unlisted: those of them that the control file of their batch does not list.
    """

    batches: tuple[Batch, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)
    undecided: tuple[Undecided, ...] = ()
    unlisted: tuple[str, ...] = ()


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
    sorter = _Sorter({file.path: file for file in listing}, form, needs_control=needs_control)
    for path in sorted(controls):
        sorter.add_control(path, controls[path])
    sorter.add_uncontrolled()
    return sorter.sorted()


class _Sorter:
    """What is known so far; control files come first."""

    def __init__(
        self, files: Mapping[str, ListedFile], form: NameForm, *, needs_control: bool
    ) -> None:
        self._files = files
        self._form = form
        self._needs_control = needs_control
        self._batches: dict[str, Batch] = {}
        # The batch that lists each file.
        self._listed: dict[str, str] = {}
        self._unread_roots: set[str] = set()
        self._passed_over: dict[str, str] = {}
        self._undecided: list[Undecided] = []

    def add_control(self, path: str, control: ControlFile | DataError) -> None:
        """A control file, or why it cannot be read."""
        try:
            if isinstance(control, DataError):
                raise control
            batch = _controlled(path, control, self._files, self._form)
        except DataError as error:
            names = _names_of_control(path, self._form)
            self._unread_roots.update(name.root for name in names)
            self._leave_open(path, str(error), names)
            return
        if not _is_wanted(batch.name, self._form):
            return
        other = self._batches.setdefault(batch.batch_id, batch)
        if _paths(other) != _paths(batch):
            why = (
                f"{printable(path)}: it lists other files of the batch {batch.batch_id} than "
                f"{printable(str(other.control_path))}; the batch waits until one of them is gone"
            )
            self._passed_over[path] = why
            self._unsettle(batch.batch_id, why)
        else:
            self._batches[batch.batch_id] = replace(batch, unsettled=other.unsettled)
        self._claim(batch)

    def add_uncontrolled(self) -> None:
        """What no control file lists: by the files' own names."""
        groups: dict[str, list[BatchFile]] = {}
        for path, file in self._files.items():
            name = path.rpartition("/")[2]
            if path in self._listed or is_control_file(name):
                continue
            if is_unfinished(name):
                why = f"{printable(path)}: it is still being written, by its ending"
                self._leave_open(path, why, _names_of(finished_name(path), self._form))
                continue
            parsed = self._name(path)
            if parsed is None:
                continue
            if self._needs_control or parsed.root in self._batches:
                self._leave_open(path, self._waits(path, (parsed,)), (parsed,))
            elif _is_wanted(parsed, self._form):
                groups.setdefault(parsed.root, []).append(
                    BatchFile(path=path, name=parsed, size=file.size, found=file)
                )
        self._batches |= _by_names(groups)

    def _name(self, path: str) -> SegmentFileName | None:
        """What a file's own name says; without one reading, None, and it is told why."""
        name = path.rpartition("/")[2]
        try:
            return self._form.parse(name)
        except AmbiguousName as error:
            names = self._form.readings(name)
            # A control file would say how the name is to be read.
            waits = self._needs_control
            self._leave_open(path, self._waits(path, names) if waits else str(error), names)
        except DataError as error:
            self._passed_over[path] = str(error)
        return None

    def sorted(self) -> Arrivals:
        """What it has come to."""
        undecided, unlisted = [], []
        for one in self._undecided:
            batches = [self._batches.get(root) for root in {name.root for name in one.names}]
            if all(batch is not None and batch.control_path is not None for batch in batches):
                # Its batch is known to have all without it.
                unlisted += [one.path] * (not is_unfinished(one.path))
                continue
            undecided.append(one)
            for batch in batches:
                if batch is not None and batch.control_path is None:
                    # It may be the very file that was missed.
                    others = tuple(why for why in batch.unsettled if why != _NO_FIRST)
                    self._batches[batch.batch_id] = replace(batch, unsettled=others)
                    self._unsettle(batch.batch_id, one.why)
        return Arrivals(
            batches=tuple(sorted(self._batches.values(), key=_order)),
            passed_over=self._passed_over,
            undecided=tuple(undecided),
            unlisted=tuple(unlisted),
        )

    def _leave_open(self, path: str, why: str, names: tuple[SegmentFileName, ...]) -> None:
        wanted = tuple(name for name in names if _is_wanted(name, self._form))
        if wanted or not names:
            self._passed_over[path] = why
        if wanted:
            self._undecided.append(Undecided(path=path, why=why, names=wanted))

    def _waits(self, path: str, names: Sequence[SegmentFileName]) -> str:
        """Why a file is in no batch where control files say what is."""
        roots = {name.root for name in names}
        if roots <= self._batches.keys():
            return f"{printable(path)}: its control file does not list it"
        if roots & self._unread_roots:
            return f"{printable(path)}: its control file cannot be read yet"
        return f"{printable(path)}: its control file has not come"

    def _claim(self, batch: Batch) -> None:
        """Say which batch has a file; no file is loaded with two."""
        for file in batch.files:
            root = self._listed.setdefault(file.path, batch.batch_id)
            if root != batch.batch_id:
                one, other = self._batches[root], self._batches[batch.batch_id]
                why = (
                    f"{printable(file.path)} is listed by {printable(str(one.control_path))} and "
                    f"by {printable(str(other.control_path))}; both batches wait until one of the "
                    f"two is gone"
                )
                self._unsettle(root, why)
                self._unsettle(batch.batch_id, why)

    def _unsettle(self, batch_id: str, why: str) -> None:
        batch = self._batches[batch_id]
        # Whoever may write into the folder can make many.
        if len(batch.unsettled) < _SHOWN and why not in batch.unsettled:
            self._batches[batch_id] = replace(batch, unsettled=(*batch.unsettled, why))


def _order(batch: Batch) -> tuple[datetime, str]:
    return batch.timestamp or datetime.min.replace(tzinfo=UTC), batch.batch_id


def _paths(batch: Batch) -> list[str]:
    return sorted(file.path for file in batch.files)


def _is_wanted(name: SegmentFileName, form: NameForm) -> bool:
    return form.destination is None or name.destination in (None, form.destination)


def _names_of(path: str, form: NameForm) -> tuple[SegmentFileName, ...]:
    """How the name of a file can be read, a control file's too."""
    name = path.rpartition("/")[2]
    return _names_of_control(path, form) if is_control_file(name) else form.readings(name)


def _names_of_control(path: str, form: NameForm) -> tuple[SegmentFileName, ...]:
    """Which batch a control file is of by its own name; none where that says none."""
    name = path.rpartition("/")[2]
    digits = digits_of(name)
    for extension in EXTENSIONS:
        try:
            return (form.parse(f"{control_root(name)}.{extension}", digits),)
        except DataError:
            continue
    return ()


def _controlled(
    path: str, control: ControlFile, files: Mapping[str, ListedFile], form: NameForm
) -> Batch:
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
    root = roots.pop()
    remarks = list(control.remarks)
    if root != control_root(control.name):
        remarks.append(f"{printable(path)}: its files are named {printable(root)}, which counts")
    return Batch(batch_id=root, files=tuple(found), control_path=path, remarks=tuple(remarks))


def _by_names(groups: Mapping[str, list[BatchFile]]) -> dict[str, Batch]:
    """Batches of files that have no control file: what their numbers show to be missing."""
    batches = {}
    for root, files in groups.items():
        files.sort(key=lambda file: (file.name.split or 0, file.path))
        unsettled = (*_gaps([file.name.split for file in files]), *_doubles(files))
        batches[root] = Batch(batch_id=root, files=tuple(files), unsettled=unsettled)
    from_one = _series_from_one(batches.values())
    for root, batch in batches.items():
        if not _has_first(batch) and series_of(batch) not in from_one:
            batches[root] = replace(batch, unsettled=(_NO_FIRST, *batch.unsettled))
    return batches


def _has_first(batch: Batch) -> bool:
    """Whether the first file is there: it has no number (outbound-file-name-contents.md)."""
    return any(file.name.split is None for file in batch.files)


def _series_from_one(batches: Iterable[Batch]) -> set[str]:
    """Series whose parts are ``-1``, ``-2`` from the first on: transfer-control-files.md has some.

    One batch may as well lack its first file; two show it, where none has a file without a number.
    """
    firsts: dict[str, list[bool]] = {}
    for batch in batches:
        is_from_one = batch.name.split == 1 and bool(_HYPHENED_ONE.search(batch.name.text))
        firsts.setdefault(series_of(batch), []).append(is_from_one)
    return {series for series, found in firsts.items() if len(found) > 1 and all(found)}


def _gaps(splits: Sequence[int | None]) -> list[str]:
    """Numbers left out between the parts; how many there are, nothing says."""
    numbers = {split for split in splits if split is not None}
    missing = sorted(set(range(1, max(numbers, default=0))) - numbers)
    shown = ", ".join(f"{number:03d}" for number in missing[:_SHOWN])
    return [f"part {shown}{' and others' * (len(missing) > _SHOWN)} has not come"] * bool(missing)


def _doubles(files: Sequence[BatchFile]) -> list[str]:
    """Files that are the same part, such as packed and not."""
    by_part: dict[int | None, list[str]] = {}
    for file in files:
        by_part.setdefault(file.name.split, []).append(printable(file.path))
    return [
        f"{' and '.join(paths[:_SHOWN])} are one part; one of them has to go"
        for paths in by_part.values()
        if len(paths) > 1
    ]
