"""Lines put together from their pieces, all lines of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns.arrow import text_scalar
from airflow_am_provider.formatting.columns.lookups import Lookup, joined

if TYPE_CHECKING:
    _Part: TypeAlias = pa.Array | bytes | Lookup


@dataclass(frozen=True, slots=True)
class Piece:
    """One item, or one list of items, of each row: text between two constants, or null.

    :param before: what stands before the text, such as ``d_sid=``.
    :param text: a ``binary`` array, or a dictionary of such values.
    :param after: what follows it.
    """

    before: str
    text: pa.Array
    after: str


def put_together(ids: pa.Array, pieces: list[Piece]) -> pa.Array:
    """Put lines together: each item of a row with a comma between it and the next.

    An item that is not there takes its comma with it. So a piece that every row has, the
    anchor, stands without one; those before it end with theirs, those after it begin with theirs.
    """
    present = [piece.text.null_count == 0 for piece in pieces]
    anchor = present.index(True) if any(present) else -1
    parts: list[_Part] = [ids, b"\t"]
    for place, piece in enumerate(pieces):
        before = ("," * (place > anchor) + piece.before).encode()
        after = (piece.after + "," * (place < anchor)).encode()
        if pa.types.is_dictionary(piece.text.type):
            parts.append(Lookup.of(piece.text, before, after))
        elif present[place]:
            parts += [before, piece.text, after]
        else:
            parts.append(joined(text_scalar(before), piece.text, text_scalar(after)))
    few: list[_Part] = reduce(_with, [*parts, b"\n"], [])
    lines = joined(*map(_argument, few), null_handling="replace")
    if anchor >= 0:
        return lines
    return pc.replace_substring(lines, b"\t,", b"\t", max_replacements=1)


def _with(parts: list[_Part], part: _Part) -> list[_Part]:
    """One more part; as one with the last where that is less work than joining them row by row."""
    last = parts[-1] if parts else None
    if isinstance(last, bytes) and isinstance(part, bytes):
        return [*parts[:-1], last + part]
    if isinstance(last, bytes) and isinstance(part, Lookup):
        return _with(parts[:-1], part.between(last, b""))
    if isinstance(last, Lookup) and isinstance(part, bytes):
        return [*parts[:-1], last.between(b"", part)]
    if isinstance(last, Lookup) and isinstance(part, Lookup) and last.fits(part):
        return [*parts[:-1], last.with_behind(part)]
    return [*parts, part]


def _argument(part: _Part) -> pa.Array | pa.Scalar:
    if isinstance(part, bytes):
        return text_scalar(part)
    return part.texts() if isinstance(part, Lookup) else part
