"""Quotation marks of a CSV file: one that is not closed would hide all rows after it.

Arrow takes the end of a file within quotes for the end of the field, and a mark in the middle of
a field for text, or the other way round when one is missing before it. Here every mark has to
begin or to end a field, or to stand for one by being doubled within quotes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from airflow_am_provider.audience_manager.errors import DataError

_MARK: Final = 34
_NEWLINE: Final = b"\n"


class QuoteCheck:
    """Looks at the bytes of a CSV file as they are read.

    :param name: the file, for the message.
    :param delimiter: what separates its fields.
    """

    def __init__(self, name: str, delimiter: str) -> None:
        self._name = name
        self._marks = 0
        self._lines = 1
        self._opened_in = 0
        # The last byte looked at, and one that waits for the byte after it.
        self._kept = _NEWLINE
        self._beside = np.zeros(256, bool)
        self._beside[[_MARK, 10, 13, ord(delimiter)]] = True

    def see(self, data: bytes | memoryview) -> None:
        """Look at the next bytes.

        :raises DataError: when a mark stands where none may.
        """
        text = self._kept + bytes(data)
        if len(text) > 2:
            if text.find(b'"', 1, -1) >= 0:
                self._look(text)
            self._lines += text.count(_NEWLINE, 1, -1)
            text = text[-2:]
        self._kept = text

    def end(self) -> None:
        """Look at the last byte.

        :raises DataError: when a mark was never closed.
        """
        self.see(_NEWLINE)
        if self._marks % 2:
            raise DataError(
                f"source {self._name!r}: the quotation mark in line {self._opened_in:,} is never "
                f"closed, which would hide all rows after it; close it, or double it within quotes"
            )

    def _look(self, text: bytes) -> None:
        found = np.frombuffer(text, np.uint8)
        places = np.flatnonzero(found[1:-1] == _MARK) + 1
        is_opening = (self._marks + np.arange(len(places))) % 2 == 0
        beside = found[np.where(is_opening, places - 1, places + 1)]
        wrong = places[~self._beside[beside]]
        if wrong.size:
            line = self._lines + text.count(_NEWLINE, 1, int(wrong[0]))
            raise DataError(
                f"source {self._name!r}: the quotation mark in line {line:,} neither begins nor "
                f"ends a field, so where rows end is not certain; quote the whole field and double "
                f"the marks in it, or look for one that is not closed before it"
            )
        self._marks += len(places)
        last = places[is_opening]
        if last.size:
            self._opened_in = self._lines + text.count(_NEWLINE, 1, int(last[-1]))
