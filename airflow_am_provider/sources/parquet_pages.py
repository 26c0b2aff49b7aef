"""How columns of a Parquet file are read in flat memory, from what its metadata says of them.

A column may be a dictionary and the number of a value for each row: few bytes in the file, and
gigabytes once each row has its value. Arrow decodes by rows, not by bytes, so such columns stay
dictionaries until batches are cut (:mod:`~airflow_am_provider.formatting.batches`).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.formatting.batches import MAX_BYTES, MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.parquet as pq

# A dictionary is read as a whole, and so is a page.
_MOST_BYTES_AS_A_WHOLE: Final = 128 << 20
# A column kept as a dictionary: more than that, and hardly a value stands twice in a batch. A
# value of its own takes four bytes for its length alone.
_MOST_BYTES_A_ROW: Final = 3
# Packed, a row's number in a dictionary of 64 Ki values takes no more. A value of its own may take
# less, but then it costs some time only. Few users in a column of IDs take less by far.
_MOST_PACKED_BYTES_A_ROW: Final = 2.1
_MOST_PACKED_BYTES_OF_FEW: Final = 1
# Values that cannot be longer unfold to no more than can be held.
_HARMLESS_BYTES: Final = 4096
_HEADER_BYTES: Final = 32
_I32_FIELD: Final = 0x15


def dictionary_columns(metadata: pq.FileMetaData, columns: Sequence[str]) -> list[str]:
    """The text columns, and the items of lists, that are read as dictionaries; by their paths.

    Those that the file keeps as small ones, since each value is worked on once; of them not the
    first one, the user ID's: few values in it mean few users. And those that could take a hundred
    times as much without.
    """
    found = []
    for name in columns:
        for path, chunks in _texts(metadata, name):
            few = all(map(_has_few_values, chunks)) and name != columns[0] and path == name
            packed = _MOST_PACKED_BYTES_OF_FEW if name == columns[0] else _MOST_PACKED_BYTES_A_ROW
            if chunks and (few or any(_may_unfold(chunk, packed) for chunk in chunks)):
                found.append(path)
    return found


def rows_per_batch(metadata: pq.FileMetaData) -> int:
    """Fewer rows at a time where they are very long."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    longest = max(
        (group.total_byte_size // group.num_rows for group in groups if group.num_rows), default=0
    )
    return max(1, min(MAX_ROWS, MAX_BYTES // max(1, longest)))


def check_page_sizes(
    file: BinaryIO, name: str, metadata: pq.FileMetaData, columns: Sequence[str]
) -> None:
    """See that nothing that is read as a whole is too large to be held.

    :param file: the Parquet file; read only where a column could have such a one.
    :param name: the file's, for the message.
    :raises DataError: when one is.
    """
    for column in columns:
        of_groups = (enumerate(chunks, start=1) for _, chunks in _texts(metadata, column))
        for number, chunk in chain.from_iterable(of_groups):
            if chunk.total_uncompressed_size <= _MOST_BYTES_AS_A_WHOLE:
                continue
            size = _dictionary_bytes(file, chunk)
            average = chunk.total_uncompressed_size // max(1, chunk.num_values)
            what = ""
            if size > _MOST_BYTES_AS_A_WHOLE:
                most = f"{_MOST_BYTES_AS_A_WHOLE:,}"
                what = f"a dictionary of {size:,} bytes, and at most {most} are held"
            elif average > limits.MAX_LINE_BYTES:
                # Writers put hundreds of values into a page before they look at its size.
                what = f"values of {average:,} bytes on average"
            if what:
                raise DataError(
                    f"source {name!r}, column {column!r}, row group {number:,}: {what}. No line is "
                    f"longer than {limits.MAX_LINE_BYTES:,} bytes (inbound-file-contents.md), so "
                    f"leave longer values out in the source"
                )


def _dictionary_bytes(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> int:
    """How large a dictionary is, unpacked."""
    if not chunk.has_dictionary_page:
        return 0
    # A page begins with its type and its sizes, in Thrift's compact form (parquet.thrift,
    # PageHeader).
    file.seek(chunk.dictionary_page_offset)
    header = iter(file.read(_HEADER_BYTES))
    sizes = [_number(header) for _ in range(2) if next(header, 0) == _I32_FIELD]
    packed = chunk.data_page_offset - chunk.dictionary_page_offset
    return int(max(packed, *sizes[1:]))


def _number(header: Iterator[int]) -> int:
    """A signed number, seven bits a byte, the lowest first."""
    value = shift = 0
    for byte in header:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1)


def _has_few_values(chunk: pq.ColumnChunkMetaData) -> bool:
    """A number of the dictionary for each row, and what the dictionary itself takes."""
    size = _MOST_BYTES_A_ROW * chunk.num_values
    return bool(chunk.has_dictionary_page and chunk.total_uncompressed_size <= size)


def _may_unfold(chunk: pq.ColumnChunkMetaData, packed_bytes_a_row: float) -> bool:
    """Whether rows seem to be numbers of a dictionary that may hold long values."""
    if not chunk.has_dictionary_page or chunk.total_uncompressed_size <= _HARMLESS_BYTES:
        return False
    dictionary = max(0, chunk.data_page_offset - chunk.dictionary_page_offset)
    rest = chunk.total_compressed_size - dictionary
    return bool(rest <= packed_bytes_a_row * chunk.num_values)


def _texts(
    metadata: pq.FileMetaData, column: str
) -> Iterator[tuple[str, list[pq.ColumnChunkMetaData]]]:
    """Where the texts of a column lie, its own or those in its lists, and all row groups of them.

    Nothing for columns of other types.
    """
    for place in range(metadata.num_columns):
        schema = metadata.schema.column(place)
        is_of_it = schema.path == column or schema.path.startswith(f"{column}.")
        if is_of_it and schema.physical_type == "BYTE_ARRAY":
            groups = range(metadata.num_row_groups)
            yield schema.path, [metadata.row_group(number).column(place) for number in groups]
