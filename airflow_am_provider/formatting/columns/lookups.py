"""Columns in which few values stand in many rows: each value is worked on once, then looked up.

Parquet files keep such columns this way, and Arrow hands them out as dictionaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns.arrow import text_scalar, to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from airflow_am_provider.formatting.columns.byte_columns import Marks
    from airflow_am_provider.formatting.columns.checks import Codes

    Places = npt.NDArray[np.int32]

# All combinations of two columns are made where there are at most so many of them: few beside the
# rows of a batch.
_MOST_COMBINATIONS: Final = 4096


def once_per_value(
    column: pa.Array, work: Callable[[pa.Array], tuple[pa.Array, Codes]]
) -> tuple[pa.Array, Codes]:
    """Do something with each value of a column, but only once where the column is a dictionary.

    :param column: of any type.
    :param work: gives for each value its text, null where it says nothing, and the rule it breaks.
    :return: the same for each row; the text is a dictionary where the column is one.
    """
    if not pa.types.is_dictionary(column.type) or 2 * len(column.dictionary) >= len(column):
        return work(column)
    values, codes = work(column.dictionary)
    places = index_numbers(column.indices)
    if column.null_count:
        # Rows without a value look up a place after the last value.
        places = np.where(to_numpy(column.is_valid()), places, np.int32(len(values)))
    says = None
    if column.null_count or values.null_count:
        says = np.append(to_numpy(values.is_valid()), False)[places]
    of_rows = np.zeros(len(column), np.uint8)
    if codes.any():
        of_rows = np.append(codes, np.uint8(0))[places]
    return looked_up(without_nulls(values), places, says), of_rows


def looked_up(values: pa.Array, places: Places, says: Marks | None) -> pa.DictionaryArray:
    """Values by their places.

    :param values: a ``binary`` array without nulls.
    :param places: for each row, the place of its value.
    :param says: whether it has one at all; its place means nothing where it has none. None: all
        have.
    """
    bits = (
        None if says is None or says.all() else pa.py_buffer(np.packbits(says, bitorder="little"))
    )
    indices = pa.Array.from_buffers(pa.int32(), len(places), [bits, pa.py_buffer(places)])
    return pa.DictionaryArray.from_arrays(indices, values)


def index_numbers(indices: pa.Array) -> Places:
    """The numbers of an Arrow array, whatever stands where they are null."""
    plain = indices.cast(pa.int32())
    if len(plain) == 0:
        return np.empty(0, np.int32)
    numbers = np.frombuffer(plain.buffers()[1], np.int32)
    return numbers[plain.offset : plain.offset + len(plain)]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Texts of which each row has one.

    :param values: a ``binary`` array without nulls.
    :param places: which of them each row has.
    """

    values: pa.Array
    places: Places

    @classmethod
    def of(cls, text: pa.DictionaryArray, before: bytes, after: bytes) -> Lookup:
        """The texts of a dictionary between two constants; an empty one for each null."""
        values = joined(text_scalar(before), text.dictionary, text_scalar(after))
        places = index_numbers(text.indices)
        if text.null_count == 0:
            return cls(values, places)
        nothing = pa.Array.from_buffers(
            pa.binary(), 1, [None, pa.py_buffer(bytes(8)), pa.py_buffer(b"")]
        )
        places = np.where(to_numpy(text.is_valid()), places, np.int32(len(values)))
        return cls(pa.concat_arrays([values, nothing]), places)

    def between(self, before: bytes, after: bytes) -> Lookup:
        """The same texts, each between two constants."""
        return Lookup(joined(text_scalar(before), self.values, text_scalar(after)), self.places)

    def fits(self, other: Lookup) -> bool:
        """Whether all combinations with another one's texts are few."""
        return len(self.values) * len(other.values) <= _MOST_COMBINATIONS

    def with_behind(self, other: Lookup) -> Lookup:
        """Each row's two texts, one after the other."""
        # All combinations are made, and each row looks up its own. The last value of the left
        # side is what a row without one has:
        #
        #   values        d_sid=1  d_sid=2  ""         ,A  ,B
        #   places        1 2 0 1                      0 1 1 0
        #   combinations  d_sid=1,A  d_sid=1,B  d_sid=2,A  d_sid=2,B  ,A  ,B
        #   places        1*2+0  2*2+1  0*2+1  1*2+0  =  2 5 1 2
        #   texts         d_sid=2,A  ,B  d_sid=1,B  d_sid=2,A
        first, second = len(self.values), len(other.values)
        left = self.values.take(to_arrow(np.repeat(np.arange(first), second)))
        right = other.values.take(to_arrow(np.tile(np.arange(second), first)))
        return Lookup(joined(left, right), self.places * np.int32(second) + other.places)

    def texts(self) -> pa.Array:
        """The text of each row."""
        return self.values.take(to_arrow(self.places))


def joined(*parts: pa.Array | pa.Scalar, null_handling: str = "emit_null") -> pa.Array:
    """The parts of each row, one after the other."""
    return pc.binary_join_element_wise(*parts, text_scalar(b""), null_handling=null_handling)
