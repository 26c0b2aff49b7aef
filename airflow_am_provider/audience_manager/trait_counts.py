r"""How many traits a file gives to each user (features/administration/usage-limits.md).

A profile holds 150,000 traits, and the oldest go first. A line has room for 12,800, so nobody gets
beyond that but by many long lines. Only these are counted, and a file without them costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.items import ADD_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Shorter lines are not counted: 200 of them, which is all that is read of a user, give 24,800
#: traits of one digit at most, and 14,200 of seven digits.
LONG_LINE_BYTES: Final = 1_000

#: A line has at most as many traits as this goes into its bytes.
SHORTEST_ITEM_BYTES: Final = len(f",{ADD_PREFIX}0")

_FIRST: Final = b"\t" + ADD_PREFIX.encode()
_LATER: Final = b"," + ADD_PREFIX.encode()


def long_lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    r"""The long lines of a text, each with its place among all.

    It hops from line end to line end, a thousand bytes at a time, and looks at nothing between.

    :param text: whole lines with their newlines.

    >>> [(place, len(line)) for place, line in long_lines(b"a\n" + b"b" * 1000 + b"\nc\n")]
    [(1, 1000)]
    """
    start = place = counted = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + LONG_LINE_BYTES)
        if end < 0:
            end = text.index(b"\n", start)
            place += text.count(b"\n", counted, start)
            counted = start
            yield place, text[start:end]
        start = end + 1


def traits_in(line: bytes) -> int:
    r"""How many traits a line gives.

    >>> traits_in(b"ann\td_sid=1,d_sid=2,d_unsid=3")
    2
    """
    return line.count(_LATER) + line.count(_FIRST)
