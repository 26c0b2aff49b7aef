"""What has changed since a snapshot: a full extract becomes lines that add and remove.

1. The extract is read and checked row by row, and put on disk in the order of its users.
2. Extract and snapshots, which have the same order, are read side by side and compared.
3. What has changed goes into parts, and with all the rest into a new snapshot.

Memory depends on what is sorted and compared in one go, never on the number of rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from airflow_am_provider.deliveries.staging import FormattedContent, attempt_folder
from airflow_am_provider.formatting.acceptance import (
    check_removed,
    check_set_aside,
    limit,
)
from airflow_am_provider.formatting.batches import bounded
from airflow_am_provider.formatting.file_names import REJECTS_FILE
from airflow_am_provider.formatting.lines.named_traits import contents_document
from airflow_am_provider.formatting.overlap import BackgroundWorker, prefetched
from airflow_am_provider.formatting.parts import PartWriter
from airflow_am_provider.formatting.pipeline import FormattedParts, write_contents
from airflow_am_provider.formatting.remarks import Remark
from airflow_am_provider.formatting.source_pass import SourcePass
from airflow_am_provider.snapshots.change_lines import change_lines
from airflow_am_provider.snapshots.comparison import NOW, Counts, compared, marked
from airflow_am_provider.snapshots.extract import Extract
from airflow_am_provider.snapshots.snapshot_file import SnapshotReader, SnapshotWriter
from airflow_am_provider.snapshots.trait_rows import TraitReader
from airflow_am_provider.snapshots.user_traits import distinct_traits, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    import pyarrow as pa

    from airflow_am_provider.deliveries.staging import DeliveryContext
    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
    from airflow_am_provider.formatting.lines.line_writer import SuppressedIds
    from airflow_am_provider.formatting.pipeline import FormatOptions
    from airflow_am_provider.snapshots.comparison import Base, Change
    from airflow_am_provider.snapshots.refresh import Refresh
    from airflow_am_provider.storage.folder import Folder

log = logging.getLogger(__name__)

_RUN_BYTES: Final = 32 << 20


@dataclass(frozen=True, kw_only=True)
class DiffOptions:
    """What bounds a comparison.

    :param max_removed: how many traits the extract may lack of any snapshot that may be in force,
        over all users: a whole number is a count, a fraction from 0.0 to 1.0 a share of them.
    :param suppression: users of whom nothing is sent, and whose traits are removed.
    :param name_traits: whether the traits that lines name are written down, for a preflight.
    :param run_bytes: how much of the extract is sorted at a time, in bytes.
    :raises ConfigurationError: when ``max_removed`` is neither.
    """

    max_removed: int | float
    suppression: SuppressedIds | None = None
    name_traits: bool = False
    run_bytes: int = _RUN_BYTES

    def __post_init__(self) -> None:
        limit("max_removed", self.max_removed, "traits")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is to be delivered, and the snapshot that holds when it is.

    :param content: the parts; none when nothing has changed, and then there is no snapshot.
    :param counts: what was found.
    """

    content: FormattedContent
    counts: Counts


def difference(
    batches: Iterable[pa.RecordBatch],
    spec: DataFileSpec,
    storage: Folder,
    options: FormatOptions,
    diff: DiffOptions,
    *,
    bases: Sequence[Base],
    snapshot: str,
    context: DeliveryContext,
    now: datetime,
    refresh: Refresh | None = None,
) -> Difference:
    """Compare a full extract with what Audience Manager may have.

    :param batches: the rows of the extract; closed at the end if it can be.
    :param spec: which columns hold what.
    :param storage: the staging location.
    :param options: how to write the parts, and how many rows may be set aside.
    :param diff: how much may be removed.
    :param bases: every state that Audience Manager may be in, the newest last; at least one.
    :param snapshot: where the new snapshot goes, relative to the storage.
    :param context: what the delivery is for: destination, window, task.
    :param now: the time, in UTC.
    :param refresh: what is said again though it still holds; nothing by default.
    :raises ConfigurationError: when the columns hold something else than traits.
    :raises DataError: when more rows are set aside or more traits removed than allowed, or a
        column holds mostly personal data. Nothing is left but the rejects file.
    """
    folder = attempt_folder("data", now)
    run = _Run(spec, storage, options, diff, snapshot, folder, refresh)
    with run.tidied():
        result, counts = run.all(batches, bases)
    # Lines suppose what the deliveries before them have left: their order counts in any case.
    content = FormattedContent(
        file_kind=spec.file_kind.packed(options.encoding),
        removes=True,
        context=context,
        folder=folder,
        result=result,
    )
    return Difference(content=content, counts=counts)


