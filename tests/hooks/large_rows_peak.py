"""Formats what a query gives and prints the peak of the process's memory; see test_fetched_rows.py.

The connection ``crm`` stands in the environment.
"""

from __future__ import annotations

import json
import sys
import tempfile

from airflow.sdk import BaseHook

from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
from airflow_am_provider.sources.sql import read_sql
from airflow_am_provider.storage import LocalFolder
from tests.formatting.formatting_peak import peak_mb


def main(sql: str) -> None:
    spec = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))
    with tempfile.TemporaryDirectory() as folder:
        result = format_rows(
            read_sql(BaseHook.get_hook("crm"), sql),
            DataLineWriter(spec),
            LocalFolder(folder),
            "d",
            FormatOptions(max_set_aside=1.0),
        )
    print(json.dumps([result.rows_written, result.set_aside_by_reason, peak_mb()]))


if __name__ == "__main__":
    main(sys.argv[1])
