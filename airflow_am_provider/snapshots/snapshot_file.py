"""Snapshots: who has which traits, as an extract said it, in a Parquet file.

Users stand in the order of :mod:`~airflow_am_provider.snapshots.user_traits`. The traits of a user
are in three lists:

- ``unchanged``: has them, and surely had them before;
- ``added``: has them, and the delivery says so;
- ``removed``: has them no more, and the delivery says so.

When the delivery is acknowledged, users have what is ``unchanged`` or ``added``. Until then they
surely have what is ``unchanged`` and may have any of the rest. The layout is public and documented
in docs/manifest.md.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import without_nulls
from airflow_am_provider.snapshots.user_traits import (
    NOBODY,
    UserTraits,
    lists_of,
    merged,
    pairs_in,
)

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_am_provider.snapshots.user_traits import Pairs
    from airflow_am_provider.storage.folder import Folder

LISTS: Final = ("unchanged", "added", "removed")
_SCHEMA: Final = pa.schema(
    [("id", pa.binary()), *((name, pa.list_(pa.uint32())) for name in LISTS)],
    # Another hash would be another order.
    metadata={"airflow_am_snapshot": "1"},
)
_USERS_AT_A_TIME: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ListMarks:
    """Which marks the pairs of each list get when a snapshot is read; 0 leaves them out."""

    unchanged: int
    added: int
    removed: int


class SnapshotWriter:
    """Writes a snapshot; it appears when the block is left without an error.

    :param storage: where to.
    :param path: the file, relative to the storage.
    """

    def __init__(self, storage: Folder, path: str) -> None:
        self._storage = storage
        self._path = path
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> SnapshotWriter:
        file = self._stack.enter_context(self._storage.open_write(self._path))
        self._writer = self._stack.enter_context(
            pq.ParquetWriter(
                file,
                _SCHEMA,
                compression="zstd",
                compression_level=1,
                use_dictionary=[f"{name}.list.element" for name in LISTS],
                write_statistics=False,
            )
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, ids: pa.Array, unchanged: Pairs, added: Pairs, removed: Pairs) -> None:
        """Write the next users, with their pairs in three lists; those without any are left out."""
        assert self._writer is not None
        lists = [lists_of(pairs, len(ids)) for pairs in (unchanged, added, removed)]
        said = np.logical_or.reduce([np.diff(to_numpy(one.offsets)) > 0 for one in lists])
        batch = pa.RecordBatch.from_arrays([ids, *lists], schema=_SCHEMA)
        if not said.all():
            batch = batch.filter(to_arrow(said))
        if batch.num_rows:
            self._writer.write_batch(batch)


class SnapshotReader:
    """Reads a snapshot in its order, some users at a time.

    :param storage: where it lies.
    :param path: the file, relative to the storage.
    :param marks: what marks its pairs get.
    :raises DataError: when it is no snapshot.
    """

    def __init__(self, storage: Folder, path: str, marks: ListMarks) -> None:
        self._where = f"{storage.url}/{path}"
        self._marks = marks
        self._stack = ExitStack()
        source = self._stack.enter_context(storage.open_read(path))
        try:
            self._file = pq.ParquetFile(source, pre_buffer=False)
            if self._file.schema_arrow.metadata.get(b"airflow_am_snapshot") != b"1":
                raise DataError("another version")
        except (pa.ArrowException, AttributeError, DataError) as error:
            self._stack.close()
            raise self._no_snapshot(str(error)) from None
        self._batches = self._file.iter_batches(_USERS_AT_A_TIME)
        self._rest = NOBODY
        self._last_hash = -1
        self._ended = False

    @property
    def nbytes(self) -> int:
        """About how much memory the whole of it would take."""
        metadata = self._file.metadata
        return sum(
            int(metadata.row_group(place).total_byte_size)
            for place in range(metadata.num_row_groups)
        )

    def below(self, bound: int | None) -> UserTraits:
        """The next users whose hash is below this; all that are left for None."""
        found = [self._rest]
        while not self._ended and (bound is None or self._last_hash < bound):
            found.append(self._next())
        users = merged(found)
        place = len(users)
        if bound is not None:
            place = int(np.searchsorted(users.hashes, np.uint64(bound)))
        self._rest = users.between(place, len(users))
        return users.between(0, place)

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()

    def _next(self) -> UserTraits:
        batch = next(self._batches, None)
        if batch is None:
            self._ended = True
            return NOBODY
        ids, *lists = batch.columns
        marks = (self._marks.unchanged, self._marks.added, self._marks.removed)
        pairs = [pairs_in(traits, mark) for traits, mark in zip(lists, marks, strict=True) if mark]
        users = UserTraits.of(
            without_nulls(ids),
            np.concatenate(pairs),
            rows=np.zeros(len(ids), np.int64),
            held=np.zeros(len(ids), bool),
        )
        if len(users):
            hashes = users.hashes
            if int(hashes[0]) < self._last_hash or (hashes[1:] < hashes[:-1]).any():
                raise self._no_snapshot("its users are not in order")
            self._last_hash = int(hashes[-1])
        return users

    def _no_snapshot(self, reason: str) -> DataError:
        return DataError(
            f"{self._where}: not a snapshot that can be read: {reason}. To begin anew with "
            f"everything as additions, and no removals, give another name for snapshot"
        )
