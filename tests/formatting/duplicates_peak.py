"""Formats rows of which most are there twice or more, and prints the peak of the process's memory.

See test_memory.py.
"""

from __future__ import annotations

import sys
import tempfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
from airflow_am_provider.storage import LocalFolder
from tests.formatting.formatting_peak import peak_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 8_192


def rows(count: int, distinct: int) -> Iterator[pa.RecordBatch]:
    """So many rows, drawn from so many different ones."""
    drawn = np.random.default_rng(7)
    for start in range(0, count, _ROWS):
        numbers = pa.array(drawn.integers(0, distinct, min(_ROWS, count - start)))
        ids = pc.utf8_lpad(numbers.cast(pa.string()), 400, "0")
        yield pa.RecordBatch.from_arrays([ids, numbers.cast(pa.string())], ["id", "signal"])


def main(count: int, distinct: int) -> None:
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"signal": "key"})
    with tempfile.TemporaryDirectory() as folder:
        result = format_rows(
            rows(count, distinct), DataLineWriter(spec), LocalFolder(folder), "d", FormatOptions()
        )
    assert result.set_aside_by_reason["duplicate_line"] == count - result.rows_written
    assert result.rows_written <= distinct
    print(result.rows_read, peak_mb())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
