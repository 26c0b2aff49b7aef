"""Which row of the source each line starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Rows


class LineOrigins:
    """Remembers it for all lines of a delivery, at about one bit a row."""

    def __init__(self) -> None:
        self._first_rows: list[int] = []
        self._first_lines: list[int] = [0]
        self._bits: list[npt.NDArray[np.uint8]] = []

    def add(self, rows: Rows) -> None:
        """Remember where the next lines start, as numbers of rows from 0, ascending."""
        if rows.size == 0:
            return
        starts = np.zeros(int(rows[-1] - rows[0]) + 1, bool)
        starts[rows - rows[0]] = True
        self._first_rows.append(int(rows[0]))
        self._first_lines.append(self._first_lines[-1] + len(rows))
        self._bits.append(np.packbits(starts))

    def rows_of(self, lines: Rows) -> Rows:
        """The numbers of the rows, from 1.

        :param lines: numbers of lines from 0, ascending.
        """
        batches = np.searchsorted(self._first_lines, lines, side="right") - 1
        found = np.empty(len(lines), np.int64)
        for batch in np.unique(batches).tolist():
            here = batches == batch
            starts = np.flatnonzero(np.unpackbits(self._bits[batch]))
            found[here] = (
                self._first_rows[batch] + starts[lines[here] - self._first_lines[batch]] + 1
            )
        return found
