"""Whether lines must be taken out or joined, seen from a few of them while all are still coming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.columns.row_hash import hash_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes

# One user in 64, with all their lines; and one line in so many, whoever's it is, since all
# repeats may be those of a single line.
_OTHER_USERS: Final = np.uint64(63)
_LINES: Final = 128
_SLOTS: Final = 1 << 20
_SLOT_SHIFT: Final = np.uint64(64 - 20)


class EarlyRepeats:
    """Looks at a sample of lines, in 24 MB, whatever their number.

    It may find lines that only have the same hash, and it may find none where there are a few.

    :param max_lines_per_user: lines that one user ID may have, or None for any number.
    :param joins_lines: whether a user who has two lines is found, whatever is in them.
    """

    # A slot is a hash's highest bits and keeps the last hash that came with them, so that two
    # hashes are never counted as one. With slots of 4 bits instead of 20, and 2 lines allowed:
    #
    #   id_hashes               A3.. 51.. A3.. A7..     A3 and A7 share slot A
    #   of each user once       51.. A3.. A7..
    #   counts                    1    2    1
    #   slot A before           A3.., 1 line: A3 has 3 lines now, one too many; A7 begins anew
    #   slot A after            A7.., 1 line

    def __init__(self, max_lines_per_user: int | None, *, joins_lines: bool = False) -> None:
        self.found = 0
        self._joins_lines = joins_lines
        self._max_lines_per_user = max_lines_per_user
        self._seen = np.zeros(_SLOTS, np.uint64)
        self._users = np.zeros(_SLOTS, np.uint64)
        self._lines_of_users = np.zeros(_SLOTS, np.int64)

    def look(self, lines: pa.Array, id_hashes: Hashes) -> None:
        """Take the next lines into account.

        :param id_hashes: of their user IDs.
        """
        chosen = (id_hashes & _OTHER_USERS) == 0
        if self._max_lines_per_user is not None:
            self._count_lines(id_hashes[chosen], self._max_lines_per_user)
        chosen[::_LINES] = True
        rows = np.flatnonzero(chosen)
        if self._joins_lines:
            hashes = np.sort(id_hashes[rows])
        else:
            view = ByteView.of(lines)
            hashes = np.sort(hash_rows(view.data, view.offsets[rows], view.lengths[rows]))
        is_again = np.concatenate(([False], hashes[1:] == hashes[:-1]))
        slots = _slots(hashes)
        is_again |= self._seen[slots] == hashes
        self.found += int(np.count_nonzero(is_again))
        self._seen[slots] = hashes

    def _count_lines(self, users: Hashes, allowed: int) -> None:
        hashes, counts = np.unique(users, return_counts=True)
        slots = _slots(hashes)
        counts += np.where(self._users[slots] == hashes, self._lines_of_users[slots], 0)
        self.found += int(np.count_nonzero(counts > allowed))
        # Where users share a slot the last one stays, with its own count.
        self._users[slots], self._lines_of_users[slots] = hashes, counts


def _slots(hashes: Hashes) -> Rows:
    return (hashes >> _SLOT_SHIFT).astype(np.int64)
