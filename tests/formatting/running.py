"""Running the engine on small sources and looking at what it leaves."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions, FormattedParts, format_rows
from tests.formatting.memory_folder import MemoryFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_am_provider.formatting.lines.line_writer import LineWriter

TRAITS = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))


@dataclass
class Done:
    """A run's result and everything that lies in its storage."""

    result: FormattedParts
    storage: MemoryFolder

    @property
    def texts(self) -> list[bytes]:
        contents = [self.storage.files[part.path] for part in self.result.parts]
        return [gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw for raw in contents]

    @property
    def text(self) -> bytes:
        return b"".join(self.texts)

    @property
    def rejects(self) -> list[dict[str, str]]:
        return rejects(self.storage)


def rejects(storage: MemoryFolder, path: str = "d/rejects.csv") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(storage.files.get(path, b"").decode())))


def table(rows: Sequence[Sequence[Any]], names: Sequence[str] = ("id", "traits")) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names)


def users(count: int, start: int = 0, traits: str = "24") -> pa.RecordBatch:
    """Good rows, each ID once."""
    return table([(f"user-{start + number:07d}", traits) for number in range(count)])


def in_pieces(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def run(
    source: Iterable[pa.RecordBatch],
    writer: LineWriter | None = None,
    storage: MemoryFolder | None = None,
    **options: Any,
) -> Done:
    storage = storage or MemoryFolder()
    result = format_rows(
        source, writer or DataLineWriter(TRAITS), storage, "d", FormatOptions(**options)
    )
    return Done(result, storage)
