"""Users and their traits as columns that are sorted, put together and compared as a whole.

A pair of user and trait is one number, so that sorting numbers is all there is to it:

====================== ======================= =================
place of the user (24) trait ID (32 bits)      marks (8 bits)
====================== ======================= =================

Users stand in the order of a hash of their ID, those with the same hash in the order of their IDs.
This order is the same whatever order the rows came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import ByteView, Marks
from airflow_am_provider.formatting.columns.row_hash import Hashes, hash_rows
from airflow_am_provider.formatting.columns.same_texts import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.formatting.columns.byte_columns import Rows

Pairs = npt.NDArray[np.uint64]

#: The largest trait ID that a pair has room for; Adobe's are 32-bit numbers.
MAX_TRAIT: Final = (1 << 32) - 1
_TRAIT_SHIFT: Final = np.uint64(8)
_USER_SHIFT: Final = np.uint64(40)
_TRAIT_BITS: Final = np.uint64(MAX_TRAIT)
_MARK_BITS: Final = np.uint64(0xFF)
_BELOW_USER: Final = np.uint64((1 << 40) - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserTraits:
    """Users, and their pairs with traits.

    :param hashes: of each user's ID.
    :param ids: user IDs, a ``binary`` array without nulls.
    :param rows: how many rows of the extract said what traits the user has.
    :param held: whether another row of the user broke a rule, so that not all is known.
    :param pairs: users by their place among these, traits, marks.

    What :func:`merged` gives is in order, and has each user and each pair once.
    """

    hashes: Hashes
    ids: pa.Array
    rows: Rows
    held: Marks
    pairs: Pairs

    @classmethod
    def of(cls, ids: pa.Array, pairs: Pairs, *, rows: Rows, held: Marks) -> UserTraits:
        """Users as they come, in any order and any number of times."""
        view = ByteView.of(ids)
        hashes = hash_rows(view.data, view.offsets[:-1], view.lengths)
        return cls(hashes=hashes, ids=ids, rows=rows, held=held, pairs=pairs)

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        fixed = self.hashes.nbytes + self.rows.nbytes + self.held.nbytes
        return int(fixed + self.ids.nbytes + self.pairs.nbytes)

    def between(self, start: int, stop: int) -> UserTraits:
        """The users of some places; of what is in order."""
        bounds = np.array([start, stop], np.uint64) << _USER_SHIFT
        low, high = np.searchsorted(self.pairs, bounds)
        return UserTraits(
            hashes=self.hashes[start:stop],
            ids=self.ids.slice(start, stop - start),
            rows=self.rows[start:stop],
            held=self.held[start:stop],
            pairs=self.pairs[low:high] - bounds[0],
        )


NOBODY: Final = UserTraits(
    hashes=np.empty(0, np.uint64),
    ids=pa.array([], pa.binary()),
    rows=np.empty(0, np.int64),
    held=np.empty(0, bool),
    pairs=np.empty(0, np.uint64),
)


def pairs_of(places: npt.NDArray[np.integer], traits: npt.NDArray[np.integer], mark: int) -> Pairs:
    """Pairs of users, by their places, and traits, all with the same marks.

    >>> some = pairs_of(np.array([0, 7]), np.array([24, 28]), 1)
    >>> places_of(some).tolist(), traits_of(some).tolist(), marks_of(some).tolist()
    ([0, 7], [24, 28], [1, 1])
    """
    pairs = places.astype(np.uint64) << _USER_SHIFT
    pairs |= traits.astype(np.uint64) << _TRAIT_SHIFT
    pairs |= np.uint64(mark)
    return pairs


def places_of(pairs: Pairs) -> npt.NDArray[np.int64]:
    """The place of each pair's user."""
    return (pairs >> _USER_SHIFT).astype(np.int64)


def traits_of(pairs: Pairs) -> npt.NDArray[np.uint32]:
    """The trait of each pair."""
    return ((pairs >> _TRAIT_SHIFT) & _TRAIT_BITS).astype(np.uint32)


def marks_of(pairs: Pairs) -> npt.NDArray[np.uint8]:
    """The marks of each pair."""
    return (pairs & _MARK_BITS).astype(np.uint8)


def distinct_traits(pairs: Pairs) -> list[int]:
    """Each trait once that some pairs have."""
    found: list[int] = pc.unique(to_arrow(traits_of(pairs))).to_pylist()
    return found


def moved(pairs: Pairs, places: npt.NDArray[np.integer]) -> Pairs:
    """The pairs with each user at another place.

    :param places: by the place that it had.
    """
    there: Pairs = places.astype(np.uint64)[places_of(pairs)] << _USER_SHIFT
    return there | (pairs & _BELOW_USER)


def lists_of(pairs: Pairs, users: int) -> pa.ListArray:
    """The traits of each user as a list.

    :param pairs: in order.
    :param users: how many users there are.
    """
    counts = np.bincount(places_of(pairs), minlength=users)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.ListArray.from_arrays(to_arrow(offsets), to_arrow(traits_of(pairs)))


def pairs_in(lists: pa.ListArray, mark: int) -> Pairs:
    """The pairs of what :func:`lists_of` gave, in order."""
    offsets = to_numpy(lists.offsets)
    places = np.repeat(np.arange(len(lists)), np.diff(offsets))
    return pairs_of(places, to_numpy(lists.flatten()), mark)


def merged(several: Sequence[UserTraits]) -> UserTraits:
    """Each user once, with the pairs of all and the marks of all pairs, in order.

    Memory is a few times that of what is merged.
    """
    ids = pa.concat_arrays([one.ids for one in several])
    hashes = np.concatenate([one.hashes for one in several])
    if not len(hashes):
        return NOBODY
    order, is_first = in_order(hashes, ids)
    starts = np.flatnonzero(is_first)
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(is_first) - 1
    pairs = []
    passed = 0
    for one in several:
        pairs.append(moved(one.pairs, places[passed : passed + len(one)]))
        passed += len(one)
    firsts = order[starts]
    return UserTraits(
        hashes=hashes[firsts],
        ids=ids.take(to_arrow(firsts)),
        rows=np.add.reduceat(np.concatenate([one.rows for one in several])[order], starts),
        held=np.logical_or.reduceat(np.concatenate([one.held for one in several])[order], starts),
        pairs=_each_once(np.concatenate(pairs)),
    )


def _each_once(pairs: Pairs) -> Pairs:
    """Sorted, and those of one user and trait as one with the marks of all."""
    pairs.sort()
    if not pairs.size:
        return pairs
    bare = pairs >> _TRAIT_SHIFT
    is_first = np.concatenate(([True], bare[1:] != bare[:-1]))
    if is_first.all():
        return pairs
    starts = np.flatnonzero(is_first)
    # Above the marks the bits are the same anyway.
    together: Pairs = np.bitwise_or.reduceat(pairs, starts)
    return together
