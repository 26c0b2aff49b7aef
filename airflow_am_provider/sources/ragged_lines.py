"""Which line of a CSV file has more or fewer fields than the first, so that it can be mended.

Arrow stops there and counts rows at best, some of which are several lines. So the file is read once
more, by what counts lines; that is slower, and only done when it failed.
"""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.sources.encodings import UTF_8

if TYPE_CHECKING:
    from collections.abc import Iterator


def ragged(
    file: BinaryIO, name: str, delimiter: str, encoding: str, expected: int, found: int
) -> DataError:
    """The error for such a line.

    :param file: the file; where it cannot be read once more, no number is said.
    :param name: its name; ``.gz`` at the end is unpacked.
    :param delimiter: what separates its fields.
    :param encoding: of its text.
    :param expected: how many fields the first line has.
    :param found: how many the other one has.
    """
    line = "a line"
    # What is wrong was said already; nothing of reading it once more may hide that.
    with suppress(OSError, EOFError, ValueError, csv.Error):
        number = next(_numbers(file, name, delimiter, encoding, expected), None)
        line = line if number is None else f"line {number:,}"
    fields = "1 field" if found == 1 else f"{found:,} fields"
    return DataError(
        f"source {name!r}: {line} has {fields}, but the first line has {expected:,}; mend it: "
        f"quote fields with {delimiter!r} in them, and close what is quoted"
    )


def _numbers(
    file: BinaryIO, name: str, delimiter: str, encoding: str, expected: int
) -> Iterator[int]:
    file.seek(0)
    raw: io.RawIOBase = _Kept(file)
    if name.lower().endswith(".gz"):
        raw = cast("io.RawIOBase", gzip.GzipFile(fileobj=io.BufferedReader(raw)))
    # A mark at the start is no part of the first field, which may be quoted.
    encoding = "utf-8-sig" if encoding == UTF_8 else encoding
    with io.TextIOWrapper(io.BufferedReader(raw), encoding, errors="replace", newline="") as text:
        rows = csv.reader(text, delimiter=delimiter)
        before = 0
        for row in rows:
            if row and len(row) != expected:
                yield before + 1
            before = rows.line_num


class _Kept(io.RawIOBase):
    """A file that stays open when who reads it is done."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
