"""How often each user stands in a file, for rules such as 200 lines a user.

Files hold millions of users. :class:`ExactCounts` knows each one;
:class:`SuspectCounts` fits in 16 MB whatever the file, and names those who may be over the
limit, so that a second reading needs to count these alone.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

# Users share slots by chance. A file of 5 GB has some 40 million lines, ten in each of 2 ** 22
# slots: far from 200, in a quarter of the memory, which the processor's caches hold better. Small
# limits need more room. Who has very many, of traits for instance, is rare, and a slot takes four
# bytes.
_VERY_FEW_SLOT_BITS = 20
_FEW_SLOT_BITS = 22
_MANY_SLOT_BITS = 24
_ENOUGH_FOR_FEW_SLOTS = 100
_MOST_IN_A_BYTE = 255


def _slot_mask(limit: int) -> int:
    """What of a hash is the number of a slot."""
    bits = _FEW_SLOT_BITS if limit >= _ENOUGH_FOR_FEW_SLOTS else _MANY_SLOT_BITS
    return (1 << (_VERY_FEW_SLOT_BITS if limit > _MOST_IN_A_BYTE else bits)) - 1


class UserCounts(Protocol):
    """Counts users and tells who is over the limit."""

    def over_limit(self, user_id: bytes, times: int = 1) -> bool:
        """Count a user once more, or several times more. Is that over the limit?"""
        ...

    def places_over_limit(self, user_ids: Sequence[bytes], times: int = 1) -> list[int]:
        """Count many users; at which places of the sequence is one over the limit?"""
        ...


class ExactCounts:
    """Counts every user, or only the suspects of an earlier reading.

    :param limit: the largest count that is allowed.
    :param suspects: count only users in these slots of a :class:`SuspectCounts`.

    >>> counts = ExactCounts(limit=2)
    >>> [counts.over_limit(user) for user in (b"ann", b"bob", b"ann", b"ann")]
    [False, False, False, True]
    """

    def __init__(self, *, limit: int, suspects: frozenset[int] | None = None) -> None:
        self._limit = limit
        self._suspects = suspects
        self._mask = _slot_mask(limit)
        self._counts: Counter[bytes] = Counter()

    def over_limit(self, user_id: bytes, times: int = 1) -> bool:
        """Count a user once more, or several times more. Is that over the limit?"""
        if self._suspects is not None and hash(user_id) & self._mask not in self._suspects:
            return False
        # Eight bytes a user instead of the ID, which may have any length.
        key = hashlib.blake2b(user_id, digest_size=8).digest()
        self._counts[key] += times
        return self._counts[key] > self._limit

    def places_over_limit(self, user_ids: Sequence[bytes], times: int = 1) -> list[int]:
        """Count many users; at which places of the sequence is one over the limit?"""
        return [place for place, user_id in enumerate(user_ids) if self.over_limit(user_id, times)]


class SuspectCounts:
    """Counts users by slots that several may share: never too low, perhaps too high.

    It calls nobody over the limit, but collects the slots of those who may be.

    :param limit: the largest count that is allowed.

    >>> counts = SuspectCounts(limit=2)
    >>> [counts.over_limit(user) for user in (b"ann", b"bob", b"ann", b"ann")]
    [False, False, False, False]
    >>> len(counts.suspects)
    1
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._mask = _slot_mask(limit)
        size = self._mask + 1
        self._slots: MutableSequence[int] = (
            array("I", bytes(4 * size)) if limit > _MOST_IN_A_BYTE else bytearray(size)
        )
        self._suspects: set[int] = set()

    @property
    def suspects(self) -> frozenset[int]:
        """The slots that hold more than the limit."""
        return frozenset(self._suspects)

    def over_limit(self, user_id: bytes, times: int = 1) -> bool:
        """Count a user once more, or several times more. Never says yes."""
        slot = hash(user_id) & self._mask
        count = self._slots[slot] + times
        if count > self._limit:
            self._suspects.add(slot)
        else:
            self._slots[slot] = count
        return False

    def places_over_limit(self, user_ids: Sequence[bytes], times: int = 1) -> list[int]:
        """Count many users. Names no places."""
        # The same as over_limit for each, without a call for each.
        slots, limit, mask = self._slots, self._limit, self._mask
        for user_id in user_ids:
            slot = hash(user_id) & mask
            count = slots[slot] + times
            if count > limit:
                self._suspects.add(slot)
            else:
                slots[slot] = count
        return []
