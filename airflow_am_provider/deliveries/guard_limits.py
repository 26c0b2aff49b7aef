"""What about a delivery is so unusual that somebody should look before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.acceptance import limit, set_aside_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_am_provider.deliveries.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """How much a delivery may differ; None where it does not matter.

    :param min_rows_share: fewest rows, as a share of the earlier deliveries' median.
    :param max_rows_share: most rows, as a share of the same median.
    :param max_removed_share: largest share of users' traits that an ``.overwrite`` may remove.
    :param max_set_aside: most rows set aside: a whole number is a count, a fraction a share.
    :raises ConfigurationError: when a limit is no number, or none that makes sense.
    """

    min_rows_share: float | None = 0.5
    max_rows_share: float | None = 2.0
    max_removed_share: float | None = 0.2
    max_set_aside: float | None = 0.01

    def __post_init__(self) -> None:
        for parameter, most in (("min_rows_share", 1.0), ("max_removed_share", 1.0)):
            share = getattr(self, parameter)
            if share is not None and not 0 <= share <= most:
                raise ConfigurationError(f"{parameter}: {share!r} is not a share from 0.0 to 1.0")
        if self.max_rows_share is not None and self.max_rows_share < 1:
            raise ConfigurationError(
                f"max_rows_share: {self.max_rows_share!r} is below 1.0, so the usual number of "
                f"rows would be too many; 2.0 is twice as many"
            )
        if self.max_set_aside is not None:
            limit("max_set_aside", self.max_set_aside)


def breaches(manifest: Manifest, earlier: Sequence[Manifest], limits: GuardLimits) -> Iterator[str]:
    """Which limits a delivery breaks, in sentences with its figures.

    :param manifest: the delivery.
    :param earlier: comparable deliveries that were sent, the last one first.
    :param limits: how much it may differ.
    """
    yield from _of_rows(manifest, earlier, limits)
    if limits.max_removed_share is not None:
        yield from _of_removals(manifest, earlier, limits.max_removed_share)
    if limits.max_set_aside is not None:
        counts = {Rule(reason): count for reason, count in manifest.set_aside_by_reason.items()}
        problem = set_aside_problem(counts, manifest.rows_read, limits.max_set_aside)
        if problem is not None:
            yield problem


def figures(manifest: Manifest, earlier: Sequence[Manifest]) -> list[tuple[str, str, str]]:
    """What there is to compare: the figure's name, of this delivery, of the earlier ones."""
    rows = [
        (
            "rows written",
            f"{manifest.rows_written:,}",
            _each(f"{one.rows_written:,}" for one in earlier),
        ),
        (
            "rows set aside",
            f"{manifest.rows_set_aside:,}",
            _each(f"{one.rows_set_aside:,}" for one in earlier),
        ),
    ]
    if manifest.items is not None:
        counted = [one for one in earlier if one.items is not None]
        rows += [
            (
                "items a line",
                f"{_items_a_line(manifest):.2f}",
                _each(f"{_items_a_line(one):.2f}" for one in counted),
            ),
            (
                "lines without items",
                f"{manifest.lines_without_items:,}",
                _each(f"{one.lines_without_items:,}" for one in counted),
            ),
        ]
    return rows


def counts(manifest: Manifest) -> dict[str, int | float]:
    """The same of one delivery as numbers, by names for JSON."""
    found: dict[str, int | float] = {
        "rows_written": manifest.rows_written,
        "rows_set_aside": manifest.rows_set_aside,
    }
    if manifest.items is not None:
        found["items_a_line"] = round(_items_a_line(manifest), 2)
        found["lines_without_items"] = manifest.lines_without_items or 0
    return found


def _of_rows(manifest: Manifest, earlier: Sequence[Manifest], limits: GuardLimits) -> Iterator[str]:
    usual = median(one.rows_written for one in earlier) if earlier else 0
    if not usual:
        return
    share = manifest.rows_written / usual
    comparison = f"{manifest.rows_written:,} rows, {share:.2%} of {usual:,.0f}, " + (
        "those of the one comparable delivery before"
        if len(earlier) == 1
        else f"the median of the last {len(earlier):,} comparable deliveries"
    )
    if limits.min_rows_share is not None and share < limits.min_rows_share:
        yield f"{comparison}; min_rows_share asks for {limits.min_rows_share:.2%}"
    if limits.max_rows_share is not None and share > limits.max_rows_share:
        yield f"{comparison}; max_rows_share allows {limits.max_rows_share:.2%}"


def _of_removals(manifest: Manifest, earlier: Sequence[Manifest], most: float) -> Iterator[str]:
    """Users who are in the file with less than before; those who are not in it keep all."""
    if manifest.items is None or not _lines(manifest):
        return
    before = next((one for one in earlier if one.items is not None and _lines(one)), None)
    # Who was empty before loses nothing now.
    share, known = _emptied(manifest), 0.0 if before is None else _emptied(before)
    than = "" if before is None else f", where delivery {before.delivery_id} had {known:.2%}"
    if share - known > most:
        yield (
            f"{manifest.lines_without_items:,} of {_lines(manifest):,} users ({share:.2%}) have no "
            f"items, which removes all their traits{than}; max_removed_share allows {most:.2%} more"
        )
    if before is None or not before.items:
        return
    now, usual = _items_a_line(manifest), _items_a_line(before)
    if 1 - now / usual > most:
        yield (
            f"{now:.2f} items a line, where delivery {before.delivery_id} had {usual:.2f}: about "
            f"{1 - now / usual:.2%} of the users' traits would be removed; max_removed_share "
            f"allows {most:.2%}"
        )


def _lines(manifest: Manifest) -> int:
    return sum(part.lines for part in manifest.parts)


def _emptied(manifest: Manifest) -> float:
    return (manifest.lines_without_items or 0) / _lines(manifest)


def _items_a_line(manifest: Manifest) -> float:
    return (manifest.items or 0) / _lines(manifest) if manifest.parts else 0.0


def _each(values: Iterator[str]) -> str:
    return ", ".join(values) or "none yet"
