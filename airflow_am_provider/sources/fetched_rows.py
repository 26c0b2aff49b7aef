"""Rows of a cursor in batches of bounded bytes: few are fetched at a time where they are large."""

from __future__ import annotations

from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Rows = Sequence[Sequence[Any]]

# Nobody knows how large the next rows are. A driver holds all that it fetches, some twice: so many
# rows of 1 MB are still few enough.
_MOST_ROWS_PER_FETCH: Final = 128
_FIRST_ROWS: Final = 4
_BYTES_PER_FETCH: Final = 16 << 20
_BYTES_PER_BATCH: Final = 8 << 20


def fetched_columns(fetch: Callable[[int], Rows], rows_per_batch: int) -> Iterator[list[list[Any]]]:
    """Fetch all rows.

    :param fetch: fetches so many rows, or those that are left.
    :param rows_per_batch: rows of a batch, at most.
    :return: the values of each column, a batch at a time; nothing when there are no rows.
    """
    held: list[Sequence[Any]] = []
    held_bytes = 0
    rows_per_fetch = _FIRST_ROWS
    while rows := list(fetch(rows_per_fetch)):
        sizes = [sum(map(_size, row)) for row in rows]
        rows.reverse()
        for size in sizes:
            held.append(rows.pop())
            held_bytes += size
            if len(held) >= rows_per_batch or held_bytes >= _BYTES_PER_BATCH:
                yield _columns(held)
                held, held_bytes = [], 0
        # Twice as many as before, as long as they are small.
        fitting = _BYTES_PER_FETCH // max(1, *sizes)
        rows_per_fetch = max(1, min(2 * rows_per_fetch, _MOST_ROWS_PER_FETCH, fitting))
    if held:
        yield _columns(held)


def _columns(rows: list[Sequence[Any]]) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]


def _size(value: Any) -> int:
    if isinstance(value, list | tuple):
        return getsizeof(value) + sum(map(_size, value))
    if isinstance(value, dict):
        return getsizeof(value) + sum(map(_size, value)) + sum(map(_size, value.values()))
    return value.nbytes if isinstance(value, memoryview) else getsizeof(value)
