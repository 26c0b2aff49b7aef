"""Shares of a query's rows by ranges of a key: what an index can find, where a hash reads all.

A row belongs to the range whose upper bound is the first one that is above its key. So it is in
one range and no other, whatever order the database puts texts in, and rows without a key are in
the first.
"""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.partition import Partition

_PLACE: Final = "partition_bounds"
# Databases and drivers do not read these in the same way.
_NOT_IN_TEXT: Final = "\\%"
_NUMBER: Final = "number"


class Bounds:
    """Where each range but the last one ends, as SQL; what is equal to a bound is above it.

    :param values: whole numbers, decimal numbers, texts, or dates and times; each above the one
        before.
    :raises ConfigurationError: when they are not.

    >>> Bounds([1000, 2000]).count
    3
    """

    def __init__(self, values: object) -> None:
        if not isinstance(values, list | tuple):
            raise ConfigurationError(
                f"{_PLACE}: {type(values).__name__}, but a list is expected, such as [1000, 2000], "
                f"or the .output of a task that returned one"
            )
        kinds = {_kind(at, value) for at, value in enumerate(values)}
        if len(kinds) > 1:
            raise ConfigurationError(f"{_PLACE}: {' and '.join(sorted(kinds))}, but only one kind")
        for at, (low, high) in enumerate(pairwise(values), start=1):
            # Only the database knows which of two texts is above.
            if low == high or (kinds != {"text"} and not _is_above(high, low)):
                raise ConfigurationError(f"{_PLACE}[{at}]: not above the one before")
        self._literals: tuple[str, ...] = tuple(_literal(value) for value in values)

    @property
    def count(self) -> int:
        """How many ranges there are."""
        return len(self._literals) + 1

    def __str__(self) -> str:
        # What bounds are may say something of people.
        digest = hashlib.sha256("\n".join(self._literals).encode()).hexdigest()[:8]
        return f"{self.count} ranges {digest}"

    def check(self, count: int) -> int:
        """So many ranges.

        :raises ConfigurationError: when there are more or fewer.
        """
        if count != self.count:
            raise ConfigurationError(
                f"partitions: {count}, but {_PLACE} has {len(self._literals)} bounds, which make "
                f"{self.count}; leave partitions out, or make both agree"
            )
        return count

    def condition(self, expression: str, partition: Partition) -> str:
        """What is true of the rows of one range, and of no other row.

        The numbering alone would do. The comparison after it says nothing more, but in a way
        that an index understands.

        :param expression: SQL, the key.
        """
        self.check(partition.count)
        key = f"({expression})"
        if not self._literals:
            return "1 = 1"
        whens = [
            f"WHEN {key} < {literal} THEN {number}" for number, literal in enumerate(self._literals)
        ]
        numbering = " ".join(
            [f"CASE WHEN {key} IS NULL THEN 0", *whens, f"ELSE {len(self._literals)} END"]
        )
        conditions = [f"{numbering} = {partition.number}"]
        if partition.number == 0:
            conditions.append(f"({key} < {self._literals[0]} OR {key} IS NULL)")
        else:
            # Not ">=": where not-a-number is neither below nor above, it belongs to the last range.
            conditions.append(f"NOT ({key} < {self._literals[partition.number - 1]})")
            if partition.number < len(self._literals):
                conditions.append(f"{key} < {self._literals[partition.number]}")
        return " AND ".join(conditions)


def _kind(at: int, value: object) -> str:
    if isinstance(value, str):
        if not value.isprintable() or any(character in value for character in _NOT_IN_TEXT):
            raise ConfigurationError(
                f"{_PLACE}[{at}]: holds a backslash, a percent sign or a control character"
            )
        return "text"
    if isinstance(value, date):
        return type(value).__name__
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and isfinite(value):
        return _NUMBER
    raise ConfigurationError(
        f"{_PLACE}[{at}]: {value!r} is neither a number nor a text, a date or a time"
    )


def _is_above(high: Any, low: Any) -> bool:
    try:
        return bool(high > low)
    except TypeError:
        raise ConfigurationError(f"{_PLACE}: times with a zone and without") from None


def _literal(value: Any) -> str:
    if isinstance(value, date):
        value = str(value)  # as SQL writes it, with a blank before the time
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return format(value, "f") if isinstance(value, Decimal) else repr(value)
