"""Formats generated rows and prints the peak of the process's memory; see test_memory.py."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

# A source that hands out far too much at once.
_ROWS = 60_000


def rows(count: int, users: int) -> Iterator[pa.RecordBatch]:
    """So many rows of so many users, no two of them the same."""
    for start in range(0, count, _ROWS):
        numbers = np.arange(start, min(start + _ROWS, count))
        ids = pa.array(numbers % users).cast(pa.string())
        padded = pa.compute.utf8_lpad(ids, 160, "0")
        traits = pa.array(numbers // users + 1).cast(pa.string())
        yield pa.RecordBatch.from_arrays([padded, traits, padded], ["id", "traits", "signal"])


def main(count: int, users: int) -> None:
    spec = DataFileSpec(
        dpid=478, id_column="id", traits_columns=("traits",), signal_columns={"signal": "key"}
    )
    with tempfile.TemporaryDirectory() as folder:
        result = format_rows(
            rows(count, users), DataLineWriter(spec), LocalFolder(folder), "d", FormatOptions()
        )
    print(result.rows_written, peak_mb())


def peak_mb() -> int:
    """The most memory that this process held; getrusage would begin with what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
