"""What a column holds, in words of everybody's, not Arrow's, which no database and no file uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS: Final[tuple[tuple[Callable[[pa.DataType], bool], str], ...]] = (
    (pa.types.is_null, "nothing but NULL"),
    (pa.types.is_boolean, "truth values"),
    (pa.types.is_integer, "whole numbers"),
    (pa.types.is_floating, "floating-point numbers"),
    (pa.types.is_decimal, "decimals"),
    (pa.types.is_string, "text"),
    (pa.types.is_large_string, "text"),
    (pa.types.is_string_view, "text"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_large_binary, "bytes"),
    (pa.types.is_binary_view, "bytes"),
    (pa.types.is_fixed_size_binary, "bytes"),
    (pa.types.is_date, "dates"),
    (pa.types.is_timestamp, "dates with a time"),
    (pa.types.is_time, "times of day"),
    (pa.types.is_duration, "lengths of time"),
    (pa.types.is_interval, "lengths of time"),
    (pa.types.is_map, "maps"),
    (pa.types.is_struct, "records of several fields"),
    (pa.types.is_union, "values of several types"),
)


def plural(kind: pa.DataType) -> str:
    """The values of a type, as the subject of a sentence.

    >>> plural(pa.list_(pa.string())), plural(pa.dictionary(pa.int32(), pa.int64()))
    ('lists of text', 'whole numbers')
    """
    if isinstance(kind, pa.ExtensionType):
        return plural(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plural(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"lists of {plural(kind.value_type)}"
    return next((words for fits, words in _WORDS if fits(kind)), "values of this type")
