"""Verdicts on files that Audience Manager sent: segment files, Customer Data Feeds, control files.

A control file stands for all that it lists. A file that none of those named lists is looked at by
itself: its size, its checksum and its lines are then held against nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError, DataError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.outbound.feeds import feed_folder, is_feed_file
from airflow_am_provider.audience_manager.outbound.names import (
    MILLISECONDS,
    MODES,
    AmbiguousName,
    SegmentFileName,
    finished_name,
    is_control_file,
    is_unfinished,
)
from airflow_am_provider.cli.sources import folder_at
from airflow_am_provider.cli.text import Colour, coloured, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_am_provider.cli.sources import Source
    from airflow_am_provider.outbound.arrival import Look
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.counts import ReadCounts
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.layout import Layout

_SEGMENTS: Final = "segments"
_FEED: Final = "feed"
_NOT_LISTED: Final = (
    "it is not looked into, and no load reads it: it is a link, or its name is not safe, such as "
    "one with a line break"
)


def is_from_adobe(name: str) -> bool:
    """Whether a name is one that Audience Manager gives to what it sends.

    >>> is_from_adobe("S3_1234_20914_full_1768953600000.sync"), is_from_adobe("AAM_CDF_7_0_0.gz")
    (True, True)
    >>> is_from_adobe("ftp_dpm_478_1366545717.sync"), is_from_adobe("ftp_478_1366545717.sync")
    (False, False)
    """
    name = finished_name(name)
    return is_control_file(name) or is_feed_file(name) or _segment_name(name) is not None


def facts_of(batch: Batch) -> dict[str, Any]:
    """What a batch is, by its name and its files."""
    made = batch.timestamp
    return {
        "batch": batch.batch_id,
        "destination": batch.name.destination,
        "made": None if made is None else f"{made:%Y-%m-%d %H:%M:%S}",
        "mode": batch.mode,
        "files": len(batch.files),
        "bytes": batch.size,
    }


def batch_verdict(inbox: Inbox, batch: Batch, layout: Layout) -> dict[str, Any]:
    """Read a batch of segment files.

    :param inbox: where it lies.
    :param layout: how its lines are made.
    """
    from airflow_am_provider.outbound.reading import read_batch

    def read(counts: ReadCounts) -> Iterator[object]:
        return read_batch(inbox, batch, counts, layout)

    return _verdict(_SEGMENTS, batch, read)


def is_good(verdict: dict[str, Any]) -> bool:
    """Whether nothing of a batch is wrong."""
    return not verdict["problem"] and not verdict["set_aside"]


def verdict_lines(verdict: dict[str, Any]) -> Iterator[str]:
    """A verdict for people."""
    word = coloured("ok", Colour.GOOD) if is_good(verdict) else coloured("WRONG", Colour.BAD)
    aside = sum(verdict["set_aside"].values())
    yield (
        f"{verdict['batch']}: {word}: {counted(verdict['lines_read'], 'line')} read = "
        f"{verdict['lines_good']:,} good + {aside:,} to be set aside"
    )
    if verdict["problem"]:
        yield f"  {verdict['problem']}"
    for reason in verdict["reasons"]:
        yield f"  {reason}"
    if verdict["control_file"] is None and not verdict["problem"]:
        yield "  no control file says which size and checksum it has to have"
    elif verdict["without_checksum"]:
        files = counted(verdict["without_checksum"], "file")
        yield f"  {files} without a checksum that can be one; sizes are right"


def verdicts_on(sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
    """Verdicts on files that Audience Manager sent, folder by folder.

    :param sources: files whose names :func:`is_from_adobe` knows.
    """
    by_folder: dict[str, list[Source]] = {}
    for source in sources:
        by_folder.setdefault(source.path.rpartition("/")[0], []).append(source)
    for parent, here in by_folder.items():
        yield from _Folder(parent).verdicts([source.file_name for source in here])


class _Folder:
    """One folder of what Adobe sent; folders in it are others."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inbox = folder_at(path or ".", asked_by="PATH")
        self._listed = {file.path: file for file in self._inbox.list() if "/" not in file.path}

    def verdicts(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """On each batch of a control file that is named, and on what none of them lists."""
        claimed: set[str] = set()
        for name in names:
            if name not in self._listed:
                yield _unread(printable(name), _SEGMENTS, _NOT_LISTED)
        names = [name for name in names if name in self._listed]
        for name in filter(is_control_file, names):
            kind, batch, problem = self._controlled(name)
            if batch is None:
                yield _unread(name, kind, problem)
            elif not claimed.issuperset(files := {file.path for file in batch.files}):
                # Else it is another control file of the same batch.
                claimed |= files
                yield self._of(kind, batch)
        for name in names:
            if is_control_file(name) or name in claimed:
                continue
            if is_unfinished(name):
                yield _unread(name, _SEGMENTS, "it is still being written, by its ending")
            else:
                yield self._of(*self._alone(name))

    def _controlled(self, name: str) -> tuple[str, Batch | None, str]:
        """The batch of a control file; without one, why not."""
        from airflow_am_provider.outbound.feed import hour_batch
        from airflow_am_provider.outbound.inbox import ControlFiles

        own = self._listed[name]
        control = ControlFiles(self._inbox).read([own])[name]
        if isinstance(control, DataError):
            return _SEGMENTS, None, str(control)
        if any(is_feed_file(listed) for listed in control.names):
            hour = feed_folder(f"{self._path}/{name}")
            title = name if hour is None else f"{hour:%Y-%m-%dT%H}"
            batch, why = hour_batch(title, list(self._listed.values()), {name: control})
            return _FEED, batch, why
        for found in self._look.batches:
            if found.control_path == name or {file.path for file in found.files} == control.names:
                return _SEGMENTS, found, ""
        others = [why for why in self._look.passed_over if printable(name) in why]
        return _SEGMENTS, None, others[0] if others else "it lists no files of a batch"

    @cached_property
    def _look(self) -> Look:
        """What is there, seen once for all control files of segment files."""
        from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
        from airflow_am_provider.outbound.batches import NameForm

        return ArrivalWatch(self._inbox, WantedBatches(form=NameForm())).look()

    def _alone(self, name: str) -> tuple[str, Batch]:
        """One file as a batch of its own."""
        from airflow_am_provider.outbound.batches import Batch, BatchFile

        file, found = self._listed[name], _segment_name(name)
        kind = _FEED if found is None else _SEGMENTS
        parsed = found or SegmentFileName(text=name, root=name, packing="gz")
        one = BatchFile(path=name, name=parsed, size=file.size, found=file)
        return kind, Batch(batch_id=name, files=(one,))

    def _of(self, kind: str, batch: Batch) -> dict[str, Any]:
        from airflow_am_provider.outbound.feed import read_hour
        from airflow_am_provider.outbound.layout import BASIC

        if kind == _SEGMENTS:
            return batch_verdict(self._inbox, batch, BASIC)
        return _verdict(kind, batch, lambda counts: read_hour(self._inbox, batch, counts))


def _verdict(
    kind: str, batch: Batch, read: Callable[[ReadCounts], Iterator[object]]
) -> dict[str, Any]:
    from airflow_am_provider.outbound.counts import ReadCounts

    counts, problem = ReadCounts(), "; ".join(batch.lacks) or None
    if problem is None:
        try:
            for _ in read(counts):
                pass
        except AudienceManagerError as error:
            problem = str(error)
    return {
        "kind": kind,
        **facts_of(batch),
        "control_file": batch.control_path,
        "lines_read": counts.lines_read,
        "lines_good": counts.lines_loaded,
        "set_aside": dict(counts.set_aside),
        "examples": counts.examples,
        "reasons": [str(reason) for reason in counts.reasons()],
        "without_checksum": counts.unchecked,
        "problem": problem,
    }


def _unread(name: str, kind: str, problem: str) -> dict[str, Any]:
    """A verdict on what cannot be looked into."""
    return {
        "kind": kind,
        "batch": name,
        "control_file": None,
        "lines_read": 0,
        "lines_good": 0,
        "set_aside": {},
        "reasons": [],
        "without_checksum": 0,
        "problem": problem,
    }


def _segment_name(name: str) -> SegmentFileName | None:
    """A segment file's name that says its mode; all else may be a misspelt name of another kind."""
    # Where digits can be read in two ways, it does not matter here which is right.
    for digits in (None, MILLISECONDS):
        try:
            found = SegmentFileName.parse(name, timestamp_digits=digits)
        except AmbiguousName:
            continue
        except DataError:
            return None
        return found if found.mode in MODES else None
    return None
