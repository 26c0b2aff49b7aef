"""What is compared with what, and what should come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.readings import Reading


@dataclass(frozen=True, kw_only=True)
class Side:
    """One way to do the work.

    :param place: ``MODULE:FUNCTION`` below :mod:`benchmarks.sides`.
    :param arguments: for the function, as JSON holds them.
    :param missing: a sentence that says why it cannot run here; empty when it can.
    """

    place: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number that is worth more than seconds: mostly how many times one side takes of another.

    :param sides: the sides it is computed from, in the order of ``compute``'s parameters.
    :param compute: from the readings of one repetition.
    :param at_least: the target, where more is better.
    :param at_most: the target, where less is better.
    """

    title: str
    sides: tuple[str, ...]
    compute: Callable[..., float]
    unit: str = "×"
    at_least: float | None = None
    at_most: float | None = None

    def of(self, readings: Mapping[str, Sequence[Reading]]) -> dict[str, Any] | None:
        """Median and spread; None when a side did not run."""
        if not all(readings.get(side) for side in self.sides):
            return None
        columns = [readings[side] for side in self.sides]
        values = [self.compute(*repetition) for repetition in zip(*columns, strict=True)]
        middle = median(values)
        is_met = None
        if self.at_least is not None:
            is_met = middle >= self.at_least
        elif self.at_most is not None:
            is_met = middle <= self.at_most
        return {
            "title": self.title,
            "unit": self.unit,
            "median": round(middle, 3),
            "min": round(min(values), 3),
            "max": round(max(values), 3),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "is_met": is_met,
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Sides that are run in turn.

    :param name: what it is called on the command line.
    :param title: what is compared, in words.
    :param sides: by name; the product's own come first.
    :param same_bytes: sides that must give the same number of bytes of lines.
    :param same_content: sides that must give the very same lines.
    :param notes: what a reader must know.
    """

    name: str
    title: str
    sides: Mapping[str, Side]
    figures: Sequence[Figure]
    same_bytes: Sequence[Sequence[str]] = ()
    same_content: Sequence[Sequence[str]] = ()
    notes: str = ""


def times_faster(title: str, product: str, other: str, target: float | None = None) -> Figure:
    """How many times the other's time is the product's."""
    return Figure(
        title=title,
        sides=(product, other),
        compute=lambda ours, theirs: theirs.seconds / ours.seconds,
        at_least=target,
    )


def times_its_time(title: str, product: str, other: str, target: float | None = None) -> Figure:
    """How many times the product's time is the other's."""
    return Figure(
        title=title,
        sides=(product, other),
        compute=lambda ours, theirs: ours.seconds / theirs.seconds,
        at_most=target,
    )


def times_its_memory(title: str, product: str, other: str, target: float) -> Figure:
    """How many times the product's peak memory is the other's."""
    return Figure(
        title=title,
        sides=(product, other),
        compute=lambda ours, theirs: ours.peak_mb / theirs.peak_mb,
        at_most=target,
    )


def peak_memory(side: str) -> Figure:
    """How much memory a side took, beside the limit of a task."""
    return Figure(
        title=f"{side}: peak memory",
        sides=(side,),
        compute=lambda reading: reading.peak_mb,
        unit="MB",
        at_most=512,
    )


def in_megabytes_a_second(title: str, side: str, target: float) -> Figure:
    """How fast lines went through a side."""
    return Figure(
        title=title,
        sides=(side,),
        compute=lambda reading: reading.bytes / 1e6 / reading.seconds,
        unit="MB/s",
        at_least=target,
    )


def processor_time(title: str, product: str, other: str) -> Figure:
    """How many times the product's processor time is the other's; servers are not in it.

    Said beside times, for machines that others use too.
    """
    return Figure(
        title=title,
        sides=(product, other),
        compute=lambda ours, theirs: ours.cpu_seconds / theirs.cpu_seconds,
    )


def in_megabytes_a_processor_second(title: str, side: str) -> Figure:
    """How many lines a second of processor time is enough for."""
    return Figure(
        title=title,
        sides=(side,),
        compute=lambda reading: reading.bytes / 1e6 / reading.cpu_seconds,
        unit="MB/s",
    )
