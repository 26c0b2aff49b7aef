"""Users who stand in several parts, found exactly and in flat memory.

All user IDs are gone through for their hashes, which go to the local disk. Nearly always no hash
is there twice. Otherwise all are gone through once more, and those in doubt are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.same_texts import in_order
from airflow_am_provider.formatting.repeats.bits import RoughHashes
from airflow_am_provider.formatting.repeats.exact_repeats import whole_hashes
from airflow_am_provider.formatting.repeats.hash_file import HashFile
from airflow_am_provider.formatting.repeats.line_file import LineFile, Piece, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Rows

# A line and its part as one number.
_LINE_BITS: Final = 40


class SomeIds(NamedTuple):
    """User IDs of some lines of a part.

    :param part: its number.
    :param lines: the numbers of the lines in it.
    :param ids: a ``binary`` array.
    """

    part: int
    lines: Rows
    ids: pa.Array


class SharedUsers(NamedTuple):
    """Lines of users who stand in an earlier line of another part.

    :param parts: the number of each one's part.
    :param lines: its number there.
    :param others: the part in which the user was first.
    """

    parts: Rows
    lines: Rows
    others: Rows


def shared_users(read: Callable[[], Iterable[SomeIds]]) -> Iterator[SharedUsers]:
    """The lines of users who stand in several parts.

    :param read: goes through all user IDs, part by part; called twice where any is in doubt.
    """
    hashes = HashFile()
    several = RoughHashes()
    try:
        for some in read():
            if len(some.ids):
                hashes.add(whole_hashes(some.ids))
        for values, _ in hashes.repeated():
            several.add(values)
    finally:
        hashes.close()
    if not several:
        return
    file = LineFile()
    try:
        for some in read():
            if not len(some.ids):
                continue
            found = whole_hashes(some.ids)
            rows = np.flatnonzero(several.holds(found))
            if rows.size:
                places = some.lines[rows] + (some.part << _LINE_BITS)
                file.add(some.ids.take(to_arrow(rows)), found[rows], places)
        for share in file.shares():
            yield from _of_users(share)
    finally:
        file.close()


def _of_users(pieces: Iterable[Piece]) -> Iterator[SharedUsers]:
    """The shared users of some pieces. Only the first place of each user is remembered."""
    seen: list[Piece] = []
    for more in pieces:
        places, hashes, ids = together([*seen, more])
        order, is_first = in_order(hashes, ids)
        firsts = order[is_first]
        others = places[firsts][np.cumsum(is_first) - 1] >> _LINE_BITS
        places_in_order = places[order]
        parts = places_in_order >> _LINE_BITS
        out = parts != others
        if out.any():
            lines = places_in_order[out] & ((1 << _LINE_BITS) - 1)
            yield SharedUsers(parts[out], lines, others[out])
        seen = [Piece(places[firsts], hashes[firsts], ids.take(to_arrow(firsts)))]
