"""Lines that add and remove traits of users (inbound-file-contents.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.items import ADD_PREFIX, REMOVE_PREFIX
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView, empty_to_null
from airflow_am_provider.formatting.lines.pieces import Piece, put_together
from airflow_am_provider.snapshots.user_traits import MAX_TRAIT, lists_of, moved, places_of

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.snapshots.user_traits import Pairs

#: The longest ID with which a line of one item still fits, in bytes.
MAX_ID_BYTES: Final = limits.MAX_LINE_BYTES - len(f"\t{REMOVE_PREFIX}{MAX_TRAIT}")


def changed_users(added: Pairs, removed: Pairs) -> Rows:
    """The places of the users that have any."""
    changed: Rows = np.union1d(places_of(added), places_of(removed))
    return changed


def change_lines(ids: pa.Array, added: Pairs, removed: Pairs) -> pa.Array:
    """One line for each user with something to say, in the order of the users.

    A user whose line would be longer than Adobe takes has several.

    :param ids: all users' IDs, a ``binary`` array.
    :param added: traits that they have now and that the file says, in order.
    :param removed: traits that they have no more, in order.
    :return: a ``binary`` array, each value a line with its newline.
    """
    users = changed_users(added, removed)
    places = np.zeros(len(ids), np.int64)
    places[users] = np.arange(len(users))
    pieces = [
        Piece(prefix, _joined(moved(pairs, places), len(users), prefix), "")
        for prefix, pairs in ((ADD_PREFIX, added), (REMOVE_PREFIX, removed))
    ]
    return _cut(put_together(ids.take(to_arrow(users)), pieces))


def _joined(pairs: Pairs, users: int, prefix: str) -> pa.Array:
    """The traits of each user with comma and prefix between them; null where there is none."""
    texts = lists_of(pairs, users).cast(pa.list_(pa.string()))
    return empty_to_null(pc.binary_join(texts, f",{prefix}").cast(pa.binary()))


def _cut(lines: pa.Array) -> pa.Array:
    """Lines that are too long as several, in their place."""
    long = np.flatnonzero(ByteView.of(lines).lengths > limits.MAX_LINE_BYTES + 1)
    if not long.size:
        return lines
    pieces, start = [], 0
    for place in long.tolist():
        pieces += [lines.slice(start, place - start), _several(lines[place].as_py())]
        start = place + 1
    return pa.concat_arrays([*pieces, lines.slice(start)])


def _several(line: bytes) -> pa.Array:
    user_id, _, items = line.removesuffix(b"\n").partition(b"\t")
    lines: list[bytearray] = []
    for item in items.split(b","):
        if not lines or len(lines[-1]) + 1 + len(item) > limits.MAX_LINE_BYTES:
            lines.append(bytearray(user_id + b"\t" + item))
        else:
            lines[-1] += b"," + item
    if len(lines) > limits.MAX_LINES_PER_USER:
        raise DataError(
            f"the changes of one user fill {len(lines):,} lines, and at most "
            f"{limits.MAX_LINES_PER_USER} of one user ID are read (inbound-file-contents.md)"
        )
    return pa.array([bytes(text) + b"\n" for text in lines], pa.binary())
