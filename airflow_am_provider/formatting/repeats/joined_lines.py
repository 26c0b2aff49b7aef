r"""All lines of a user made one, for ``.overwrite`` files: the items of all, each of them once.

Nothing says that the parts of an ``.overwrite`` replace together, so that a user whose lines stand
in two parts may end with those of either one (faq/faq-inbound-data-ingestion.md). What stands on
one line is in one part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.formatting.columns.arrow import text_scalar, texts_array, to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView, stretches
from airflow_am_provider.formatting.columns.lookups import joined
from airflow_am_provider.formatting.columns.row_hash import hash_rows
from airflow_am_provider.formatting.columns.same_texts import in_order
from airflow_am_provider.formatting.repeats.line_file import Piece, together
from airflow_am_provider.formatting.repeats.same_items import said_before

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy.typing as npt

    from airflow_am_provider.formatting.columns.byte_columns import Bytes, Marks, Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes

_TAB: Final = ord("\t")
_COMMA: Final = ord(",")
_NEWLINE: Final = ord("\n")


def joined_lines(pieces: Iterable[Piece]) -> tuple[pa.Array, frozenset[bytes]]:
    r"""Join the lines of each user.

    What is joined of one piece is joined with the next one, and nothing else is remembered.

    :param pieces: all lines of the users, in their order.
    :return: one line of each user, in the order of the hashes of their IDs; and the IDs of users
        who have none, since it would be too long.

    >>> texts = pa.array([b"ann\td_sid=1\n", b"bob\td_sid=1\n", b"ann\td_sid=2,d_sid=1\n"])
    >>> lines, _ = joined_lines([Piece(np.arange(3), np.array([7, 1, 7], np.uint64), texts)])
    >>> lines.to_pylist()
    [b'bob\td_sid=1\n', b'ann\td_sid=1,d_sid=2\n']
    """
    held: list[Piece] = []
    too_long: set[bytes] = set()
    for more in pieces:
        numbers, hashes, lines = together([*held, more])
        hashes, lines = _one_of_each(hashes, lines)
        is_long = ByteView.of(lines).lengths > limits.MAX_LINE_BYTES + 1
        if is_long.any():
            too_long.update(leading_ids(lines.filter(to_arrow(is_long))).to_pylist())
            hashes, lines = hashes[~is_long], lines.filter(to_arrow(~is_long))
        held = [Piece(numbers[:0], hashes, lines)]
    lines = held[0].lines if held else texts_array([])
    if too_long:
        # Their later lines may have been short enough by themselves.
        lines = lines.filter(to_arrow(~are_among(leading_ids(lines), too_long)))
    return lines, frozenset(too_long)


def leading_ids(lines: pa.Array) -> pa.Array:
    """What stands before the tab of each line, of which each has one."""
    view = ByteView.of(lines)
    return stretches(view.data, view.offsets[:-1], _tabs(view), int(view.offsets[-1]))


def _one_of_each(hashes: Hashes, lines: pa.Array) -> tuple[Hashes, pa.Array]:
    """One line of each user, in the order of the hashes."""
    order, is_first = in_order(hashes, leading_ids(lines))
    if is_first.all():
        return hashes[order], lines.take(to_arrow(order))
    view = ByteView.of(lines)
    # A user ID with nothing after it says nothing beside a line with items.
    is_empty = (np.diff(view.offsets) - (_tabs(view) - view.offsets[:-1]) == 2)[order]
    users = np.cumsum(is_first) - 1
    if is_empty.any():
        has_items = np.zeros(users[-1] + 1, bool)
        has_items[users[~is_empty]] = True
        stays = ~is_empty | (is_first & ~has_items[users])
    else:
        stays = np.ones(len(order), bool)
    firsts = order[is_first]
    # Lines that are one already are left as they are.
    several = np.bincount(users) > 1
    items = _items_of_each(view, order[stays], users[stays], several)
    ids = leading_ids(lines).take(to_arrow(firsts))
    return hashes[firsts], joined(ids, text_scalar(b"\t"), items)


def _items_of_each(view: ByteView, rows: Rows, users: Rows, several: Marks) -> pa.Array:
    """The items of each user with commas between them and a newline at the end.

    :param view: the lines.
    :param rows: which of them, those of a user next to one another.
    :param users: the user's number of each row, from 0.
    :param several: of which users each item is said once.
    """
    # With the rows "1", "2,1" of user 0 and "1" of user 1; a newline ends a user's items:
    #
    #   data        1 , 2 , 1 \n 1 \n
    #   starts      0   2   4    6
    #   ends        2   4   6    8       one after the comma or newline
    #   of_users    0   0   0    1
    #   again       -   -   yes  -       user 0 has had a 1
    #   result      1,2\n and 1\n
    texts_of_items = stretches(view.data, _tabs(view) + 1, view.offsets[1:], int(view.offsets[-1]))
    texts = ByteView.of(texts_of_items.take(to_arrow(rows)))
    data = texts.data.copy()
    _set_ends(data, texts.offsets[1:], users)
    ends = np.flatnonzero((data == _COMMA) | (data == _NEWLINE)) + 1
    starts = np.concatenate(([0], ends[:-1]))
    of_users = np.cumsum(data[ends - 1] == _NEWLINE)
    of_users = np.concatenate(([0], of_users[:-1]))
    again = said_before(data, starts, ends - 1, of_users, several[of_users])
    if again.any():
        items = _arrays(data, np.append(starts, ends[-1]))
        kept = ByteView.of(items.filter(to_arrow(~again)))
        data = kept.data.copy()
        _set_ends(data, kept.offsets[1:], of_users[~again])
    newlines = np.flatnonzero(data == _NEWLINE) + 1
    return _arrays(data, np.concatenate(([0], newlines)))


def _set_ends(data: Bytes, ends: Rows, users: Rows) -> None:
    """End the last text of each user with a newline, and the others with a comma."""
    data[ends - 1] = _COMMA
    data[ends[np.append(users[1:] != users[:-1], True)] - 1] = _NEWLINE


def _tabs(view: ByteView) -> Rows:
    found: Rows = np.flatnonzero(view.data == _TAB)
    assert len(found) == len(view.offsets) - 1
    return found


def _arrays(data: Bytes, offsets: npt.NDArray[Any]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def are_among(ids: pa.Array, some: Collection[bytes]) -> Marks:
    """Which IDs are some of those."""
    marks = np.zeros(len(ids), bool)
    if some and len(ids):
        view, wanted = ByteView.of(ids), ByteView.of(texts_array(sorted(some)))
        hashes = hash_rows(wanted.data, wanted.offsets[:-1], wanted.lengths)
        perhaps = np.isin(hash_rows(view.data, view.offsets[:-1], view.lengths), hashes)
        rows = np.flatnonzero(perhaps)
        marks[rows] = [one in some for one in ids.take(to_arrow(rows)).to_pylist()]
    return marks
