"""Lines of a Customer Data Feed as Arrow columns, and the ID pairs in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.outbound.feeds import (
    ARRAYS,
    DECLARING,
    ELEMENT,
    FIELD,
    FIELDS,
    NULLS,
    TIME_FORMAT,
    VALUE,
    declared_ids,
)
from airflow_am_provider.outbound.counts import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXT: Final = pa.string()
_NUMBERS: Final = pa.list_(pa.int64())
_TIME: Final = pa.timestamp("s", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        ("event_time", _TIME),
        ("device", _TEXT),
        ("container_id", pa.int64()),
        ("realized_traits", _NUMBERS),
        ("realized_segments", _NUMBERS),
        ("parameters", pa.map_(_TEXT, _TEXT)),
        ("referer", _TEXT),
        ("ip", _TEXT),
        ("experience_cloud_id", _TEXT),
        ("all_segments", _NUMBERS),
        ("all_traits", _NUMBERS),
        ("more", pa.list_(_TEXT)),
    ]
)
PAIRS: Final = pa.schema(
    [
        ("device", _TEXT),
        ("dpid", pa.int64()),
        ("code", _TEXT),
        ("dpuuid", _TEXT),
        ("authentication", pa.int8()),
        ("event_time", _TIME),
    ]
)
TOO_FEW_FIELDS: Final = f"it has fewer than {len(FIELDS)} fields"
NO_TIME: Final = "its event time is none"
NO_NUMBER: Final = "an element of an array of traits or segments is no number"
NOT_UTF8: Final = "it is not UTF-8"


class Pairs(NamedTuple):
    """A block's ID pairs.

    :param rows: of a declared ID and the device's UUID.
    :param broken: how many declared IDs are none, since they are not UTF-8.
    """

    rows: pa.RecordBatch
    broken: int


class Events(NamedTuple):
    """A block's events, what is set aside, and how many lines there were."""

    rows: pa.RecordBatch
    bad: list[BadLine]
    lines: int


def read_events(block: bytes) -> Events:
    r"""Read a block of whole lines.

    >>> line = "\x01".join(["2026-01-31 14:00:00", "17", "\\N", "1\x022", *["\\N"] * 7, "new"])
    >>> found = read_events(line.encode() + b"\n")
    >>> found.rows["realized_traits"].to_pylist(), found.rows["more"].to_pylist()
    ([[1, 2]], [['new']])
    """
    lines = block.removesuffix(b"\n").split(b"\n")
    texts, bad = _texts(lines)
    numbers = pa.array([number for number, _ in texts], pa.int64())
    fields = pc.split_pattern(pa.array([text for _, text in texts], _TEXT), FIELD)
    enough = pc.greater_equal(pc.list_value_length(fields), len(FIELDS))
    bad += _bad(numbers, enough, TOO_FEW_FIELDS)
    fields, numbers = fields.filter(enough), numbers.filter(enough)
    columns = {name: _without_nulls(pc.list_element(fields, at)) for at, name in enumerate(FIELDS)}
    times, is_time = _times(columns["event_time"])
    good = is_time
    bad += _bad(numbers, is_time, NO_TIME)
    is_right = _are_numbers(columns)
    bad += _bad(numbers, pc.or_(is_right, pc.invert(is_time)), NO_NUMBER)
    good = pc.and_(good, is_right)
    kept = {name: column.filter(good) for name, column in columns.items()}
    rows = pa.record_batch(
        [_column(name, kept, times.filter(good), fields.filter(good)) for name in SCHEMA.names],
        schema=SCHEMA,
    )
    return Events(rows, sorted(bad), len(lines))


def id_pairs(rows: pa.RecordBatch) -> Pairs:
    """The pairs of a declared ID and the device's UUID in a block's events."""
    found: list[tuple[object, ...]] = []
    broken = 0
    devices, times = rows["device"], rows["event_time"]
    for row, parameters in _declaring(rows["parameters"]):
        device = devices[row].as_py()
        time = times[row].as_py()
        declared = declared_ids(parameters) if device else []
        good = [one for one in declared if one.dpuuid is not None]
        broken += len(declared) - len(good)
        found += [(device, *one, time) for one in good]
    columns = zip(*found, strict=True) if found else ([] for _ in PAIRS)
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(columns, PAIRS, strict=True)
    ]
    return Pairs(pa.record_batch(arrays, schema=PAIRS), broken)


