"""One of several partitions of a delivery's rows, so that many workers can format them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_am_provider.audience_manager.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A share of the rows.

    :param number: which one, counted from 0.
    :param count: how many there are.
    :raises ConfigurationError: when there is no such partition.

    >>> str(Partition(number=2, count=8))
    '3 of 8 (partition=2)'
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigurationError(f"partitions: {self.count}, but at least 1 is needed")
        if not 0 <= self.number < self.count:
            raise ConfigurationError(
                f"partition: {self.number} is none of {self.count}; they are counted from 0 to "
                f"{self.count - 1}"
            )

    def __str__(self) -> str:
        return f"{self.number + 1} of {self.count} (partition={self.number})"
