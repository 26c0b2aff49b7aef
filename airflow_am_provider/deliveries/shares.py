"""Divides things between tasks; every task that is told the same comes to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def evenly(weights: Sequence[int], count: int) -> list[int]:
    """Which of so many shares each thing goes to, so that they weigh about the same.

    >>> evenly([5, 1, 4, 1], 2)
    [0, 1, 1, 0]
    """
    loads = [0] * count
    chosen = [0] * len(weights)
    for at in sorted(range(len(weights)), key=lambda at: -weights[at]):
        chosen[at] = loads.index(min(loads))
        loads[chosen[at]] += weights[at]
    return chosen
