"""Counts in sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count and what is counted.

    :param count: how many.
    :param one: the word for one.
    :param many: the word for more; by default the same with an ``s``.

    >>> counted(1, "file"), counted(1200, "line"), counted(2, "user has", "users have")
    ('1 file', '1,200 lines', '2 users have')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
