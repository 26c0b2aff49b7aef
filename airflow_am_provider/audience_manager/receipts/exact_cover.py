"""Whether sets can be chosen that share nothing, leave nothing out, and add up to a total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    Name = TypeVar("Name", bound=Hashable)

# Names that are looked at. Receipts of one delivery need few; of more, as only a forger makes,
# nothing is taken for shown.
_MOST_LOOKS: Final = 1_000_000


def has_exact_cover(
    names: frozenset[Name], counted: Sequence[tuple[frozenset[Name], int]], total: int
) -> bool:
    """Whether some sets have each name once, and their counts add up.

    :param names: all names; every set has some of them.
    :param counted: sets and their counts.
    :param total: what the counts of the chosen sets have to add up to.
    :return: False also where looking further would take too long.

    >>> sets = [(frozenset("ab"), 5), (frozenset("bc"), 4), (frozenset("c"), 3)]
    >>> has_exact_cover(frozenset("abc"), sets, 8)
    True
    >>> has_exact_cover(frozenset("abc"), sets, 9)
    False
    """
    by_name: dict[Name, list[int]] = {name: [] for name in names}
    for place, (own, _) in enumerate(counted):
        for name in own:
            by_name[name].append(place)
    waiting: list[tuple[frozenset[Name], int]] = [(names, total)]
    looks = 0
    while waiting and looks < _MOST_LOOKS:
        left, wanted = waiting.pop()
        looks += len(left) + 1
        if not left:
            if not wanted:
                return True
            continue
        # Those that the fewest sets have leave the least to try.
        name = min(left, key=lambda one: len(by_name[one]))
        for place in by_name[name]:
            own, count = counted[place]
            looks += len(own)
            if own <= left and count <= wanted:
                waiting.append((left - own, wanted - count))
    return False
