"""A whole extract on disk, in the order of users, whatever order its rows came in.

So many users as memory has room for are sorted and written as a run, cut into shares by the hash
of the user ID. Read back, a share is that of all runs together. Memory depends on the size of a
run and of a share, and not on the number of rows.
"""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import without_nulls
from airflow_am_provider.formatting.repeats.hash_file import temporary_file
from airflow_am_provider.snapshots.user_traits import (
    NOBODY,
    UserTraits,
    lists_of,
    merged,
    pairs_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As many as a billion users need to be a few hundred thousand each.
_MOST_SHARES: Final = 1024
_SHARE_BYTES: Final = 8 << 20
_SCHEMA: Final = pa.schema(
    [
        ("id", pa.binary()),
        ("rows", pa.int64()),
        ("held", pa.bool_()),
        ("traits", pa.list_(pa.uint32())),
    ]
)


class Extract:
    """Collects users and their traits, and gives them back in order.

    :param mark: the mark of all pairs.
    :param run_bytes: how much is sorted at a time; this bounds the memory.
    """

    def __init__(self, mark: int, *, run_bytes: int) -> None:
        self.nbytes = 0
        self._mark = mark
        self._run_bytes = run_bytes
        self._waiting: list[UserTraits] = []
        self._waiting_bytes = 0
        # Which batches of the file each share is in, one of each run.
        self._batches: list[list[int]] = [[] for _ in range(_MOST_SHARES)]
        self._written = 0
        # Closed, and so deleted, with this object.
        self._file = temporary_file()
        # Batches are too small to be worth a thread for each column.
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        self._writer = pa.ipc.new_file(self._file, _SCHEMA, options=options)

    def add(self, users: UserTraits) -> None:
        """Take more users, in any order."""
        self._waiting.append(users)
        self._waiting_bytes += users.nbytes
        if self._waiting_bytes >= self._run_bytes:
            self._write_run()

    def shares(self, more_bytes: int = 0) -> Iterator[tuple[int | None, UserTraits]]:
        """All users in order, some at a time.

        :param more_bytes: how much will be merged with them, of which a share is merged at a time.
        :return: for each share the hash that all users of it are below, None for the last, and
            the users.
        """
        self._write_run()
        self._writer.close()
        options = pa.ipc.IpcReadOptions(use_threads=False)
        reader = pa.ipc.open_file(self._file, options=options)
        count = 1
        while count < _MOST_SHARES and count * _SHARE_BYTES < self.nbytes + more_bytes:
            count *= 2
        each = _MOST_SHARES // count
        for share in range(count):
            numbers = chain.from_iterable(self._batches[share * each : (share + 1) * each])
            batches = [reader.get_batch(number) for number in numbers]
            bound = None if share == count - 1 else _bound((share + 1) * each)
            yield bound, _read(batches, self._mark)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _write_run(self) -> None:
        if not self._waiting:
            return
        users = merged(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        bounds = np.array([_bound(number) for number in range(1, _MOST_SHARES)], np.uint64)
        places = [0, *np.searchsorted(users.hashes, bounds).tolist(), len(users)]
        for share, (start, stop) in enumerate(pairwise(places)):
            if start < stop:
                batch = _batch(users.between(start, stop))
                self.nbytes += batch.nbytes
                self._writer.write_batch(batch)
                self._batches[share].append(self._written)
                self._written += 1


def _bound(number: int) -> int:
    """The hash that shares before this one are below."""
    return number * ((1 << 64) // _MOST_SHARES)


def _batch(users: UserTraits) -> pa.RecordBatch:
    traits = lists_of(users.pairs, len(users))
    columns = [users.ids, to_arrow(users.rows), to_arrow(users.held), traits]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _read(batches: list[pa.RecordBatch], mark: int) -> UserTraits:
    whole = pa.Table.from_batches(batches, _SCHEMA).combine_chunks()
    if not whole.num_rows:
        return NOBODY
    ids, rows, held, traits = (column.chunk(0) for column in whole.columns)
    users = UserTraits.of(
        without_nulls(ids),
        pairs_in(traits, mark),
        rows=to_numpy(rows),
        held=to_numpy(held),
    )
    return merged([users])
