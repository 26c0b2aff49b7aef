"""Readable output: aligned columns, thousands separators, colour where somebody looks."""

from __future__ import annotations

import json
import os
import sys
from enum import Enum
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.words import counted as counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RESET: Final = "\x1b[0m"


class Colour(Enum):
    """Colours with a meaning."""

    GOOD = "\x1b[32m"
    BAD = "\x1b[31m"
    DOUBTFUL = "\x1b[33m"


def coloured(text: str, colour: Colour) -> str:
    """Colour a text, on a terminal and unless ``NO_COLOR`` is set (no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"{colour.value}{text}{_RESET}"


def number(value: int | None) -> str:
    """A count with thousands separators; a dash where it is not known.

    >>> number(40669900), number(None)
    ('40,669,900', '-')
    """
    return "-" if value is None else f"{value:,}"


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: str | Sequence[str] = ""
) -> list[str]:
    r"""Align columns.

    :param headers: the columns' headers.
    :param rows: the cells.
    :param right: the headers of the columns that are aligned to the right; one text with spaces
        between them where they have none themselves.

    >>> print(*table(["file", "lines"], [["a", "1,000"], ["bc", "7"]], right="lines"), sep="\n")
    file  lines
    a     1,000
    bc        7
    """
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    named = right.split() if isinstance(right, str) else right
    to_right = [header in named for header in headers]
    return [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in lines
    ]


def as_json(document: object) -> str:
    """A document as JSON."""
    return json.dumps(document, indent=2)


def print_json(document: object) -> None:
    """Print a document as JSON, and nothing else."""
    print(as_json(document))
