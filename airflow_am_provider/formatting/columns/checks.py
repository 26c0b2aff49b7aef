"""The contract's rules over whole columns.

Each check looks at all bytes of a column at once and proves most rows plainly good. What
it cannot prove good, it asks the contract about, row by row. So the rules stand once, in
``audience_manager``, and the bytes of an ordinary row are looked at a few times only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from airflow_am_provider.audience_manager.identifiers import (
    AAM_UUID,
    ALPHANUMERIC_PATTERN,
    BYTE_ORDER_MARK,
    DPUUID,
    LOWER_GUID_PATTERN,
    OPTED_OUT_GUID,
    UPPER_GUID_PATTERN,
    IdKind,
)
from airflow_am_provider.audience_manager.items import value_problem
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView, Marks, without_nulls
from airflow_am_provider.formatting.columns.placeholder_rows import (
    perhaps_no_ids,
    perhaps_no_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

#: A rule as a small number, so that a batch's verdicts are one array. 0 is: no rule broken.
Codes = npt.NDArray[np.uint8]
RULES: Final = tuple(Rule)
CODE_OF: Final = {rule: code for code, rule in enumerate(RULES, start=1)}

_GUID_DASHES = (8, 13, 18, 23)
LOWER_HEX: Final = b"0123456789abcdef"
_UPPER_HEX: Final = b"0123456789ABCDEF"
_DIGITS: Final = b"0123456789"
_FIRST_PLAIN: Final = np.uint8(ord("-"))
_LAST_PLAIN: Final = np.uint8(ord("z"))
_BEHIND_PLUS: Final = np.zeros(256, bool)
_BEHIND_PLUS[np.frombuffer(b"123456789( ", np.uint8)] = True
_BYTE_ORDER_MARK_START: Final = BYTE_ORDER_MARK.encode()[0]
_ALPHANUMERIC: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def rule_of(code: int) -> Rule:
    """The rule that a code stands for."""
    return RULES[code - 1]


def id_codes(ids: pa.Array, kind: IdKind, *, with_hyphens: bool = False) -> Codes:
    """Which rule each ID breaks.

    :param ids: a ``binary`` array; null counts as empty.
    :param kind: the kind of ID.
    :param with_hyphens: whether hyphens where Adobe has not confirmed any break a rule.
    """
    filled = without_nulls(ids)
    view = ByteView.of(filled)
    if kind is DPUUID:
        doubtful = _doubtful_text(view, b":") | perhaps_no_ids(view)
    else:
        doubtful = _PLAINLY_GOOD[kind.pattern](view)
    codes = ask(filled, doubtful, kind.problem)
    if kind.takes_hyphens and not with_hyphens:
        codes[codes == CODE_OF[Rule.ID_HYPHEN]] = 0
    return codes


def value_codes(
    values: pa.Array, view: ByteView, forbidden: bytes, problem: Callable[[str], Rule | None]
) -> Codes:
    """Which rule each value breaks.

    :param values: a ``binary`` array without nulls.
    :param view: its bytes.
    :param forbidden: bytes that a plainly good value does not hold.
    :param problem: the contract's verdict on one value.
    """
    doubtful = _doubtful_text(view, forbidden)
    if problem is value_problem:
        doubtful |= perhaps_no_numbers(view)
    return ask(values, doubtful, problem)


def ask(values: pa.Array, doubtful: Marks, problem: Callable[[str], Rule | None]) -> Codes:
    """Ask the contract about single rows.

    :param values: a ``binary`` array without nulls.
    :param doubtful: the rows in doubt; all others are good.
    :param problem: the contract's verdict on one value.
    """
    codes = np.zeros(len(values), np.uint8)
    rows = np.flatnonzero(doubtful)
    if rows.size == 0:
        return codes
    for row, raw in zip(rows.tolist(), values.take(to_arrow(rows)).to_pylist(), strict=True):
        try:
            rule = problem(raw.decode("utf-8"))
        except UnicodeDecodeError:
            rule = Rule.INVALID_UTF8
        if rule is not None:
            codes[row] = CODE_OF[rule]
    return codes


def rows_not_made_of(view: ByteView, allowed: bytes) -> Marks:
    """Rows that hold a byte other than these."""
    # Deleting the allowed bytes in one C loop is quicker than a look-up table in numpy.
    if not view.data.tobytes().translate(None, allowed):
        return np.zeros(len(view.lengths), bool)
    table = np.ones(256, bool)
    table[np.frombuffer(allowed, np.uint8)] = False
    return view.rows_where(table[view.data])


def _doubtful_text(view: ByteView, forbidden: bytes) -> Marks:
    """Rows that may be personal data or broken UTF-8, or hold control characters.

    :param forbidden: further bytes that make a row doubtful.
    """
    data = view.data
    if _is_plain(data, b"@" + forbidden):
        return np.zeros(len(view.lengths), bool)
    hits = data < 0x20
    # An e-mail address has an "@", or "%40" where it was URL-encoded on its way.
    for byte in b"\x7f@%" + forbidden:
        hits |= data == byte
    # A phone number has a plus sign before its first digit; IDs in Base64 have many others.
    plus = np.flatnonzero(data[:-1] == ord("+"))
    hits[plus[_BEHIND_PLUS[data[plus + 1]]]] = True
    doubtful = view.rows_where(hits)
    high = data >= 0x80
    if high.any():
        # In most of the world's languages nearly all values start beyond ASCII.
        doubtful |= view.first_bytes == _BYTE_ORDER_MARK_START
        if not _is_utf8(view):
            doubtful |= view.rows_where(high)
    return doubtful


def _is_plain(data: npt.NDArray[np.uint8], doubtful: bytes) -> bool:
    """Whether all bytes are letters, digits and the like, as in most columns.

    Between "-" and "z" only a few bytes are doubtful, and outside of it no look is taken.
    """
    if data.size == 0:
        return True
    # Bytes below the first one wrap round.
    if (data - _FIRST_PLAIN).max() > _LAST_PLAIN - _FIRST_PLAIN:
        return False
    inside = (byte for byte in doubtful if _FIRST_PLAIN <= byte <= _LAST_PLAIN)
    return not any((data == byte).any() for byte in inside)


def _is_utf8(view: ByteView) -> bool:
    """Whether each row is UTF-8.

    All bytes together must be, and no row may start inside a character: two broken rows
    could make a good one where they meet.
    """
    first = view.first_bytes
    if ((first >= 0x80) & (first < 0xC0)).any():
        return False
    try:
        view.data.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def shaped_like(length: int, places: dict[bytes, tuple[int, ...]]) -> Callable[[ByteView], Marks]:
    """Rows that are not exactly so long, or hold other bytes in places than these."""
    tables = []
    for allowed, where in places.items():
        table = np.zeros(256, bool)
        table[np.frombuffer(allowed, np.uint8)] = True
        tables.append((table, np.array(where)))

    def doubtful(view: ByteView) -> Marks:
        fitting = np.flatnonzero(view.lengths == length)
        if fitting.size == len(view.lengths):
            matrix = view.data.reshape(-1, length)
        else:
            matrix = view.data[view.offsets[fitting][:, None] + np.arange(length)]
        good = np.ones(fitting.size, bool)
        for table, where in tables:
            good &= table[matrix[:, where]].all(axis=1)
        # Devices that opted out have a GUID of the right form, all zeros.
        good &= (matrix[:, 0] != ord("0")) | (matrix[:, length - 1] != ord("0"))
        bad = np.ones(len(view.lengths), bool)
        bad[fitting[good]] = False
        return bad

    return doubtful


def _alphanumeric(view: ByteView) -> Marks:
    return rows_not_made_of(view, _ALPHANUMERIC) | perhaps_no_ids(view)


def _guid(hexadecimal: bytes) -> Callable[[ByteView], Marks]:
    length = len(OPTED_OUT_GUID)
    digits = tuple(place for place in range(length) if place not in _GUID_DASHES)
    return shaped_like(length, {hexadecimal: digits, b"-": _GUID_DASHES})


_PLAINLY_GOOD: Final[dict[str | None, Callable[[ByteView], Marks]]] = {
    LOWER_GUID_PATTERN: _guid(LOWER_HEX),
    UPPER_GUID_PATTERN: _guid(_UPPER_HEX),
    ALPHANUMERIC_PATTERN: _alphanumeric,
    AAM_UUID.pattern: shaped_like(38, {_DIGITS: tuple(range(38))}),
}
