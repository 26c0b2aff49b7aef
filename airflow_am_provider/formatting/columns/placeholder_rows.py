"""Rows whose ID may be no ID: blanks, words for a missing value, numbers that lost their digits.

The contract decides, row by row; see
:mod:`~airflow_am_provider.audience_manager.placeholders`. Here the rows are found that it must be
asked about. Ordinary IDs must cost next to nothing, so only short ones are looked at, and of those
only single bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.audience_manager.placeholders import (
    LONGEST_ROUNDED,
    NOT_A_NUMBER,
    PLACEHOLDERS,
    R_PLACEHOLDER,
)

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Bytes, ByteView, Marks, Rows

_SPACE: Final = ord(" ")
_LONGEST_WORD: Final = max(map(len, PLACEHOLDERS))
# Bytes that a number in scientific notation has after its first digit, or before it.
_MARKS: Final = b".,+"
_LONGEST_EXPONENT: Final = len("E+123")


def _table(allowed: bytes) -> Marks:
    table = np.zeros(256, bool)
    table[np.frombuffer(allowed, np.uint8)] = True
    return table


_starts_number: Final = _table(b"0123456789+-")
_is_e: Final = _table(b"eE")


def _word_lengths() -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """For each pair of a first and a last byte, how long the words with these are: a bit each."""
    table = np.zeros(1 << 16, np.uint16)
    for word in (*PLACEHOLDERS, R_PLACEHOLDER):
        for first in {word[0].lower(), word[0].upper()}:
            for last in {word[-1].lower(), word[-1].upper()}:
                table[ord(first) << 8 | ord(last)] |= 1 << len(word)
    return table


_lengths_of: Final = _word_lengths()


def _blank_starts() -> Marks:
    """The first two bytes of white space beyond ASCII, and of characters that nobody sees."""
    table = np.zeros(1 << 16, bool)
    blanks = [text for text in map(chr, range(0x80, 0x3001)) if text.isspace()]
    for text in (*blanks, "\u200b", "\u2060"):
        first, second = text.encode()[:2]
        table[first << 8 | second] = True
    return table


_starts_blank: Final = _blank_starts()


def perhaps_no_ids(view: ByteView) -> Marks:
    """Rows with an ID to ask the contract about, the empty ones among them."""
    data, starts, lengths = view.data, view.offsets[:-1], view.lengths
    if (data == _SPACE).any():
        padded = (view.first_bytes == _SPACE) | (view.last_bytes == _SPACE)
        starts, lengths = without_spaces(view, padded)
    marks: Marks = lengths == 0
    short = np.flatnonzero(lengths <= LONGEST_ROUNDED)
    if short.size and data.size:
        marks[_words(data, starts, lengths, short)] = True
        marks[_rounded(data, starts, lengths, short)] = True
    if data.size and data.max() >= 0x80:
        marks[_blanks(data, starts)] = True
    return marks


def perhaps_no_numbers(view: ByteView) -> Marks:
    """Rows with a signal's value that may be NaN or an infinity."""
    marks = np.zeros(len(view.lengths), bool)
    lengths = {len(word) for word in NOT_A_NUMBER}
    rows = np.flatnonzero(np.logical_or.reduce([view.lengths == length for length in lengths]))
    if rows.size:
        firsts = _table("".join(word[0] for word in NOT_A_NUMBER).encode())
        lasts = _table("".join(word[-1] for word in NOT_A_NUMBER).encode())
        marks[rows] = firsts[view.first_bytes[rows]] & lasts[view.last_bytes[rows]]
    return marks


def without_spaces(view: ByteView, padded: Marks) -> tuple[Rows, Rows]:
    """Where each row starts and how long it is, without the spaces at its edges."""
    starts, ends = view.offsets[:-1].copy(), view.offsets[1:].copy()
    rows = np.flatnonzero(padded)
    # Before the first byte that is no space, and after the last one, lie the ends of the text.
    others = np.concatenate(([-1], np.flatnonzero(view.data != _SPACE), [view.data.size]))
    before, after = starts[rows], ends[rows]
    starts[rows] = np.minimum(others[np.searchsorted(others, before)], after)
    ends[rows] = np.maximum(others[np.searchsorted(others, after) - 1] + 1, before)
    return starts, np.maximum(ends - starts, 0)


def _words(data: Bytes, starts: Rows, lengths: Rows, short: Rows) -> Rows:
    rows = short[lengths[short] <= _LONGEST_WORD]
    first = data.take(starts[rows], mode="clip").astype(np.uint16)
    last = data.take(starts[rows] + lengths[rows] - 1, mode="clip")
    known = _lengths_of[first << 8 | last]
    is_so_long: Marks = (known >> lengths[rows].astype(np.uint16)) & 1 == 1
    return rows[is_so_long]


def _rounded(data: Bytes, starts: Rows, lengths: Rows, short: Rows) -> Rows:
    if not any((data == mark).any() for mark in _MARKS):
        return short[:0]
    rows = short[_starts_number[data.take(starts[short], mode="clip")]]
    ends = starts[rows] + lengths[rows]
    found = np.zeros(len(rows), bool)
    for place in range(2, _LONGEST_EXPONENT + 1):
        found |= _is_e[data.take(ends - place, mode="clip")]
    return rows[found]


def _blanks(data: Bytes, starts: Rows) -> Rows:
    first = data.take(starts, mode="clip")
    rows = np.flatnonzero(first >= 0x80)
    second = data.take(starts[rows] + 1, mode="clip")
    is_blank: Marks = _starts_blank[first[rows].astype(np.uint16) << 8 | second]
    return rows[is_blank]
