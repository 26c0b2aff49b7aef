"""Columns that hold several traits or codes a row: a list, or text with commas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.items import trait_problem
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    Marks,
    as_bytes,
    empty_to_null,
    is_list,
    with_rows,
    without_nulls,
)
from airflow_am_provider.formatting.columns.checks import CODE_OF, Codes, rows_not_made_of
from airflow_am_provider.formatting.lines.traits_text import COMMA, JSON, from_json, with_commas

if TYPE_CHECKING:
    from collections.abc import Callable

# No code can be made of these that is personal data or breaks a rule.
_PLAIN_CODE: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-."
_COMMA: Final = ord(",")
_ZERO: Final = np.uint8(ord("0"))
_NINE: Final = np.uint8(9)


def joined_items(
    array: pa.Array,
    name: str,
    prefix: str,
    problem: Callable[[str], Rule | None],
    separator: str = COMMA,
) -> tuple[pa.Array, Codes]:
    """Put the prefix before every item but the first of each row.

    :param array: the column: a list of scalars, or scalars, or text with commas between the items.
    :param name: the column's name, for messages.
    :param prefix: what stands before each item, such as ``d_sid=``.
    :param problem: the contract's verdict on one item.
    :param separator: what stands between the items of a text, or ``json``; see
        :func:`~airflow_am_provider.formatting.lines.traits_text.check_separator`.
    :return: a ``binary`` array, null where a row has no items; and which rule each row breaks.

    Spaces around items are syntax, not content. So are, in text, the braces that PostgreSQL
    puts around an array, and a NULL within them.
    """
    with_prefix = f",{prefix}".encode()
    if is_list(array):
        texts = _from_lists(array, name)
        tidy, codes = _tidied(texts, ByteView.of(texts), None, problem)
    elif separator == JSON:
        tidy, codes = from_json(without_nulls(as_bytes(array, name, is_id=True)))
    else:
        texts = with_commas(without_nulls(as_bytes(array, name, is_id=True)), separator)
        tidy, codes = _tidied(*_without_braces(texts), problem)
    return empty_to_null(pc.replace_substring(tidy, b",", with_prefix)), codes


def _from_lists(array: pa.Array, name: str) -> pa.Array:
    """Lists as text with commas; nulls inside a list are dropped."""
    values = as_bytes(array.flatten(), name, is_id=True)
    lengths = to_numpy(pc.list_value_length(array).fill_null(0))
    if pa.types.is_fixed_size_list(array.type):
        lengths = np.where(array.is_valid(), lengths, 0)
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    if values.null_count:
        kept = to_numpy(values.is_valid())
        offsets = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))[offsets]
        values = values.drop_null()
    if (ByteView.of(values).data == _COMMA).any():
        # A comma inside an item would make two of it; as a quote it is found to be wrong.
        values = pc.replace_substring(values, b",", b'"')
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
    return pc.binary_join(lists, b",")


def _without_braces(texts: pa.Array) -> tuple[pa.Array, ByteView, Marks | None]:
    """Take the braces off ``{ITEM,ITEM,…}``; tell which rows had them, or None."""
    view = ByteView.of(texts)
    braced = (view.first_bytes == ord("{")) & (view.last_bytes == ord("}")) & (view.lengths > 1)
    if not braced.any():
        return texts, view, None
    inside = pc.binary_slice(texts.filter(to_arrow(braced)), 1, -1)
    texts = with_rows(texts, braced, inside)
    return texts, ByteView.of(texts), braced


def _tidied(
    texts: pa.Array,
    view: ByteView,
    braced: Marks | None,
    problem: Callable[[str], Rule | None],
) -> tuple[pa.Array, Codes]:
    """Check all items; rewrite the few rows that are not plainly ``ITEM,ITEM,…``."""
    codes = np.zeros(len(texts), np.uint8)
    commas = view.data == _COMMA
    if problem is trait_problem:
        # Bytes below the zero wrap round.
        doubtful = view.rows_where((view.data - _ZERO > _NINE) & ~commas)
    else:
        doubtful = rows_not_made_of(view, _PLAIN_CODE + b",")
    doubtful |= _with_empty_items(view, commas)
    if braced is not None:
        # A NULL is found by one of its letters.
        doubtful |= braced & view.rows_where((view.data | 0x20) == ord("u"))
    rows = np.flatnonzero(doubtful)
    if rows.size == 0:
        return texts, codes
    rewritten: list[bytes] = []
    changed = np.zeros(len(texts), bool)
    for row, raw in zip(rows.tolist(), texts.take(to_arrow(rows)).to_pylist(), strict=True):
        text, codes[row] = _read(raw, problem, braced is not None and bool(braced[row]))
        # A row that breaks a rule is left out later, so its text need not be changed.
        if codes[row] == 0 and text != raw:
            changed[row] = True
            rewritten.append(text)
    if not rewritten:
        return texts, codes
    return with_rows(texts, changed, pa.array(rewritten, pa.binary())), codes


def _with_empty_items(view: ByteView, commas: Marks) -> Marks:
    """Rows with two commas next to one another, or one at an edge."""
    doubled = np.zeros_like(commas)
    np.logical_and(commas[1:], commas[:-1], out=doubled[1:])
    found = view.rows_where(doubled)
    found |= (view.first_bytes == _COMMA) | (view.last_bytes == _COMMA)
    return found


def _read(raw: bytes, problem: Callable[[str], Rule | None], braced: bool) -> tuple[bytes, int]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return b"", CODE_OF[Rule.INVALID_UTF8]
    items = [item for item in (piece.strip(" ") for piece in text.split(",")) if item]
    if braced:
        items = [item for item in items if item.upper() != "NULL"]
    for item in items:
        rule = problem(item)
        if rule is not None:
            return b"", CODE_OF[rule]
    return ",".join(items).encode(), 0
