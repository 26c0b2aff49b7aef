"""The files that rows are read from, told apart by how their names end."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

PARQUET: Final = (".parquet", ".pq")
CSV: Final = (".csv", ".csv.gz")
# Tabs between the fields, whatever the delimiter of CSV files is.
TSV: Final = (".tsv", ".tsv.gz")
READABLE: Final = (*PARQUET, *CSV, *TSV)
_WILD = re.compile(r"[*?]")


def is_readable(path: str) -> bool:
    """Whether a file that was found in a folder is one to read rows from.

    Hidden ones are not: what other programs keep for themselves, such as Spark's ``_temporary``.

    :param path: relative to that folder.

    >>> is_readable("day/part-0.PARQUET"), is_readable("_temporary/0/part-0.parquet")
    (True, False)
    """
    names = path.split("/")
    return not any(name.startswith((".", "_")) for name in names) and path.lower().endswith(
        READABLE
    )


def nothing_readable(source: str) -> str:
    """Say that a folder or a pattern has no file to read rows from."""
    return f"source {source!r}: no file there that ends in {', '.join(READABLE)}"


def is_pattern(path: str) -> bool:
    """Whether it stands for several names: with ``*`` or ``?``, as in a shell."""
    return _WILD.search(path) is not None


def beginning_of(pattern: str) -> str:
    """What each name begins with that a pattern stands for.

    >>> beginning_of("crm-*.csv")
    'crm-'
    """
    return _WILD.split(pattern)[0]


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern stands for a path; brackets mean themselves, and ``*`` is within a folder.

    >>> matches("crm-[1].csv", "crm-[1]*"), matches("old/crm.csv", "*.csv")
    (True, False)
    """
    return "/" not in path and fnmatchcase(path, pattern.replace("[", "[[]"))