class _Run(SourcePass):
    """One comparison."""

    def __init__(
        self,
        spec: DataFileSpec,
        storage: Folder,
        options: FormatOptions,
        diff: DiffOptions,
        snapshot: str,
        folder: str,
        refresh: Refresh | None,
    ) -> None:
        super().__init__(storage, folder, f"{folder}/{REJECTS_FILE}")
        self._file_kind = spec.file_kind
        self._reader = TraitReader(spec, NOW, diff.suppression)
        self._options = options
        self._diff = diff
        self._snapshot = snapshot
        self._refresh = refresh
        self._parts = PartWriter(
            storage,
            f"{folder}/parts",
            options.encoding,
            options.sizes,
            recipient=options.recipient,
        )
        self._counts = Counts()
        self._said: set[int] = set()
        self._removed: set[int] = set()

    def all(
        self, batches: Iterable[pa.RecordBatch], bases: Sequence[Base]
    ) -> tuple[FormattedParts, Counts]:
        with closing(Extract(NOW, run_bytes=self._diff.run_bytes)) as extract:
            # A user's traits may fill several lines.
            rows = bounded(batches, self._reader.columns, whole_values=True)
            with closing(prefetched(rows)) as read:
                for batch in read:
                    self._take(batch, extract)
            self._watch.check()
            check_set_aside(self._rejects.counts, self._rows_read, self._options.max_set_aside)
            log.info(
                "Read: %s rows, %s of them set aside; comparing",
                f"{self._rows_read:,}",
                f"{self._rejects.total:,}",
            )
            self._compare(extract, bases)
        if not self._parts.parts:
            # The states that were possible are one, and it is the one that holds now.
            self._storage.delete(self._snapshot)
        result = FormattedParts(
            rows_read=self._rows_read,
            rows_written=self._rows_read - self._rejects.total,
            rows_set_aside=self._rejects.total,
            set_aside_by_reason={rule.value: n for rule, n in sorted(self._rejects.counts.items())},
            remarks=self._remarks(
                self._diff.suppression,
                +Counter({Remark.FULL_PROFILES.value: self._counts.full_profiles}),
            ),
            parts=tuple(self._parts.parts),
            text_sha256=self._parts.text_sha256,
            rejects=self._rejects.close(),
            max_set_aside=self._options.max_set_aside,
            contents=write_contents(self._storage, self._folder, self._contents),
        )
        return result, self._counts

    @property
    def _contents(self) -> dict[str, Any] | None:
        if not self._diff.name_traits:
            return None
        return contents_document(self._file_kind, self._said, self._removed)

    def _clean_up(self, end_rejects: Callable[[], object]) -> None:
        with ExitStack() as stack:
            stack.callback(self._put_away, end_rejects)
            stack.callback(self._put_away, self._parts.discard)
            stack.callback(self._put_away, lambda: self._storage.delete(self._snapshot))

    def _take(self, batch: pa.RecordBatch, extract: Extract) -> None:
        read = self._reader.read(batch)
        self._count(read.codes, read.ids, read.personal_data)
        extract.add(read.users)

    def _compare(self, extract: Extract, bases: Sequence[Base]) -> None:
        """Write parts and snapshot; the snapshot appears when not too much is removed."""
        snapshots, states, measures = marked(bases)
        with ExitStack() as stack:
            readers = []
            for path, marks in snapshots:
                readers.append(SnapshotReader(self._storage, path, marks))
                stack.callback(readers[-1].close)
            snapshot = stack.enter_context(SnapshotWriter(self._storage, self._snapshot))

            def write(users: pa.Array, change: Change) -> None:
                # In order, so that a user has one line for both.
                said = np.sort(np.concatenate((change.added, change.refreshed)))
                self._parts.write(change_lines(users, said, change.removed))
                if self._diff.name_traits:
                    self._said.update(distinct_traits(said))
                    self._removed.update(distinct_traits(change.removed))
                snapshot.write(users, change.unchanged, change.added, change.removed)

            worker: BackgroundWorker[tuple[pa.Array, Change]] = BackgroundWorker(
                lambda some: write(*some)
            )
            stack.callback(worker.abandon)
            for bound, users in extract.shares(sum(reader.nbytes for reader in readers)):
                everybody = merged([users, *(reader.below(bound) for reader in readers)])
                change = compared(everybody, states, measures, self._refresh)
                self._counts += change.counts
                worker.put((everybody.ids, change))
            worker.close()
            self._parts.close()
            # Against each that may be in force: whichever loses more.
            for lost, before in zip(
                self._counts.traits_lost, self._counts.traits_before, strict=True
            ):
                check_removed(lost, before, self._diff.max_removed)
