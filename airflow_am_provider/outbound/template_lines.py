"""Lines made by a template as Arrow columns, a block of lines at a time.

Arrow's regular expressions read a block in one go. What does not fit the template is set aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.outbound.counts import BadLine
from airflow_am_provider.outbound.segment_lines import NOT_UTF8, SegmentLines

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.outbound.line_templates import (
        LineTemplate,
        ListForm,
    )

NO_FIT: Final = "it does not fit line_template"
_NUMBERS: Final = pa.list_(pa.int64())
_TEXTS: Final = pa.list_(pa.string())
# Columns beyond those that every row has, by the macro that they are of.
_MORE: Final = {
    "UUID": pa.field("aam_uuid", pa.string()),
    "MCID": pa.field("ecid", pa.string()),
    "DP_UUID_LIST": pa.field("other_ids", _TEXTS),
    "DPUUIDS": pa.field("id_mappings", pa.string()),
    "TRAIT_LIST": pa.field("traits", _NUMBERS),
}


def more_fields(template: LineTemplate) -> list[pa.Field]:
    """The columns that rows of a template have beyond those of all rows.

    :param template: whose macros they are of.
    """
    return [_MORE[macro] for macro in _more_macros(template)]


def read_template_lines(block: bytes, template: LineTemplate) -> SegmentLines:
    r"""Read a block of whole lines.

    :param block: lines, each with its end; the last may be without.
    :param template: how they are made.

    >>> from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
    >>> template = LineTemplate.parse('<UUID><TAB><SEGMENT_LIST;separator="|">')
    >>> found = read_template_lines(b"A\t24|26\nB\t\nC 7\n", template)
    >>> found.segments.to_pylist(), [bad.number for bad in found.bad]
    ([[24, 26], []], [2])
    """
    lines, broken = _lines(block)
    values = pc.extract_regex(lines, pattern=f"^(?:{template.pattern})$")
    fits = values.is_valid()
    for group, lists in template.conditions.items():
        is_there = pc.not_equal(values.field(group), "")
        should_be = _all([pc.not_equal(values.field(name), "") for name in lists])
        fits = pc.and_(fits, pc.equal(is_there, should_be))
    good = values.filter(fits)
    columns = {name: good.field(name) for name in template.macros}
    return SegmentLines(
        ids=columns[template.id_macro],
        segments=_list_of("SEGMENT_LIST", columns, template),
        removed=_list_of("REMOVED_SEGMENT_LIST", columns, template),
        more=tuple(_more(macro, columns, template) for macro in _more_macros(template)),
        bad=tuple(
            BadLine(int(number), NOT_UTF8 if int(number) in broken else NO_FIT)
            for number in np.flatnonzero(~fits.to_numpy(zero_copy_only=False))
        ),
        count=len(lines),
    )


def _lines(block: bytes) -> tuple[pa.StringArray, frozenset[int]]:
    """The lines as text, and which are none in UTF-8; these are empty, which fits no template."""
    block, broken = block.removesuffix(b"\n"), frozenset[int]()
    try:
        text = block.decode()
    except UnicodeDecodeError:
        text, broken = _mended(block)
    lines = pc.split_pattern(pa.array([text], pa.string()), "\n").flatten()
    if "\r" in text:
        lines = pc.replace_substring_regex(lines, pattern="\r$", replacement="")
    return lines, broken


def _mended(block: bytes) -> tuple[str, frozenset[int]]:
    """Some line is not UTF-8, which is rare: each is looked at."""
    lines, broken = block.split(b"\n"), set()
    for number, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError:
            lines[number] = b""
            broken.add(number)
    return b"\n".join(lines).decode(), frozenset(broken)


def _all(conditions: list[pa.BooleanArray]) -> pa.BooleanArray:
    found = conditions[0]
    for condition in conditions[1:]:
        found = pc.and_(found, condition)
    return found


def _more_macros(template: LineTemplate) -> list[str]:
    return [name for name in template.macros if name in _MORE and name != template.id_macro]


def _more(macro: str, columns: dict[str, pa.StringArray], template: LineTemplate) -> pa.Array:
    if macro in template.lists:
        return _list_of(macro, columns, template)
    if macro == "DP_UUID_LIST":
        return _split(columns[macro], template.id_separator or "")
    return columns[macro]


def _list_of(
    macro: str, columns: dict[str, pa.StringArray], template: LineTemplate
) -> pa.ListArray:
    """The numbers of a list, for each line; none where the template does not have it."""
    if macro not in columns:
        count = len(next(iter(columns.values())))
        nothing: Any = pa.array([], pa.int64())
        return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), nothing)
    texts, form = columns[macro], template.lists[macro]
    return _split(*_numbers_only(texts, form)).cast(_NUMBERS)


def _numbers_only(texts: pa.StringArray, form: ListForm) -> tuple[pa.StringArray, str]:
    """Lists of elements as lists of their numbers, and what separates these."""
    if form.separator is not None:
        return texts, form.separator
    spaced = pc.replace_substring_regex(texts, pattern=form.one, replacement=r"\1 ")
    return pc.utf8_rtrim(spaced, " "), " "


def _split(texts: pa.StringArray, separator: str) -> pa.ListArray:
    """Texts at their separators; a text that is empty has no parts, and not an empty one."""
    parts = pc.split_pattern(texts, separator)
    is_empty = pc.equal(texts, "")
    counts = pc.if_else(is_empty, 0, pc.list_value_length(parts))
    values = parts.flatten()
    offsets = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum(counts.to_numpy(zero_copy_only=False), out=offsets[1:])
    kept = pc.not_equal(values, "") if offsets[-1] != len(values) else None
    return pa.ListArray.from_arrays(
        pa.array(offsets), values if kept is None else values.filter(kept)
    )
