"""The files that rows are read from, told apart by how their names end."""

from __future__ import annotations

from typing import Final

PARQUET: Final = (".parquet", ".pq")
CSV: Final = (".csv", ".csv.gz")
# Tabs between the fields, whatever the delimiter of CSV files is.
TSV: Final = (".tsv", ".tsv.gz")
READABLE: Final = (*PARQUET, *CSV, *TSV)
