"""Names of segments, as the mappings of a destination have them in Adobe's REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_am_provider.audience_manager.api.answers import Mapping

Ask: TypeAlias = "Callable[[int], Sequence[Mapping]]"


class SegmentNames:
    """The names of each destination's segments, asked for once.

    :param ask: gives the mappings of a destination.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[int, tuple[Mapping, ...]] = {}

    def of(self, destination: int) -> tuple[Mapping, ...]:
        """The mappings of a destination; none where a batch does not say of which it is.

        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        if not destination:
            return ()
        if destination not in self._known:
            self._known[destination] = tuple(self._ask(destination))
        return self._known[destination]


def named(segments: pa.ListArray, mappings: Sequence[Mapping]) -> pa.ListArray:
    """The names of segments, in lists as long as theirs; null for one that has none.

    :param segments: lists of numbers.
    :param mappings: the destination's.
    """
    numbers = pa.array([mapping.sid for mapping in mappings], pa.int64())
    names = pa.array([mapping.name or None for mapping in mappings], pa.string())
    found = names.take(pc.index_in(segments.flatten(), value_set=numbers))
    starts = segments.offsets
    return pa.ListArray.from_arrays(pc.subtract(starts, starts[0]), found)
