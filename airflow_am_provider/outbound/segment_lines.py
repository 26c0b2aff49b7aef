r"""Lines of segment files as Arrow columns: Adobe's basic layout, a block of lines at a time.

``UUID<SPACE>segment,segment[<SPACE>removed,removed]``, with one or more spaces
(outbound-file-name-contents.md). What is no such line is set aside with its number and a reason.

A block becomes columns without a loop over its lines. Worked example, two lines::

    text          "A 24,26  25\nB 7\n"
    separators     1  4   7 8  11  13 15     where a space, a comma or a line's end stands
    tokens        A 24 26 "" 25 | B 7        what stands before each of them
    line          0 0  0  0  0    1 1        by counting ends of lines
    group         0 1  1  -  2    0 1        by counting spaces; runs of them count once
    values          24 26    25     7        tokens of group 1 and 2, as numbers

``""`` comes of the second space of a run and is dropped; anywhere else an empty token is an error
of its line. Group 0 is the ID, group 1 the segments, group 2 the removed ones.

**A user who was only removed** has an empty list of segments, so that the spaces before and after
it stand together: with one space between fields, ``B  25`` says that B was removed from 25. With
two spaces, as in the page's own example, it says that B is in 25. How many spaces a file has is
seen from lines that have all three fields, or from lines with one space; see :func:`spaces_in`.
Where no line shows it, a line with one list after an even number of spaces is set aside; where it
is known, one after several spaces that are neither so many nor twice as many. Each block
says what its lines show, so that a batch whose lines contradict each other can be refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.outbound.counts import BadLine

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPACE, _COMMA, _END, _RETURN = 0x20, 0x2C, 0x0A, 0x0D
_ZERO, _NINE = 0x30, 0x39
# A number of 18 digits always fits 64 bits.
_MOST_DIGITS: Final = 18
_GROUPS: Final = 2
_SEPARATORS: Final = np.zeros(256, dtype=bool)
_SEPARATORS[[_SPACE, _COMMA, _END]] = True

NO_ID: Final = "it begins with a space or is empty, where an ID is expected"
CONTROL_CHARACTER: Final = "its ID has a comma or a character that does not print"
NO_SEGMENTS: Final = "it names no segments"
TOO_MANY_FIELDS: Final = "it has more than an ID, segments and removed segments"
NOT_A_NUMBER: Final = "a segment is no number of up to 18 digits"
NOT_UTF8: Final = "its ID is not UTF-8"
AMBIGUOUS: Final = (
    "its one list, after several spaces, can be of segments or of removed ones; say which by "
    "separator_spaces"
)

ODD_SPACES: Final = (
    "its one list stands after several spaces, which are neither as many as between fields nor "
    "twice as many"
)

# What shows how many spaces are between fields: a line with three of them, or with one space.
_EVIDENCE: Final = re.compile(
    rb"^[^ ,\n]+(?P<spaces> +)\d[\d,]*(?: +\d[\d,]*)\r?$|^[^ ,\n]+(?P<one> )\d[\d,]*\r?$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class SegmentLines:
    """A block's lines.

    :param ids: the ID of each good line.
    :param segments: the segments of each, as a list.
    :param removed: the segments that each was removed from.
    :param bad: what is set aside.
    :param count: lines in all.
    :param spaces_seen: how many spaces its lines show to be between fields, least and most.
    :param first_doubtful: the place of the first line with one list after several spaces, from 0;
        None where there is none.
    :param more: columns beyond these that a template of lines has.
    """

    ids: pa.StringArray
    segments: pa.ListArray
    removed: pa.ListArray
    bad: tuple[BadLine, ...]
    count: int
    spaces_seen: frozenset[int] = frozenset()
    first_doubtful: int | None = None
    more: tuple[pa.Array, ...] = ()


def spaces_in(block: bytes) -> int | None:
    r"""How many spaces stand between fields; None where no line shows it.

    >>> spaces_in(b"B  7\n"), spaces_in(b"B  7\nA 1\n"), spaces_in(b"A  1  2\n")
    (None, 1, 2)
    """
    found = _EVIDENCE.search(block)
    return None if found is None else len(found["spaces"] or found["one"])


def read_lines(block: bytes, spaces: int | None = None) -> SegmentLines:
    r"""Read a block of whole lines in the basic layout.

    :param block: lines, each with its end; the last may be without.
    :param spaces: how many stand between fields; None where nothing shows it.

    >>> found = read_lines(b"A 24,26  25\nB 7\nC x\n")
    >>> found.segments.to_pylist(), found.removed.to_pylist(), [bad.number for bad in found.bad]
    ([[24, 26], [7]], [[25], []], [2])
    """
    if not block:
        return _empty()
    if block[-1] != _END:
        block += b"\n"
    data = np.frombuffer(block, dtype=np.uint8)
    tokens = _tokens(data)
    _place_removals(tokens, spaces)
    reasons = _reasons(tokens)
    seen, first_doubtful = _spaces_seen(tokens, reasons == 0)
    if spaces is None:
        unsure = (reasons == 0) & ~tokens.has_two & (tokens.gaps % 2 == 0)
        reasons[unsure] = _CODE[AMBIGUOUS]
    else:
        is_known = np.isin(tokens.gaps, (1, spaces, 2 * spaces))
        reasons[(reasons == 0) & ~tokens.has_two & ~is_known] = _CODE[ODD_SPACES]
    good = reasons == 0
    ids, is_text = _ids(tokens, good)
    if not is_text:
        reasons = _without_broken_text(tokens, reasons)
        good = reasons == 0
        ids, _ = _ids(tokens, good)
    return SegmentLines(
        ids=ids,
        segments=_lists(tokens, good, 1),
        removed=_lists(tokens, good, _GROUPS),
        bad=tuple(
            BadLine(int(number), _REASONS[reasons[number]]) for number in np.flatnonzero(reasons)
        ),
        count=tokens.lines,
        spaces_seen=seen,
        first_doubtful=first_doubtful,
    )


@dataclass(frozen=True, kw_only=True)
class _Tokens:
    """A block cut at its separators.

    :param data: all characters but separators.
    :param texts: the tokens, which stand in ``data`` one after the other.
    :param starts: where each begins there.
    :param lengths: of each.
    :param line: which line each is of.
    :param group: 0 the ID, 1 and 2 lists of segments, more for what has no place.
    :param lines: how many lines there are.
    :param gaps: spaces after the ID of each line.
    :param second_gaps: spaces after the first list of each line.
    :param has_two: whether each line has two lists.
    """

    data: NDArray[np.uint8]
    texts: pa.BinaryArray
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    line: NDArray[np.int64]
    group: NDArray[np.int64]
    lines: int
    gaps: NDArray[np.int64]
    second_gaps: NDArray[np.int64]
    has_two: NDArray[np.bool_]


def _tokens(data: NDArray[np.uint8]) -> _Tokens:
    is_separator = _SEPARATORS[data]
    at = np.flatnonzero(is_separator)
    kind = data[at]
    # A carriage return before a line's end belongs to the end.
    before = data[np.maximum(at - 1, 0)]
    has_return = (kind == _END) & (before == _RETURN) & (at > 0)
    dropped = is_separator
    if has_return.any():
        dropped = is_separator.copy()
        dropped[at[has_return] - 1] = True
    kept = data[~dropped]
    # Where each token ends once separators and returns are gone.
    gone = np.arange(len(at)) + (np.cumsum(has_return) if has_return.any() else 0)
    ends = at - gone
    starts = np.concatenate(([0], ends[:-1]))
    is_end = kind == _END
    line = np.cumsum(is_end) - is_end
    # What stands before a token: the start of a line, a space or a comma.
    opener = np.concatenate(([_END], kind[:-1]))
    lengths = ends - starts
    # An empty token after a space is a run of spaces, or one at a line's end: neither counts.
    is_gap = (lengths == 0) & (opener == _SPACE) & (kind != _COMMA)
    real = ~is_gap
    # A list begins at a token with a space before it.
    opens = (opener == _SPACE) & real
    number = np.cumsum(opens)
    first = np.flatnonzero(opener == _END)
    group = number - number[first][line]
    lines = int(np.count_nonzero(is_end))
    # A gap is empty, so that what is left still stands one after the other.
    offsets = np.append(starts[real], len(kept)).astype(np.int32)
    texts = pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(kept)]
    )
    return _Tokens(
        data=kept,
        texts=texts,
        starts=starts[real],
        lengths=lengths[real],
        line=line[real],
        group=group[real],
        lines=lines,
        gaps=1 + np.bincount(line[is_gap & (group == 0)], minlength=lines),
        second_gaps=1 + np.bincount(line[is_gap & (group == 1)], minlength=lines),
        has_two=np.bincount(line[real & (group > 1)], minlength=lines) > 0,
    )


def _place_removals(tokens: _Tokens, spaces: int | None) -> None:
    """A list after twice the spaces is one of removed segments: that of segments is empty."""
    if spaces is not None:
        only_removed = ~tokens.has_two & (tokens.gaps == 2 * spaces)
        if only_removed.any():
            tokens.group[(tokens.group == 1) & only_removed[tokens.line]] = _GROUPS


def _spaces_seen(tokens: _Tokens, good: NDArray[np.bool_]) -> tuple[frozenset[int], int | None]:
    """What good lines show of the spaces between fields, and the first that depends on it."""
    two, one = good & tokens.has_two, good & ~tokens.has_two
    seen = {1} if (one & (tokens.gaps == 1)).any() else set[int]()
    if two.any():
        for gaps in (tokens.gaps[two], tokens.second_gaps[two]):
            seen |= {int(gaps.min()), int(gaps.max())}
    doubtful = np.flatnonzero(one & (tokens.gaps > 1))
    return frozenset(seen), int(doubtful[0]) if len(doubtful) else None


_REASONS: Final = (
    "",
    NO_ID,
    CONTROL_CHARACTER,
    TOO_MANY_FIELDS,
    NOT_A_NUMBER,
    NO_SEGMENTS,
    NOT_UTF8,
    AMBIGUOUS,
    ODD_SPACES,
)
_CODE: Final = {reason: code for code, reason in enumerate(_REASONS)}


def _reasons(tokens: _Tokens) -> NDArray[np.uint8]:
    """Why each line is no good, as a place in ``_REASONS``; 0 where it is."""
    reasons = np.zeros(tokens.lines, dtype=np.uint8)

    def set_aside(which: NDArray[np.bool_], reason: str) -> None:
        reasons[tokens.line[which]] = _CODE[reason]

    is_id = tokens.group == 0
    is_value = ~is_id
    has_values = np.zeros(tokens.lines, dtype=bool)
    has_values[tokens.line[is_value]] = True
    reasons[~has_values] = _CODE[NO_SEGMENTS]
    data = tokens.data
    is_digit = (data >= _ZERO) & (data <= _NINE)
    wrong = _any_in(~is_digit, tokens) | (tokens.lengths == 0) | (tokens.lengths > _MOST_DIGITS)
    set_aside(is_value & wrong, NOT_A_NUMBER)
    set_aside(tokens.group > _GROUPS, TOO_MANY_FIELDS)
    # Two tokens of group 0 are an ID with a comma in it.
    again = is_id & np.concatenate(([False], (tokens.line[1:] == tokens.line[:-1]) & is_id[:-1]))
    does_not_print = (data < _SPACE) | (data == 0x7F)
    set_aside(again | (is_id & _any_in(does_not_print, tokens)), CONTROL_CHARACTER)
    set_aside(is_id & (tokens.lengths == 0), NO_ID)
    return reasons


def _any_in(flags: NDArray[np.bool_], tokens: _Tokens) -> NDArray[np.bool_]:
    """Whether any character of each token is flagged."""
    where = np.flatnonzero(flags)
    if not len(where):
        return np.zeros(len(tokens.starts), dtype=bool)
    from_start = np.searchsorted(where, tokens.starts)
    to_end = np.searchsorted(where, tokens.starts + tokens.lengths)
    found: NDArray[np.bool_] = to_end > from_start
    return found


def _ids(tokens: _Tokens, good: NDArray[np.bool_]) -> tuple[pa.StringArray, bool]:
    which = (tokens.group == 0) & good[tokens.line]
    binary = _strings(tokens, which)
    try:
        return binary.cast(pa.string()), True
    except pa.ArrowInvalid:
        return binary, False


def _without_broken_text(tokens: _Tokens, reasons: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Some ID is not UTF-8, which is rare: each is looked at."""
    which = np.flatnonzero((tokens.group == 0) & (reasons == 0)[tokens.line])
    data = tokens.data.tobytes()
    for index in which:
        start = int(tokens.starts[index])
        try:
            data[start : start + int(tokens.lengths[index])].decode()
        except UnicodeDecodeError:
            reasons[tokens.line[index]] = _CODE[NOT_UTF8]
    return reasons


def _strings(tokens: _Tokens, which: NDArray[np.bool_]) -> pa.BinaryArray:
    """Some tokens as Arrow strings."""
    return tokens.texts.filter(pa.array(which))


def _lists(tokens: _Tokens, good: NDArray[np.bool_], group: int) -> pa.ListArray:
    """The numbers of one group, as a list for each good line."""
    which = (tokens.group == group) & good[tokens.line]
    values = _strings(tokens, which).cast(pa.string()).cast(pa.int64())
    counts = np.bincount(tokens.line[which], minlength=tokens.lines)[good]
    offsets = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _empty() -> SegmentLines:
    lists: Any = pa.array([], pa.list_(pa.int64()))
    return SegmentLines(
        ids=pa.array([], pa.string()), segments=lists, removed=lists, bad=(), count=0
    )
