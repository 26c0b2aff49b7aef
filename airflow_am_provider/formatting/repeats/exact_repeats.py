"""Which lines break a rule over all lines, found byte for byte.

Lines come in their order, a piece at a time. What stays of one piece is looked at again with the
next one, and nothing else is remembered: of equal lines the last, and of a user so many as may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.columns.row_hash import Hashes, hash_rows
from airflow_am_provider.formatting.columns.same_texts import numbered
from airflow_am_provider.formatting.repeats.line_file import Piece, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows

_LOW_BITS: Final = np.uint64(0xFFFF)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Lines that must not stay, by their numbers in the delivery, from 0.

    :param duplicates: an equal line comes later.
    :param too_many: their users have as many other lines as they may.
    :param first_lines: for each of the latter, a line of the same user that stays.
    """

    duplicates: Rows
    too_many: Rows
    first_lines: Rows


def exact_repeats(pieces: Iterable[Piece], max_lines_per_user: int | None) -> Iterator[Repeats]:
    r"""Look at all lines of some users.

    :param pieces: all lines of the users, in their order.
    :param max_lines_per_user: lines that one user ID may have, or None for any number.

    >>> texts = pa.array([b"ann\t1\n", b"ann\t2\n", b"ann\t1\n", b"ann\t3\n"], pa.binary())
    >>> (found,) = exact_repeats([Piece(np.arange(4), id_hashes(texts), texts)], 2)
    >>> found.duplicates.tolist(), found.too_many.tolist()
    ([0], [3])
    """
    stayed: list[Piece] = []
    for more in pieces:
        numbers, hashes, lines = together([*stayed, more])
        # Equal lines are of one kind. With at most 2 lines for a user:
        #
        #   place       0      1      2      3      4
        #   line        ann 1  bob 1  ann 2  ann 1  ann 3
        #   kind        3      1      0      3      2       in no order
        #   last place  3      1      2      3      4       line 0 goes: an equal one comes later
        #   over        -      -      -      -      yes     ann 1 and ann 2 are her two kinds
        kinds, count = numbered(whole_hashes(lines), lines)
        places = np.arange(len(kinds))
        # Where a kind has several places, the last one assigned is kept.
        firsts, lasts = np.empty((2, count), np.int64)
        lasts[kinds] = places
        firsts[kinds[::-1]] = places[::-1]
        stays = lasts[kinds] == places
        too_many = others = numbers[:0]
        if max_lines_per_user is not None and _may_be_over(hashes, max_lines_per_user):
            over, first_kinds = _over(hashes, lines, firsts, max_lines_per_user)
            is_over = over[kinds]
            too_many, others = numbers[is_over], numbers[lasts[first_kinds[kinds[is_over]]]]
            yield Repeats(numbers[~stays & ~is_over], too_many, others)
            stays &= ~is_over
        else:
            yield Repeats(numbers[~stays], too_many, others)
        stayed = [Piece(numbers[stays], hashes[stays], lines.filter(to_arrow(stays)))]


def _may_be_over(hashes: Hashes, allowed: int) -> bool:
    """Whether a user may have more lines than allowed."""
    if len(hashes) <= allowed:
        return False
    counts = np.bincount((hashes & _LOW_BITS).astype(np.int64))
    return bool(counts.max() > allowed)


def _over(hashes: Hashes, lines: pa.Array, firsts: Rows, allowed: int) -> tuple[Marks, Rows]:
    """Which kinds of lines come after as many others of their user as there may be.

    :param firsts: where each kind is first.
    :return: for each kind whether it does, and the kind of its user's first line.
    """
    users, _ = numbered(hashes[firsts], user_ids(lines.take(to_arrow(firsts))))
    order = np.lexsort((firsts, users))
    sorted_users = users[order]
    starts = np.searchsorted(sorted_users, sorted_users)
    over, first_kinds = np.empty(len(order), bool), np.empty(len(order), np.int64)
    over[order] = np.arange(len(order)) - starts >= allowed
    first_kinds[order] = order[starts]
    return over, first_kinds


def user_ids(lines: pa.Array) -> pa.Array:
    """What stands before the first tab of each line."""
    pieces = pc.split_pattern(lines, b"\t", max_splits=1)
    return pieces.values.take(pieces.offsets.slice(0, len(lines)))


def id_hashes(lines: pa.Array) -> Hashes:
    """Hash what stands before the first tab of each line."""
    view = ByteView.of(lines)
    starts = view.offsets[:-1]
    tabs = np.flatnonzero(view.data == ord("\t"))
    # Each line has one at least; those of data files have no other.
    if len(tabs) != len(starts):
        tabs = tabs[np.searchsorted(tabs, starts)]
    return hash_rows(view.data, starts, tabs - starts)


def whole_hashes(texts: pa.Array) -> Hashes:
    """Hash whole texts."""
    view = ByteView.of(texts)
    return hash_rows(view.data, view.offsets[:-1], view.lengths)
