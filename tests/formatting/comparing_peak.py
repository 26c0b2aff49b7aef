"""Compares two generated extracts and prints the peak of the process's memory; see test_memory.py.

All users have other traits in the second one, and a tenth of them another ID.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.deliveries.staging import DeliveryContext
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.snapshots.comparison import Base
from airflow_am_provider.snapshots.difference import DiffOptions, difference
from airflow_am_provider.storage import LocalFolder
from tests.formatting.formatting_peak import peak_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

# About as many as sources hand out at once.
_ROWS = 8_192


def rows(count: int, day: int) -> Iterator[pa.RecordBatch]:
    """So many users, with three traits each."""
    for start in range(0, count, _ROWS):
        numbers = np.arange(start, min(start + _ROWS, count))
        users = numbers + np.where(numbers % 10 == 0, day * count, 0)
        ids = pc.utf8_lpad(pa.array(users).cast(pa.string()), 200, "0")
        traits = [pa.array(1000 * k + numbers % 9 + day).cast(pa.string()) for k in (1, 2, 3)]
        text = pc.binary_join_element_wise(*traits, ",")
        yield pa.RecordBatch.from_arrays([ids, text], ["id", "traits"])


def main(count: int) -> None:
    spec = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))
    with tempfile.TemporaryDirectory() as folder:
        for day, base in ((0, None), (1, "day-0")):
            found = difference(
                rows(count, day),
                spec,
                LocalFolder(folder),
                FormatOptions(),
                DiffOptions(max_removed=1.0),
                bases=[Base(path=base)],
                snapshot=f"day-{day}",
                context=DeliveryContext(destination="beta/acme"),
                now=datetime(2026, 3, 1, tzinfo=UTC),
            )
    print(found.counts.rows_changed, peak_mb())


if __name__ == "__main__":
    main(int(sys.argv[1]))
