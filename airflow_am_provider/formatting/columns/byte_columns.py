"""Columns as bytes: whatever type the source gives, every later step sees its text, byte for byte.

Text columns are not decoded, trimmed or normalised. Numbers, dates and the like become
their plain text. A floating-point column is refused as an ID: it would turn ``1001`` into
``1001.0`` or ``1.2e+17``, and the wrong person would be written. So is a decimal column with digits
after the point, which would be sent as ``1001.00``, and what holds no IDs at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.formatting.columns.arrow import text_scalar, to_arrow, to_numpy
from airflow_am_provider.formatting.columns.headers import like
from airflow_am_provider.formatting.columns.type_words import plural

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The column of that name.

    :raises ConfigurationError: when there is none, or more than one.
    """
    found = batch.schema.get_all_field_indices(name)
    if len(found) == 1:
        return batch.column(found[0])
    if found:
        raise ConfigurationError(
            f"column {name!r}: the source has it {len(found)} times; rename one"
        )
    # Names may be data, as of a file without a header that a database reads.
    raise ConfigurationError(
        f"column {name!r}: the source has no such column among its {len(batch.schema.names):,}"
        f"{like(name, batch.schema.names)}"
    )


def as_bytes(array: pa.Array, name: str, *, is_id: bool = False) -> pa.Array:
    """A column as an Arrow ``binary`` array; nulls stay null.

    :param array: the column, of any scalar type.
    :param name: its name, for messages.
    :param is_id: whether it holds IDs, which must not come as floating-point numbers, decimals with
        digits after the point or truth values.
    :raises ConfigurationError: when the type has no plain text.
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage if not isinstance(array.type, pa.UuidType) else _uuid_text(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    kind = array.type
    _check_type(kind, name, is_id=is_id)
    if is_text(kind):
        return array if kind == pa.binary() else array.cast(pa.binary())
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.binary())
    if pa.types.is_nested(kind):
        raise ConfigurationError(
            f"column {name!r}: {plural(kind)} have no plain text; only columns of traits or ic "
            f"codes may be lists"
        )
    try:
        return array.cast(pa.string()).cast(pa.binary())
    except pa.ArrowNotImplementedError:
        raise ConfigurationError(
            f"column {name!r}: {plural(kind)} have no plain text; cast the column to text in the "
            f"source"
        ) from None


def _check_type(kind: pa.DataType, name: str, *, is_id: bool) -> None:
    if pa.types.is_duration(kind):
        raise ConfigurationError(
            f"column {name!r}: a length of time would be sent as a number without its unit; "
            f"make a number or text of it in the source"
        )
    if not is_id:
        return
    if pa.types.is_floating(kind):
        raise ConfigurationError(
            f"column {name!r}: IDs come as floating-point numbers, which changes them; "
            f"cast the column to text or to an integer in the source"
        )
    if pa.types.is_decimal(kind) and kind.scale:
        raise ConfigurationError(
            f"column {name!r}: IDs come as decimals, which changes them, as 1001 to "
            f"1001.00; cast the column to an integer in the source"
        )
    if pa.types.is_boolean(kind):
        raise ConfigurationError(
            f"column {name!r}: IDs come as truth values, which are none; name another column"
        )


def is_list(array: pa.Array) -> bool:
    """Whether each value is a list."""
    return bool(
        pa.types.is_list(array.type)
        or pa.types.is_large_list(array.type)
        or pa.types.is_fixed_size_list(array.type)
    )


def without_nulls(array: pa.Array) -> pa.Array:
    """Empty text for each null of a ``binary`` array."""
    if array.null_count == 0:
        return array
    _, offsets, data = array.buffers()
    if data is not None:
        lengths = np.diff(np.frombuffer(offsets, np.int32)[array.offset :][: len(array) + 1])
        if not lengths[to_numpy(array.is_null())].any():
            # Nulls have no bytes, so they need only be called something else.
            buffers = [None, offsets, data]
            return pa.Array.from_buffers(pa.binary(), len(array), buffers, offset=array.offset)
    return array.fill_null(text_scalar(b""))


def empty_to_null(array: pa.Array) -> pa.Array:
    """Empty text means the same as none: nothing is said.

    Only the validity bits are new; nothing is copied. Arrow's own ``if_else`` is not used on
    text: before Arrow 24 it reads past the end of sliced arrays, and foreign memory is written.
    """
    filled = without_nulls(array)
    return with_empty_as_null(filled, ByteView.of(filled))


def with_empty_as_null(array: pa.Array, view: ByteView) -> pa.Array:
    """The same for an array without nulls that is looked at already."""
    said = view.lengths > 0
    if said.all():
        return array
    bits = np.packbits(np.concatenate((np.zeros(array.offset, bool), said)), bitorder="little")
    _, offsets, data = array.buffers()
    return pa.Array.from_buffers(
        pa.binary(), len(array), [pa.py_buffer(bits), offsets, data], offset=array.offset
    )


def with_rows(array: pa.Array, rows: npt.NDArray[np.bool_], values: pa.Array) -> pa.Array:
    """The array with other values in some rows.

    :param array: a ``binary`` array.
    :param rows: which rows; as many as there are values.
    :param values: what stands in them, in their order.
    """
    # Arrow has functions for this, but those on text are not to be trusted before Arrow 24.
    places = np.arange(len(array))
    places[rows] = len(array) + np.arange(len(values))
    return pa.concat_arrays([array, values]).take(to_arrow(places))


@dataclass(frozen=True)
class ByteView:
    """The bytes of a ``binary`` array without nulls, for looking at all rows at once.

    :param data: the bytes of all rows, one after the other.
    :param offsets: where each row starts in ``data``, and where the last one ends.
    """

    data: Bytes
    offsets: Rows

    @classmethod
    def of(cls, array: pa.Array) -> ByteView:
        """Look at an array without copying it.

        The bytes of nulls are undefined in Arrow, so nulls must have been filled.
        """
        assert array.null_count == 0
        _, offset_buffer, data_buffer = array.buffers()
        places = np.frombuffer(offset_buffer, np.int32)
        offsets = places[array.offset : array.offset + len(array) + 1].astype(np.int64)
        start, end = offsets[[0, -1]].tolist()
        if start:
            offsets -= start
        if data_buffer is None:
            return cls(np.empty(0, np.uint8), offsets)
        return cls(np.frombuffer(data_buffer, np.uint8)[start:end], offsets)

    @cached_property
    def lengths(self) -> Rows:
        """Bytes in each row."""
        return np.diff(self.offsets)

    def rows_where(self, hits: Marks) -> Marks:
        """Which rows hold a byte that is marked.

        :param hits: for each byte of ``data``, whether it is.
        """
        rows = np.zeros(len(self.lengths), bool)
        count = np.count_nonzero(hits)
        if count == 0:
            return rows
        if count < len(rows):
            rows[np.searchsorted(self.offsets, np.flatnonzero(hits), side="right") - 1] = True
        else:
            filled = self.lengths > 0
            rows[filled] = np.logical_or.reduceat(hits, self.offsets[:-1][filled])
        return rows

    @cached_property
    def first_bytes(self) -> Bytes:
        """The first byte of each row; 0 for an empty one."""
        return self._byte_of_each(self.offsets[:-1])

    @cached_property
    def last_bytes(self) -> Bytes:
        """The last byte of each row; 0 for an empty one."""
        return self._byte_of_each(self.offsets[1:] - 1)

    def _byte_of_each(self, places: Rows) -> Bytes:
        if self.data.size == 0:
            return np.zeros(len(places), np.uint8)
        found = self.data.take(places, mode="clip")
        found[self.lengths == 0] = 0
        return found


def stretches(data: Bytes, starts: Rows, ends: Rows, end: int) -> pa.Array:
    """Stretches of bytes that follow each other and do not overlap, as a ``binary`` array.

    :param data: bytes.
    :param starts: where each begins.
    :param ends: where each ends.
    :param end: where the bytes end that are looked at.

    >>> data = np.frombuffer(b"ab,cd,", np.uint8)
    >>> stretches(data, np.array([0, 3]), np.array([2, 5]), 6).to_pylist()
    [b'ab', b'cd']
    """
    offsets = np.empty(2 * len(starts) + 1, np.int32)
    offsets[:-1:2], offsets[1::2], offsets[-1] = starts, ends, end
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    both = pa.Array.from_buffers(pa.binary(), 2 * len(starts), buffers)
    return both.take(to_arrow(np.arange(0, 2 * len(starts), 2)))


def is_text(kind: pa.DataType) -> bool:
    """Whether values are text, or bytes that may be text."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _uuid_text(array: pa.ExtensionArray) -> pa.Array:
    return pa.array([None if value is None else str(value) for value in array.to_pylist()])
