"""Rows in, parts out: reading, checking, formatting, compressing and uploading overlap.

Memory is bounded by a few batches, whatever the number of rows.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import DataFileKind, Encoding, Mode
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.formatting.acceptance import (
    ENOUGH_VALUES,
    check_set_aside,
    limit,
)
from airflow_am_provider.formatting.batches import bounded
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.checks import CODE_OF
from airflow_am_provider.formatting.file_names import CONTENTS_FILE, REJECTS_FILE
from airflow_am_provider.formatting.lines.item_counts import ItemCounts
from airflow_am_provider.formatting.overlap import BackgroundWorker, prefetched
from airflow_am_provider.formatting.parts import PartSizes, PartWriter, WrittenPart
from airflow_am_provider.formatting.progress import Pace, duration
from airflow_am_provider.formatting.repeats.bits import Bits
from airflow_am_provider.formatting.repeats.exact_repeats import user_ids
from airflow_am_provider.formatting.repeats.line_origins import LineOrigins
from airflow_am_provider.formatting.repeats.repeat_finder import RepeatFinder
from airflow_am_provider.formatting.source_pass import SourcePass
from airflow_am_provider.formatting.user_lines import UserLines
from airflow_am_provider.formatting.waiting_lines import WaitingLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.formatting.columns.checks import Codes
    from airflow_am_provider.formatting.columns.row_hash import Hashes
    from airflow_am_provider.formatting.lines.line_writer import FormattedBatch, LineWriter
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.formatting.text_copy import TextCopy
    from airflow_am_provider.storage.folder import Folder

log = logging.getLogger(__name__)

DEFAULT_MAX_SET_ASIDE: Final = 0.01
_DUPLICATE: Final = np.uint8(CODE_OF[Rule.DUPLICATE_LINE])
_TOO_MANY: Final = np.uint8(CODE_OF[Rule.TOO_MANY_LINES_PER_USER])


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """How to write parts, whatever stands in them.

    :param encoding: gzip (the default), plain or PGP.
    :param sizes: where to split.
    :param max_set_aside: how many rows may be set aside: a whole number is a count, a
        fraction from 0.0 to 1.0 a share of the rows read. Duplicates and rows without items
        do not count, since nothing is lost with them.
    :param is_partition: whether the rows are a share of a source's: a few of them say nothing about
        a column, and ``max_set_aside`` is what holds for all shares together, so it is kept and not
        checked.
    :param recipient: who can read files that are encrypted by PGP.
    :raises ConfigurationError: when ``max_set_aside`` is neither, or nobody could read the files.
    """

    encoding: Encoding = Encoding.GZIP
    sizes: PartSizes = field(default_factory=PartSizes)
    max_set_aside: int | float = DEFAULT_MAX_SET_ASIDE
    is_partition: bool = False
    recipient: Recipient | None = None

    def __post_init__(self) -> None:
        limit("max_set_aside", self.max_set_aside)
        if self.encoding.is_encrypted and self.recipient is None:
            raise ConfigurationError(
                f"compression: {self.encoding.value!r} needs the recipient's public key; name it "
                f"and its fingerprint (inbound-file-encryption.md)"
            )


@dataclass(frozen=True, kw_only=True)
class FormattedParts:
    """What lies in the storage when all rows went through.

    Rows read = rows written + rows set aside.

    :param parts: the parts, in their order; none when no row was written.
    :param text_sha256: checksum of all their text, which tells whether content is the same
        wherever it is split and whatever packed it.
    :param rejects: path of the rejects file, or None.
    :param max_set_aside: how many rows of the delivery might be set aside: a count, or a share.
    :param items: how many items all lines of an ``.overwrite`` have; None of other files.
    :param lines_without_items: how many of its lines have none, and so empty a user; None of
        other files.
    :param contents: path of the file that names the traits, or None when nobody asked for it.
    :param remarks: counts of what is worth a look and keeps no row out, by
        :class:`~airflow_am_provider.formatting.remarks.Remark`.
    """

    rows_read: int
    rows_written: int
    rows_set_aside: int
    set_aside_by_reason: dict[str, int]
    parts: tuple[WrittenPart, ...]
    text_sha256: str
    rejects: str | None
    max_set_aside: int | float
    items: int | None = None
    lines_without_items: int | None = None
    contents: str | None = None
    remarks: dict[str, int] = field(default_factory=dict)


def format_rows(
    batches: Iterable[pa.RecordBatch],
    writer: LineWriter,
    storage: Folder,
    folder: str,
    options: FormatOptions,
    *,
    rejects: str | None = None,
) -> FormattedParts:
    """Write the parts of a delivery.

    :param batches: the source's rows; closed at the end if it can be, as a generator can.
    :param writer: what turns them into lines.
    :param storage: where the parts go.
    :param folder: the folder for them, relative to the storage.
    :param rejects: the file for what is set aside, relative to the storage; by default
        in the folder.
    :raises DataError: when more rows are set aside than ``max_set_aside`` allows, or a
        column holds mostly personal data. Nothing is left but the rejects file, which is what a
        person needs to find out why; the message says where it is.

    After any other error nothing is left at all.
    """
    run = _Run(writer, storage, folder, options, rejects or f"{folder}/{REJECTS_FILE}")
    with run.tidied():
        return run.all(batches)


def write_contents(storage: Folder, folder: str, contents: dict[str, Any] | None) -> str | None:
    """Write down what a delivery says, without its users; give back where.

    :param storage: the staging location.
    :param folder: the folder of the attempt.
    :param contents: what it says, or None where nobody wants to know.
    """
    if contents is None:
        return None
    path = f"{folder}/{CONTENTS_FILE}"
    storage.write_bytes(path, json.dumps(contents).encode())
    return path


class _Run(SourcePass):
    """One pass over a source."""

    def __init__(
        self,
        writer: LineWriter,
        storage: Folder,
        folder: str,
        options: FormatOptions,
        rejects: str,
    ) -> None:
        super().__init__(storage, folder, rejects)
        self._writer = writer
        self._options = options
        self._lines = WaitingLines(partial(self._part_writer, "parts"), storage, options.encoding)
        # There when repeated lines have to be taken out.
        self._without_repeats: PartWriter | None = None
        self._worker: BackgroundWorker[tuple[pa.Array, Hashes, bool]] = BackgroundWorker(
            self._write
        )
        self._repeats = RepeatFinder(
            1 if writer.one_line_per_user else writer.max_lines_per_user,
            joins_lines=writer.joins_lines,
        )
        self._users = UserLines(self._repeats) if writer.joins_lines else None
        self._origins = LineOrigins()
        self._pace = Pace()

    def all(self, batches: Iterable[pa.RecordBatch]) -> FormattedParts:
        with closing(prefetched(bounded(batches, self._writer.columns))) as read:
            for batch in read:
                self._take(self._writer.format(batch))
        last = self._writer.finish()
        if last is not None:
            self._take(last)
        self._watch.check(at_least=ENOUGH_VALUES if self._options.is_partition else 1)
        self._worker.close()
        self._lines.end()
        if self._users is not None:
            self._join_lines(self._users)
        else:
            self._take_out_repeats()
        self._repeats.close()
        if not self._options.is_partition:
            check_set_aside(self._rejects.counts, self._rows_read, self._options.max_set_aside)
        rejects = self._rejects.close()
        self._report_progress("Formatted")
        parts = self._parts
        return FormattedParts(
            rows_read=self._rows_read,
            rows_written=self._rows_read - self._rejects.total,
            rows_set_aside=self._rejects.total,
            set_aside_by_reason={rule.value: n for rule, n in sorted(self._rejects.counts.items())},
            remarks=self._remarks(self._writer.suppression, +self._writer.remarks),
            parts=tuple(parts.parts),
            text_sha256=parts.text_sha256,
            rejects=rejects,
            max_set_aside=self._options.max_set_aside,
            contents=write_contents(self._storage, self._folder, self._writer.contents),
            items=None if parts.counts is None else parts.counts.items,
            lines_without_items=(
                None if parts.counts is None else parts.counts.lines_without_items
            ),
        )

    def _clean_up(self, end_rejects: Callable[[], object]) -> None:
        # The last one is done first, and each whatever becomes of the others.
        with ExitStack() as stack:
            stack.callback(self._repeats.close)
            stack.callback(self._put_away, end_rejects)
            stack.callback(self._put_away, self._lines.discard)
            if self._without_repeats is not None:
                stack.callback(self._put_away, self._without_repeats.discard)
            stack.callback(self._worker.abandon)

    @property
    def _parts(self) -> PartWriter:
        return self._without_repeats or self._lines.parts

    def _write(self, some: tuple[pa.Array, Hashes, bool]) -> None:
        lines, hashes, repeat = some
        self._lines.write(lines, hashes, repeat=repeat)

    def _part_writer(self, folder: str, copy: TextCopy | None = None) -> PartWriter:
        kind = self._writer.file_kind
        overwrites = isinstance(kind, DataFileKind) and kind.mode is Mode.OVERWRITE
        return PartWriter(
            self._storage,
            f"{self._folder}/{folder}",
            self._options.encoding,
            self._options.sizes,
            ItemCounts() if overwrites else None,
            recipient=self._options.recipient,
            copy=copy,
        )

    def _take(self, batch: FormattedBatch) -> None:
        self._origins.add(batch.line_rows + self._rows_read)
        self._count(batch.codes, batch.ids, batch.personal_data, batch.more_ids)
        if self._users is not None:
            self._users.note(batch.codes, batch.ids)
        if len(batch.lines):
            hashes = self._repeats.observe(batch.lines, batch.line_ids)
            self._worker.put((batch.lines, hashes, self._repeats.found_some))
        if self._pace.is_due():
            self._report_progress("So far")

    def _join_lines(self, users: UserLines) -> None:
        """Write the parts with one line of each user, where some have several."""
        if self._lines.are_parts and not self._repeats.has_several():
            return
        log.info("Joining the lines of users who have several")
        second = self._without_repeats = self._part_writer("parts-joined")
        with closing(prefetched(users.joined(self._lines))) as joined:
            for some in joined:
                for rule, numbers, ids in some.refused:
                    self._refuse(rule, numbers, ids)
                second.write(some.lines)
        second.close()
        self._lines.discard()

    def _refuse(self, rule: Rule, numbers: Rows, ids: pa.Array) -> None:
        """Set lines of users aside of whom none is sent."""
        self._rejects.add(
            self._origins.rows_of(numbers),
            np.full(len(numbers), CODE_OF[rule], np.uint8),
            lambda some: ids.filter(to_arrow(some)),
        )

    def _take_out_repeats(self) -> None:
        """Set repeated lines aside, and write the parts without them."""
        duplicates, too_many = Bits(len(self._repeats)), Bits(len(self._repeats))
        for found in self._lines.repeats(self._repeats):
            if self._writer.one_line_per_user and len(found.too_many):
                raise self._not_in_order(int(found.first_lines[0]), int(found.too_many[0]))
            duplicates.add(found.duplicates)
            too_many.add(found.too_many)
        if self._lines.are_parts and not duplicates and not too_many:
            return
        log.info("Taking repeated lines out of the parts")
        second = self._without_repeats = self._part_writer("parts-without-repeats")
        number = 0
        with closing(prefetched(self._lines.read())) as read:
            for lines, order in read:
                start, number = number, number + len(lines)
                some = any(bits.may_hold_any(start, number) for bits in (duplicates, too_many))
                if self._lines.are_parts and not some:
                    second.write(lines)
                    continue
                numbers = np.arange(start, number)
                codes = np.where(duplicates.holds(numbers), _DUPLICATE, np.uint8(0))
                codes[too_many.holds(numbers)] = _TOO_MANY
                out = codes != 0
                if out.any():
                    self._set_aside(lines, order[out], numbers[out], codes[out])
                second.write(lines.take(to_arrow(order[~out])))
        second.close()
        self._lines.discard()

    def _set_aside(self, lines: pa.Array, places: Rows, numbers: Rows, codes: Codes) -> None:
        """Set lines aside.

        :param lines: these and others.
        :param places: where they are among them.
        :param numbers: their numbers in the delivery.
        """
        self._rejects.add(
            self._origins.rows_of(numbers),
            codes,
            lambda some: user_ids(lines.take(to_arrow(places[some]))),
        )

    def _not_in_order(self, *some: int) -> DataError:
        lines = np.array(sorted(some), np.int64)
        first, second = self._origins.rows_of(lines).tolist()
        return DataError(
            f"rows {first:,} and {second:,}: the same CRM ID, with others between them. All hashed "
            f"e-mails of a CRM ID stand on one line, so its rows must follow each other: add ORDER "
            f"BY {self._writer.columns[0]} (people-based-destinations-workflow-combined.md)"
        )

    def _report_progress(self, what: str) -> None:
        seconds = max(time.monotonic() - self._pace.begun, 0.001)
        log.info(
            "%s: %s read, %s of them set aside, %s, in %s (%s rows/s)",
            what,
            counted(self._rows_read, "row"),
            f"{self._rejects.total:,}",
            counted(len(self._parts.parts), "file"),
            duration(seconds),
            f"{self._rows_read / seconds:,.0f}",
        )
