"""Formats a Parquet file with long values and prints the peak of the process's memory.

See test_large_values.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
from airflow_am_provider.sources.tables import read_table
from airflow_am_provider.storage import LocalFolder
from tests.formatting.formatting_peak import peak_mb


def main(path: Path) -> None:
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"city": "city"})
    writer = DataLineWriter(spec)
    with tempfile.TemporaryDirectory() as folder, path.open("rb") as file:
        rows = read_table(file, path.name, writer.columns)
        options = FormatOptions(max_set_aside=1.0)
        result = format_rows(rows, writer, LocalFolder(folder), "d", options)
    print(json.dumps([result.rows_written, result.set_aside_by_reason, peak_mb()]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
