"""How much an ``.overwrite`` file says of its users: what it leaves out, they lose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import ByteView

_TAB: Final = ord("\t")
_COMMA: Final = ord(",")


class ItemCounts:
    r"""Counts the items of data lines, ``USERID<TAB>ITEM,ITEM,…``.

    >>> import pyarrow as pa
    >>> from airflow_am_provider.formatting.columns.byte_columns import ByteView
    >>> counts = ItemCounts()
    >>> counts.add(ByteView.of(pa.array([b"a,b\td_sid=1,d_sid=2\n", b"c\t\n"])))
    >>> counts.items, counts.lines_without_items
    (2, 1)
    """

    def __init__(self) -> None:
        self.items = 0
        self.lines_without_items = 0

    def add(self, lines: ByteView) -> None:
        """Count those of some lines, each with its newline."""
        if len(lines.offsets) < 2:
            return
        # A line has one tab, and no item has a comma in it; an ID may have some.
        tabs = np.flatnonzero(lines.data == _TAB)
        commas = np.flatnonzero(lines.data == _COMMA)
        in_ids = np.searchsorted(commas, tabs) - np.searchsorted(commas, lines.offsets[:-1])
        empty = int(np.count_nonzero(lines.offsets[1:] - tabs == len("\t\n")))
        self.items += len(commas) - int(in_ids.sum()) + len(tabs) - empty
        self.lines_without_items += empty
