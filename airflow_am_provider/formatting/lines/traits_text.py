"""Traits in a column of text: between commas, between other marks, or as JSON.

What comes out has commas in any case. What does not fit is left to be found as no trait ID.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.items import trait_problem
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView, with_rows
from airflow_am_provider.formatting.columns.checks import CODE_OF, Codes

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Marks

COMMA: Final = ","
JSON: Final = "json"
# Part of a number, of an array or of a list that is quoted.
_NO_SEPARATORS: Final = "+-.\"'[](){}\\"

_JSON_BLANKS: Final = " \t\r\n"


def check_separator(separator: str, place: str = "traits_separator") -> str:
    """Return what stands between traits, when it can.

    :param separator: one ASCII character that is no letter and no digit, or ``json``.
    :param place: the parameter's name, for the message.
    :raises ConfigurationError: when it is neither.

    >>> check_separator(";"), check_separator("json")
    (';', 'json')
    """
    is_mark = len(separator) == 1 and separator.isascii() and not separator.isalnum()
    is_seen = separator.isprintable() or separator == "\t"
    if separator != JSON and (not is_mark or not is_seen or separator in _NO_SEPARATORS):
        raise ConfigurationError(
            f"{place}: {separator!r} is neither one character that may stand between two numbers, "
            f"such as ';' or '|', nor 'json'"
        )
    return separator


def with_commas(texts: pa.Array, separator: str) -> pa.Array:
    """Traits that stand between other marks.

    :param texts: a ``binary`` array without nulls.
    :param separator: the mark.
    """
    if separator == COMMA:
        return texts
    if (ByteView.of(texts).data == ord(COMMA)).any():
        # A comma is no separator then; as a quote it is found to be wrong.
        texts = pc.replace_substring(texts, b",", b'"')
    return pc.replace_substring(texts, separator.encode(), b",")


def from_json(texts: pa.Array) -> tuple[pa.Array, Codes]:
    """Traits as JSON: an array of numbers or of text, one number, or null.

    :param texts: a ``binary`` array without nulls.
    :return: the traits with commas between them, and the rule that each row breaks.

    >>> traits, codes = from_json(pa.array([b"[1, 22]", b'["3"]', b"null", b"[1.5]"]))
    >>> traits.to_pylist(), [bool(code) for code in codes]
    ([b'1,22', b'3', b'', b''], [False, False, False, True])
    """
    view = ByteView.of(texts)
    bracketed = (view.first_bytes == ord("[")) & (view.last_bytes == ord("]"))
    bracketed &= view.lengths > 1
    inside = pc.binary_slice(texts.filter(to_arrow(bracketed)), 1, -1)
    plain = with_rows(texts, bracketed, pc.replace_substring(inside, b", ", b","))
    others = ~bracketed | _not_plain(ByteView.of(plain))
    codes = np.zeros(len(texts), np.uint8)
    rows = np.flatnonzero(others)
    if not rows.size:
        return plain, codes
    read = []
    for row, raw in zip(rows.tolist(), texts.take(to_arrow(rows)).to_pylist(), strict=True):
        text, rule = _read(raw)
        read.append(text)
        if rule is not None:
            codes[row] = CODE_OF[rule]
    return with_rows(plain, others, pa.array(read, pa.binary())), codes


def _not_plain(view: ByteView) -> Marks:
    """Rows that are not digits with commas between them."""
    commas = view.data == ord(COMMA)
    hits = ~commas & ((view.data < ord("0")) | (view.data > ord("9")))
    hits[1:] |= commas[1:] & commas[:-1]
    found = view.rows_where(hits)
    found |= (view.first_bytes == ord(COMMA)) | (view.last_bytes == ord(COMMA))
    return found


def _read(raw: bytes) -> tuple[bytes, Rule | None]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return b"", Rule.INVALID_UTF8
    if not text.strip(_JSON_BLANKS):
        return b"", None
    try:
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return b"", Rule.TRAIT_NOT_NUMERIC
    items = value if isinstance(value, list) else [value]
    traits = [item.strip(" ") if isinstance(item, str) else item for item in items]
    traits = [trait for trait in traits if trait not in (None, "")]
    if any(not isinstance(trait, str) or trait_problem(trait) for trait in traits):
        return b"", Rule.TRAIT_NOT_NUMERIC
    return ",".join(traits).encode(), None
