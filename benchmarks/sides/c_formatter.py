"""The limit: a loop in C formats and checks nothing; all around it is as in the product."""

from __future__ import annotations

import ctypes
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_am_provider.audience_manager.items import signal_prefix
from airflow_am_provider.formatting.batches import MAX_ROWS
from airflow_am_provider.formatting.overlap import BackgroundWorker, prefetched
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.sources.source_files import Sources
from benchmarks.readings import Outcome
from benchmarks.rows import ATTRIBUTES, COLUMNS
from benchmarks.sides.packing import Packed
from benchmarks.sides.product import load_what_execute_imports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.readings import Stopwatch

# One that is filled, one that is written, and the two that wait in between.
_BUFFERS = 4
_READ_BYTES = 8 << 20


def format_files(stopwatch: Stopwatch, *, kind: str, url: str, library: str) -> Outcome:
    """Files to one part.

    :param library: the compiled loop.
    """
    load_what_execute_imports("aws_default")
    loop = _Loop(library, kind)
    rows = 0
    with stopwatch:
        hook = AudienceManagerHook()
        with (
            Packed(hook.staging(), "bench.gz") as part,
            closing(prefetched(_rows(hook, url, COLUMNS[kind]))) as batches,
        ):
            worker: BackgroundWorker[memoryview] = BackgroundWorker(part.write)
            for batch in batches:
                rows += batch.num_rows
                worker.put(loop.lines(batch))
            worker.close()
    return Outcome(rows=rows, bytes=part.bytes)


def _rows(hook: AudienceManagerHook, url: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All values as text, which is what a loop takes."""
    for file in Sources(hook, [url]).files():
        with file.open() as opened:
            parquet = pq.ParquetFile(opened, pre_buffer=False, buffer_size=_READ_BYTES)
            yield from parquet.iter_batches(batch_size=MAX_ROWS, columns=list(columns))


class _Loop:
    def __init__(self, library: str, kind: str) -> None:
        loaded = ctypes.CDLL(str(Path(library)))
        self._format = loaded.traits_lines if kind == "traits" else loaded.attrs_lines
        self._format.restype = ctypes.c_int64
        self._kind = kind
        self._buffers = [np.empty(0, np.uint8)] * _BUFFERS
        self._prefixes = [signal_prefix(name).encode() for name in ATTRIBUTES]

    def lines(self, batch: pa.RecordBatch) -> memoryview:
        """Format a batch; good until the fourth one after it."""
        ids, *others = [_addresses(batch.column(name)) for name in COLUMNS[self._kind]]
        if self._kind == "traits":
            # Seven bytes come for every comma, and eight for a row.
            most = 7 * batch.nbytes + 8 * batch.num_rows
            arguments: list[Any] = [*others[0]]
        else:
            most = batch.nbytes + batch.num_rows * (sum(map(len, self._prefixes)) + 2 * len(others))
            count = len(others)
            arguments = [
                ctypes.c_int64(count),
                (ctypes.c_void_p * count)(*(ends for ends, _ in others)),
                (ctypes.c_void_p * count)(*(data for _, data in others)),
                (ctypes.c_char_p * count)(*self._prefixes),
                (ctypes.c_int64 * count)(*map(len, self._prefixes)),
            ]
        buffer = self._buffers.pop(0)
        if len(buffer) < most:
            buffer = np.empty(most, np.uint8)
        self._buffers.append(buffer)
        size = self._format(
            ctypes.c_int64(batch.num_rows), *ids, *arguments, ctypes.c_void_p(buffer.ctypes.data)
        )
        return buffer.data[:size]


def _addresses(column: pa.Array) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
    """Where a column's offsets and its bytes lie."""
    assert column.type in (pa.string(), pa.binary())
    _, offsets, data = column.buffers()
    return (
        ctypes.c_void_p(offsets.address + 4 * column.offset),
        ctypes.c_void_p(data.address if data else 0),
    )
