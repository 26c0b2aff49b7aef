"""What users have now, held against every state that Audience Manager may be in.

A delivery that was not acknowledged may have been processed or not. The same
additions and removals must make what users have now of each state that is possible: so a trait is
added when one of the states lacks it, and removed when one has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.snapshots.change_lines import changed_users
from airflow_am_provider.snapshots.snapshot_file import ListMarks
from airflow_am_provider.snapshots.user_traits import marks_of, places_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.formatting.columns.byte_columns import Marks
    from airflow_am_provider.snapshots.refresh import Refresh
    from airflow_am_provider.snapshots.user_traits import Pairs, UserTraits

#: The mark of a pair that the extract has.
NOW: Final = 1
# The mark of one that the newest snapshot has; and of one of a state, each of which has a mark of
# its own.
_LAST: Final = 2
_FIRST_STATE: Final = 4
#: So many states can be compared with at once.
MOST_STATES: Final = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A state that Audience Manager may be in.

    :param path: the snapshot that tells it, relative to the storage; None for the state before
        anything was delivered.
    :param is_open: whether the snapshot stands for all states that were possible when it was made,
        and not for the one alone that its delivery leads to.
    """

    path: str | None
    is_open: bool = False


def fits(bases: Sequence[Base]) -> bool:
    """Whether there are marks for the states of so many bases."""
    return sum(1 + base.is_open for base in bases) <= MOST_STATES


class MarkedBases(NamedTuple):
    """Bases, and the marks of their pairs.

    :param snapshots: path and marks of each snapshot.
    :param states: the marks of all states together.
    :param measures: for each snapshot, the mark of what users have once its delivery is processed,
        as far as that is told apart: what is held against the limit on removals.
    """

    snapshots: list[tuple[str, ListMarks]]
    states: int
    measures: tuple[int, ...]


def marked(bases: Sequence[Base]) -> MarkedBases:
    """Give each state a mark.

    :param bases: the newest last; as many as :func:`fits`.
    """
    assert fits(bases)
    snapshots, measures = [], []
    mark = _FIRST_STATE
    for base in bases:
        last = _LAST if base is bases[-1] else 0
        # An open one that is not the newest tells only what is sure.
        measure = last or (mark << 1 if base.is_open else mark)
        if base.path is not None and base.is_open:
            # Two states stand for all: that with all that is possible, that with what is sure.
            both = mark | mark << 1
            marks = ListMarks(unchanged=both | last, added=mark | last, removed=mark)
            mark <<= 2
        else:
            marks = ListMarks(unchanged=mark | last, added=mark | last, removed=0)
            mark <<= 1
        if base.path is not None:
            snapshots.append((base.path, marks))
            measures.append(measure)
    return MarkedBases(snapshots, mark - _FIRST_STATE, tuple(measures))


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was found.

    :param rows_changed: rows of users that have changed.
    :param rows_unchanged: rows of users that have not.
    :param users_changed: users with something added or removed, those that are gone among them.
    :param users_unchanged: users of the extract without.
    :param additions: traits added, over all users.
    :param removals: traits removed, over all users.
    :param refreshed: traits that users still have and that are said again, over all users.
    :param traits_before: for each snapshot that was compared with, the newest last: traits that
        users had in it, over all users.
    :param traits_lost: how many of these they have no more.
    :param traits: traits that users have now, over all users.
    :param full_profiles: users who have more traits now than a profile holds.
    """

    rows_changed: int = 0
    rows_unchanged: int = 0
    users_changed: int = 0
    users_unchanged: int = 0
    additions: int = 0
    removals: int = 0
    refreshed: int = 0
    traits_before: tuple[int, ...] = ()
    traits_lost: tuple[int, ...] = ()
    traits: int = 0
    full_profiles: int = 0

    def __add__(self, more: Counts) -> Counts:
        def added(one: Any, other: Any) -> Any:
            if isinstance(one, tuple):
                return tuple(map(sum, zip_longest(one, other, fillvalue=0)))
            return one + other

        names = self.__dataclass_fields__
        return Counts(**{name: added(getattr(self, name), getattr(more, name)) for name in names})


class Change(NamedTuple):
    """What some users have, and what of it is news.

    :param unchanged: pairs that there are, now and in each state.
    :param added: pairs that there are, and that a state lacks.
    :param removed: pairs that there are not, and that a state has.
    :param refreshed: those of the unchanged ones that are said again.
    """

    unchanged: Pairs
    added: Pairs
    removed: Pairs
    refreshed: Pairs
    counts: Counts


def compared(
    users: UserTraits, states: int, measures: Sequence[int] = (), refresh: Refresh | None = None
) -> Change:
    """Compare.

    :param users: users of the extract and of all snapshots, merged, with the marks of their pairs.
    :param states: the marks of all states.
    :param measures: for each snapshot the mark of what is held against the limit on removals.
    :param refresh: what is said again though it still holds; nothing by default.
    """
    # Two states are possible: that of snapshot a, with mark 4, and that of b, the newest one, with
    # mark 8 and _LAST. So states is 12. For one user:
    #
    #   trait              1        2        3     4
    #   has it             now a b  now b    a     b
    #   marks              1+4+10   1+10     4     10
    #   marks & states     12       8        4     8
    #   there              yes      yes      no    no
    #   sure               yes      no       no    no
    #   it is              kept     added    removed, each: one of the states has it
    marks = marks_of(users.pairs)
    before = (marks & _LAST) != 0
    there = (marks & NOW) != 0
    if users.held.any():
        # Not all is known of these, so they keep what they had.
        there |= before & users.held[places_of(users.pairs)]

    def there_by(mark: int) -> Any:
        return (marks & np.uint8(mark)) != 0

    in_states = marks & np.uint8(states)
    sure = in_states == states
    added, removed = users.pairs[there & ~sure], users.pairs[~there & (in_states != 0)]
    changed = np.zeros(len(users), bool)
    changed[changed_users(added, removed)] = True
    here = users.rows > 0
    unchanged = users.pairs[there & sure]
    due = slice(0) if refresh is None else refresh.due(users.hashes, unchanged)
    refreshed = unchanged[due]
    return Change(
        unchanged,
        added,
        removed,
        refreshed,
        Counts(
            rows_changed=int(users.rows[changed].sum()),
            rows_unchanged=int(users.rows[~changed].sum()),
            users_changed=int(changed.sum()),
            users_unchanged=int((here & ~changed).sum()),
            additions=len(added),
            removals=len(removed),
            refreshed=len(refreshed),
            traits_before=tuple(int(there_by(mark).sum()) for mark in measures),
            traits_lost=tuple(int((there_by(mark) & ~there).sum()) for mark in measures),
            traits=int(there.sum()),
            full_profiles=_full_profiles(users.pairs, there),
        ),
    )


def _full_profiles(pairs: Pairs, there: Marks) -> int:
    """How many users have more traits than a profile holds.

    :param pairs: in order.
    :param there: which of them users have now.
    """
    most = limits.MAX_TRAITS_PER_USER
    # Whoever has so many is met twice in a row at such steps. Nearly always nobody is.
    met = places_of(pairs[:: most // 2])
    if not (met[1:] == met[:-1]).any():
        return 0
    return int(np.count_nonzero(np.bincount(places_of(pairs[there])) > most))
