"""Rows from Parquet and CSV files, in column batches."""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.formatting.columns.headers import checked_columns, checked_csv_columns
from airflow_am_provider.sources.encodings import MARK_BYTES, UTF_8, encoding_of
from airflow_am_provider.sources.file_kinds import CSV, PARQUET, READABLE, TSV
from airflow_am_provider.sources.parquet_pages import (
    check_page_sizes,
    dictionary_columns,
    rows_per_batch,
)
from airflow_am_provider.sources.quotes import QuoteCheck
from airflow_am_provider.sources.ragged_lines import ragged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CSV_BLOCK_BYTES: Final = 8 << 20
_STRADDLING: Final = "straddling object"
_CSV_COLUMNS: Final = re.compile(r"Expected ([0-9]+) columns, got ([0-9]+)")
_PARQUET_PIECE_BYTES: Final = 8 << 20
_HEAD_BYTES: Final = 1 << 20


def read_table(
    file: BinaryIO,
    name: str,
    columns: Sequence[str] | None,
    *,
    delimiter: str = ",",
    encoding: str = UTF_8,
    row_groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a Parquet or CSV file.

    :param file: the file; Parquet needs one that can seek.
    :param name: its name, which tells the format by one of the ends in
        :mod:`~airflow_am_provider.sources.file_kinds`.
    :param columns: the columns that are needed; None for the only one there is.
    :param delimiter: what separates the fields of a CSV file.
    :param encoding: what a CSV file's text is encoded in, by a name that Python knows. What begins
        with a byte order mark of UTF-16 is read as that.
    :param row_groups: which row groups of a Parquet file; all by default.
    :raises ConfigurationError: for other formats, or when a column is missing.
    :raises DataError: when the file is damaged.
    """
    lowered = name.lower()
    if lowered.endswith(PARQUET):
        reader = read_parquet(file, name, columns, row_groups=row_groups)
    elif lowered.endswith((*CSV, *TSV)):
        tabs = lowered.endswith(TSV)
        delimiter = "\t" if tabs else delimiter
        reader = read_csv(file, name, columns, delimiter=delimiter, encoding=encoding)
    else:
        raise ConfigurationError(
            f"source {name!r}: the format follows from the name, which must end in "
            f"{', '.join(READABLE[:-1])} or {READABLE[-1]}"
        )
    try:
        yield from reader
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, csv.Error) as error:
        raise _damaged(name, error) from None
    except OSError as error:
        # Arrow's own, for what cannot be unpacked, have no number; the system's have.
        if error.errno is not None:
            raise
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> DataError:
    # Arrow quotes the text it stumbled over, which may be personal data: only its words up to
    # the first colon are kept.
    reason = str(error).split(":")[0]
    if reason.startswith(_STRADDLING):
        return DataError(
            f"source {name!r}: a row of more than {_CSV_BLOCK_BYTES:,} bytes; no line is longer "
            f"than {limits.MAX_LINE_BYTES:,} (inbound-file-contents.md). Leave the row out, or see "
            f"whether a quotation mark is not closed"
        )
    return DataError(f"source {name!r}: the file is damaged or not what its name says: {reason}")


def read_parquet(
    file: BinaryIO,
    name: str,
    columns: Sequence[str] | None,
    *,
    row_groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file, only the columns that are needed."""
    # Arrow would fetch the whole file ahead, and hold it. Here it reads each column piece by piece;
    # between two columns a buffer of the file's own would be fetched in vain.
    raw = file.raw if isinstance(file, io.BufferedReader) else file
    opened = partial(pq.ParquetFile, raw, pre_buffer=False, buffer_size=_PARQUET_PIECE_BYTES)
    parquet = opened()
    columns = checked_columns(parquet.schema_arrow.names, name, columns)
    check_page_sizes(raw, name, parquet.metadata, columns)
    dictionaries = dictionary_columns(parquet.metadata, columns)
    if dictionaries:
        parquet = opened(metadata=parquet.metadata, read_dictionary=dictionaries)
    yield from parquet.iter_batches(
        batch_size=rows_per_batch(parquet.metadata),
        columns=list(columns),
        row_groups=None if row_groups is None else list(row_groups),
        use_threads=False,
    )


def read_csv(
    file: BinaryIO,
    name: str,
    columns: Sequence[str] | None,
    *,
    delimiter: str = ",",
    encoding: str = UTF_8,
) -> Iterator[pa.RecordBatch]:
    """Read a CSV file with a header. Fields are taken as bytes; nothing is guessed.

    An empty field is no value. Quoted fields may hold newlines.
    """
    stream: pa.NativeFile = pa.PythonFile(file, mode="r")
    if name.lower().endswith(".gz"):
        stream = pa.CompressedInputStream(stream, "gzip")
    if len(delimiter) != 1 or not delimiter.isascii():
        raise ConfigurationError(
            f"delimiter: {delimiter!r} is not one character; for tabs give a tab itself, or name "
            f"the file .tsv"
        )
    start = _read(stream, MARK_BYTES)
    encoding = encoding_of(start, encoding)
    if encoding != UTF_8:
        joined = pa.PythonFile(_Rejoined(start, stream.read), mode="r")
        stream, start = pa.transcoding_input_stream(joined, encoding, UTF_8), b""
    quotes = QuoteCheck(name, delimiter)
    try:
        head, stream = _peeked(start, stream, quotes)
        columns = checked_csv_columns(head, name, columns, delimiter=delimiter)
        yield from _parsed(stream, columns, delimiter)
    except UnicodeDecodeError as error:
        if "BOM" in error.reason:
            # Newer Pythons say so what older ones say with a plain UnicodeError.
            raise _without_mark(name, encoding) from None
        raise DataError(
            f"source {name!r}: it is not {encoding}: it has bytes that mean nothing there; name "
            f"another encoding"
        ) from None
    except UnicodeError:
        raise _without_mark(name, encoding) from None
    except pa.ArrowInvalid as error:
        counts = _CSV_COLUMNS.search(str(error))
        if counts is None:
            raise
        expected, found = int(counts[1]), int(counts[2])
        raise ragged(file, name, delimiter, encoding, expected, found) from None
    quotes.end()


def _without_mark(name: str, encoding: str) -> DataError:
    """UTF-16 without its mark: nothing tells which of two bytes comes first."""
    return DataError(
        f"source {name!r}: it is not {encoding}: it does not begin with a byte order mark; name "
        f"'{encoding}-le' or '{encoding}-be', or what else it is"
    )


def _parsed(
    stream: pa.NativeFile, columns: Sequence[str], delimiter: str
) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,
            include_columns=list(columns),
            column_types={column: pa.binary() for column in columns},
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=[""],
        ),
    ) as reader:
        yield from reader


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were looked at already."""

    def __init__(
        self,
        head: bytes,
        rest: Callable[[int], bytes],
        see: Callable[[memoryview], object] | None = None,
    ) -> None:
        super().__init__()
        self._head = head
        self._rest = rest
        self._see = see

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]  # the base class types it so
        count = min(len(self._head), len(target))
        target[:count] = self._head[:count]
        self._head = self._head[count:]
        # Filled up, so that the same file is always cut into the same batches.
        while count < len(target) and (data := self._rest(len(target) - count)):
            target[count : count + len(data)] = data
            count += len(data)
        if self._see is not None:
            self._see(target[:count])
        return count


def _read(stream: pa.NativeFile, size: int) -> bytes:
    head = b""
    while len(head) < size and (data := stream.read(size - len(head))):
        head += data
    return head


def _peeked(start: bytes, stream: pa.NativeFile, quotes: QuoteCheck) -> tuple[bytes, pa.NativeFile]:
    head = start + _read(stream, _HEAD_BYTES - len(start))
    if 0 < len(head) < _HEAD_BYTES and not head.endswith((b"\n", b"\r")):
        # Arrow takes a header without a line end for a damaged file.
        head += b"\n"
    # Exports of some tools start with a byte order mark, which is not part of a name.
    head = head.removeprefix(b"\xef\xbb\xbf")
    return head, pa.PythonFile(_Rejoined(head, stream.read, quotes.see), mode="r")
