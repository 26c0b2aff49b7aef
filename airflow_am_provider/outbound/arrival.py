"""One look into an inbox: which batches are complete, and what the others wait for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.outbound.batches import (
    Batch,
    NameForm,
    QuietWatch,
    day_of,
    days_with_several,
    missing_days,
)
from airflow_am_provider.outbound.inbox import ControlFiles
from airflow_am_provider.outbound.sent_history import KEPT
from airflow_am_provider.outbound.sorting import Arrivals, Undecided, arrivals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_am_provider.audience_manager.outbound.names import SegmentFileName
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.sent_history import SentHistory
    from airflow_am_provider.storage.folder import ListedFile

_SHOWN: Final = 3
#: Adobe delivers up to 24 hours late (reporting-file-transfer-timeframe.md).
MOST_LATE: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class WantedBatches:
    """Which batches are waited for.

    :param form: how the account's files are named, and of which destination they are.
    :param day: batches made on this day in UTC, by their names; None for any.
    :param mode: ``full`` or ``iter``; None for both.
    :param needs_control: whether files wait for the control file that lists them. Accounts without
        control files need none.
    :param quiet: how long nothing of a batch without a control file may have changed, as who looks
        sees it. None takes what is there: for who follows somebody that has waited.
    """

    form: NameForm
    day: date | None = None
    mode: str | None = None
    needs_control: bool = True
    quiet: timedelta | None = None

    def has(self, batch: Batch) -> bool:
        """Whether a batch is one of them."""
        return self.has_name(batch.name)

    def has_name(self, name: SegmentFileName) -> bool:
        """Whether a file of that name is of one of them."""
        return self._has_mode(name) and self.day in (None, day_of(name))

    def is_earlier(self, name: SegmentFileName) -> bool:
        """Whether a file is of one of the eight days before the one that is waited for.

        Adobe keeps files for 8 days (faq/faq-privacy.md).
        """
        day = day_of(name)
        if self.day is None or day is None:
            return False
        return self._has_mode(name) and timedelta(0) < self.day - day <= KEPT

    def _has_mode(self, name: SegmentFileName) -> bool:
        return self.mode is None or name.mode in (None, self.mode)


@dataclass(frozen=True, kw_only=True)
class MissingDay:
    """A day of which there is no batch at all.

    :param day: ``2026-01-31``.
    :param series: whose batches; see :func:`~airflow_am_provider.outbound.batches.series_of`.
        Where the day was asked for, the destination that was asked for, or nothing.
    :param is_asked_for: whether the day was asked for; else it is a gap between days that came.
    """

    day: str
    series: str
    is_asked_for: bool = False


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen.

    :param complete: batches of which all is there, oldest first.
    :param waiting: batches of which something is missing, with what, in a sentence.
    :param passed_over: files that belong to no batch, with the reason.
    :param undecided: those of them that may be of a batch that is waited for.
    :param unlisted: those that the control file of their batch does not list, with the reason.
    :param notes: days without a batch, days with two, odd control files, and what was left behind
        on days before the one that is waited for.
    :param missing: the days without a batch.
    :param earlier: complete batches of the eight days before the one that is waited for.
    :param not_here: of the notes, what Adobe's outbound history says of batches that are not here.
    """

    complete: tuple[Batch, ...]
    waiting: tuple[tuple[Batch, str], ...]
    passed_over: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[MissingDay, ...] = ()
    not_here: tuple[str, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    unlisted: tuple[str, ...] = ()
    earlier: tuple[Batch, ...] = ()

    @property
    def batches(self) -> tuple[Batch, ...]:
        """All that were seen, complete or not."""
        return (*self.complete, *(batch for batch, _ in self.waiting))

    def is_one_on_its_way(self, now: datetime) -> bool:
        """Whether a batch waits that may still become complete by itself, seen or undecided.

        One whose files are gone, or were never sent, waits for ever; it must hold no other up.
        """
        made = [batch.timestamp for batch, _ in self.waiting]
        made += [name.timestamp for one in self.undecided for name in one.names]
        # A time to come is a mistake in a name, and would hold the others up until then.
        return any(moment is None or abs(now - moment) < MOST_LATE for moment in made)

    @property
    def in_no_batch(self) -> tuple[str, ...]:
        """Why files of Adobe's are in none of the batches, in sentences."""
        return (*(one.why for one in self.undecided), *self.unlisted)

    def __str__(self) -> str:
        parts = [counted(len(self.complete), "complete batch", "complete batches")]
        parts += [f"{batch.batch_id}: {why}" for batch, why in self.waiting[:_SHOWN]]
        if len(self.waiting) > _SHOWN:
            parts.append(f"{len(self.waiting) - _SHOWN:,} more batches wait")
        # One file of each batch that is not known yet; then how many there are in all.
        open_ones = list({one.names[0].root: one.why for one in reversed(self.undecided)}.values())
        if self.passed_over:
            files = counted(len(self.passed_over), "file is", "files are")
            such = "; ".join(open_ones[::-1][:_SHOWN] or self.passed_over[:1])
            parts.append(f"{files} in no batch, such as: {such}")
        return "; ".join(parts)


class ArrivalWatch:
    """Looks again and again; each control file is read once as long as it stays the same.

    :param inbox: where files arrive.
    :param wanted: which batches count.
    :param history: what Adobe says that it sent; None where nobody is asked.
    """

    def __init__(
        self, inbox: Inbox, wanted: WantedBatches, history: SentHistory | None = None
    ) -> None:
        self._inbox = inbox
        self._history = history
        self._wanted = wanted
        self._controls = ControlFiles(inbox)
        self._quiet = None if wanted.quiet is None else QuietWatch(wanted.quiet)

    def look(self) -> Look:
        """Look once.

        :raises TransientError: when the inbox fails.
        """
        listing = list(self._inbox.list())
        found = self._arrivals(listing)
        complete: list[Batch] = []
        waiting: list[tuple[Batch, str]] = []
        now = datetime.now(UTC)
        for batch in filter(self._wanted.has, found.batches):
            why = self._lacks(batch, now)
            if why:
                waiting.append((batch, why))
            else:
                complete.append(batch)
        not_here = tuple(self._not_here(found, listing))
        gaps = missing_days(found.batches)
        return Look(
            complete=tuple(complete),
            waiting=tuple(waiting),
            passed_over=tuple(found.passed_over[path] for path in sorted(found.passed_over)),
            undecided=tuple(
                one for one in found.undecided if any(map(self._wanted.has_name, one.names))
            ),
            earlier=tuple(
                batch
                for batch in found.batches
                if self._wanted.is_earlier(batch.name) and not batch.lacks
            ),
            unlisted=tuple(found.passed_over[path] for path in found.unlisted),
            notes=(*_notes(found.batches, gaps), *self._left_behind(found), *not_here),
            missing=tuple(self._missing(gaps, is_there=bool(complete or waiting))),
            not_here=not_here,
        )

    def _missing(self, gaps: Mapping[str, list[str]], *, is_there: bool) -> Iterator[MissingDay]:
        for series, days in gaps.items():
            yield from (MissingDay(day=day, series=series) for day in days)
        if self._wanted.day is not None and not is_there:
            destination = self._wanted.form.destination
            yield MissingDay(
                day=f"{self._wanted.day:%Y-%m-%d}",
                series="" if destination is None else str(destination),
                is_asked_for=True,
            )

    def _left_behind(self, found: Arrivals) -> Iterator[str]:
        """What is not complete of days before the one that is waited for."""
        left = {
            batch.batch_id: (batch.name, ", ".join(lacks[:_SHOWN]))
            for batch in found.batches
            if (lacks := batch.lacks)
        }
        for one in found.undecided:
            # A name that can be read in two ways says no batch.
            known = one.names[0].root if len(one.names) == 1 else printable(one.path)
            left.setdefault(known, (one.names[0], one.why))
        earlier = [
            f"{root}, of an earlier day, is not complete: {why}"
            for root, (name, why) in left.items()
            if self._wanted.is_earlier(name)
        ]
        yield from earlier[:_SHOWN]
        if len(earlier) > _SHOWN:
            yield f"{len(earlier) - _SHOWN:,} more batches of earlier days are not complete"
        if earlier:
            yield (
                "no run of a later day loads a batch of an earlier one: when it is complete, clear "
                "the tasks of its day"
            )

    def _not_here(self, found: Arrivals, listing: list[ListedFile]) -> list[str]:
        if self._history is None:
            return []
        names = {file.path.rpartition("/")[2] for file in listing}
        return self._history.notes(found.batches, names)

    def _arrivals(self, listing: list[ListedFile]) -> Arrivals:
        controls = self._controls.read(listing)
        return arrivals(
            listing, controls, self._wanted.form, needs_control=self._wanted.needs_control
        )

    def _lacks(self, batch: Batch, now: datetime) -> str:
        if lacks := batch.lacks:
            more = f" and {len(lacks) - _SHOWN:,} more" if len(lacks) > _SHOWN else ""
            return ", ".join(lacks[:_SHOWN]) + more
        if batch.control_path is None and self._quiet and not self._quiet.is_quiet(batch, now):
            return f"it has to be quiet for {self._quiet.quiet}"
        return ""


def find_batch(look: Look, batch_id: str, version: str) -> Batch:
    """The batch that was seen complete before, as it is now.

    :raises TransientError: when it is gone, not complete any more, or another one by its content.
    """
    for batch in look.complete:
        if batch.batch_id == batch_id:
            if version and batch.version != version:
                raise TransientError(
                    f"batch {batch_id}: its files are others than those that were waited for; it "
                    f"may be that it is sent again at this moment. Clear the sensor before this "
                    f"task to take it as it is now"
                )
            return batch
    waiting = [(batch.batch_id, why) for batch, why in look.waiting]
    waiting += [(name.root, one.why) for one in look.undecided for name in one.names]
    for waits, why in waiting:
        if waits == batch_id:
            raise TransientError(f"batch {batch_id}: it was complete and is not any more: {why}")
    raise ConfigurationError(
        f"batch {batch_id}: it is not there any more. Adobe keeps files for 8 days "
        f"(faq/faq-privacy.md); ask Adobe to send it again, or take another day"
    )


def left_behind(look: Look, wanted: Sequence[Batch]) -> list[Batch]:
    """Complete batches of the eight days before those that are loaded, and none of them.

    One that became complete after the run of its day is loaded by no run of a later day.
    """
    taken = {batch.batch_id for batch in wanted}
    first = min((batch.timestamp for batch in wanted if batch.timestamp), default=None)
    return [
        batch
        for batch in (*look.complete, *look.earlier)
        if first is not None
        and batch.timestamp is not None
        and batch.batch_id not in taken
        and timedelta(0) < first - batch.timestamp <= KEPT
    ]


def _notes(batches: Sequence[Batch], gaps: Mapping[str, list[str]]) -> list[str]:
    notes = [
        f"destination {series}: no batch of {', '.join(days[:_SHOWN])}"
        + (f" and {len(days) - _SHOWN:,} more days" if len(days) > _SHOWN else "")
        for series, days in gaps.items()
    ]
    notes += [
        f"destination {series}: more than one batch of {', '.join(days[:_SHOWN])}"
        for series, days in days_with_several(batches).items()
    ]
    return notes + [remark for batch in batches for remark in batch.remarks]