def _declaring(maps: pa.MapArray) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Rows whose parameters declare an ID, and these parameters alone: most rows have none."""
    entries = maps.cast(pa.list_(pa.struct([("key", _TEXT), ("value", _TEXT)])))
    flat = entries.flatten()
    keys, values = flat.field("key"), flat.field("value")
    row_of = pc.list_parent_indices(entries)
    is_wanted = pc.is_in(keys, value_set=pa.array(DECLARING, _TEXT))
    named: dict[str, list[str]] = {}
    last = -1
    for row, key, value in zip(
        row_of.filter(is_wanted).to_pylist(),
        keys.filter(is_wanted).to_pylist(),
        values.filter(is_wanted).to_pylist(),
        strict=True,
    ):
        if row != last and named:
            yield last, named
            named = {}
        last = row
        if value:
            named.setdefault(key, []).append(value)
    if named:
        yield last, named


def _texts(lines: list[bytes]) -> tuple[list[tuple[int, str]], list[BadLine]]:
    texts, bad = [], []
    for number, line in enumerate(lines):
        try:
            texts.append((number, line.removesuffix(b"\r").decode()))
        except UnicodeDecodeError:
            bad.append(BadLine(number, NOT_UTF8))
    return texts, bad


def _bad(numbers: pa.Array, good: pa.BooleanArray, reason: str) -> list[BadLine]:
    return [BadLine(number, reason) for number in numbers.filter(pc.invert(good)).to_pylist()]


def _without_nulls(column: pa.StringArray) -> pa.StringArray:
    is_null = pc.is_in(column, value_set=pa.array(NULLS, _TEXT))
    return pc.if_else(is_null, pa.scalar(None, _TEXT), column)


def _times(column: pa.StringArray) -> tuple[pa.TimestampArray, pa.BooleanArray]:
    found = pc.strptime(column, format=TIME_FORMAT, unit="s", error_is_null=True)
    # It makes 2 March of 30 February, and takes 60 seconds: a time is what is written as it was.
    is_time = pc.fill_null(pc.equal(found.cast(_TEXT), column), False)
    return found.cast(_TIME), is_time


def _are_numbers(columns: dict[str, pa.StringArray]) -> pa.BooleanArray:
    checks = [
        pc.fill_null(
            pc.match_substring_regex(columns[name], rf"^(\d{{1,18}}({ELEMENT}\d{{1,18}})*)?$"),
            True,  # what is not there is no wrong number
        )
        for name in ARRAYS
    ]
    checks.append(
        pc.fill_null(pc.match_substring_regex(columns["container_id"], r"^\d{0,18}$"), True)
    )
    all_right = checks[0]
    for check in checks[1:]:
        all_right = pc.and_(all_right, check)
    return all_right


def _column(
    name: str, kept: dict[str, pa.StringArray], times: pa.Array, fields: pa.ListArray
) -> pa.Array:
    if name == "event_time":
        return times
    if name == "more":
        return pc.list_slice(fields, len(FIELDS), return_fixed_size_list=False)
    column = kept[name]
    if name in ARRAYS:
        return pc.split_pattern(_nothing_is_null(column), ELEMENT).cast(_NUMBERS)
    if name == "container_id":
        return _nothing_is_null(column).cast(pa.int64())
    return _map(_nothing_is_null(column)) if name == "parameters" else column


def _nothing_is_null(column: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, _TEXT), column)


def _map(column: pa.StringArray) -> pa.MapArray:
    """Parameters as a map; a key may come twice, as in the request."""
    pairs = pc.split_pattern(column, ELEMENT)
    parts = pc.split_pattern(pairs.flatten(), VALUE, max_splits=1)
    # Each has at least its key.
    keys = pc.list_element(parts, 0)
    has_value = pc.greater(pc.list_value_length(parts), 1)
    padded = pc.list_element(pc.if_else(has_value, parts, pa.scalar(["", ""])), 1)
    values = pc.if_else(has_value, padded, pa.scalar(None, _TEXT))
    counts = pc.fill_null(pc.list_value_length(pairs), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts)])
    return pa.MapArray.from_arrays(offsets, keys, values)
