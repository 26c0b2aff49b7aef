"""Rows as CSV, for databases that read it in bulk."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pyarrow.csv as pcsv

from airflow_am_provider.outbound.rows import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_OPTIONS: Final = pcsv.WriteOptions(include_header=False, quoting_style="needed")


def csv_of(rows: pa.RecordBatch) -> bytes:
    """Rows of one batch as lines of CSV: quotes where they are needed, nothing for nothing."""
    sink = io.BytesIO()
    pcsv.write_csv(as_text(rows), sink, _OPTIONS)
    return sink.getvalue()


class CsvStream(io.RawIOBase):
    """Rows as one stream of CSV, for a driver that reads.

    ``error`` is what went wrong with the rows, of which a driver may keep the words alone.

    :param blocks: rows; the next ones are asked for when those before were read.
    """

    def __init__(self, blocks: Iterator[pa.RecordBatch]) -> None:
        super().__init__()
        self._blocks = blocks
        self._block = io.BytesIO()
        self.error: BaseException | None = None

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes; nothing at the end."""
        while not (data := self._block.read(size)):
            try:
                rows = next(self._blocks, None)
            except BaseException as error:
                self.error = error
                raise
            if rows is None:
                return b""
            self._block = io.BytesIO(csv_of(rows))
        return data
