"""What is printed of a comparison."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def heading(machine: Mapping[str, Any]) -> Iterator[str]:
    """What it ran on."""
    yield (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}; load before: {machine['load_before']}"
    )
    yield ", ".join(f"{name} {version}" for name, version in machine["packages"].items())


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Sides, then ratios with their spread and their targets."""
    yield f"{result['name']}: {result['title']}"
    for name, side in result["sides"].items():
        if side["missing"]:
            yield f"  {name:30} skipped: {side['missing']}"
            continue
        yield (
            f"  {name:30} {_spread(side, 'seconds', '.2f')} s, "
            f"{_spread(side, 'cpu_seconds', '.2f')} s of CPU, {_spread(side, 'peak_mb', ',.0f')} MB"
        )
    for figure in result["figures"]:
        yield (
            f"  {figure['title']:30} {number(figure['median'])} {figure['unit']} "
            f"({number(figure['min'])}-{number(figure['max'])}){verdict(figure)}"
        )


def verdict(figure: Mapping[str, Any]) -> str:
    """A figure's target, and whether it was met."""
    if figure["is_met"] is None:
        return ""
    is_lower_bound = figure["at_least"] is not None
    target = figure["at_least"] if is_lower_bound else figure["at_most"]
    words = f"at {'least' if is_lower_bound else 'most'} {number(target)}"
    return f"; target {words}: {'met' if figure['is_met'] else 'MISSED'}"


def number(value: float) -> str:
    """With the digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _spread(side: Mapping[str, Any], what: str, form: str) -> str:
    values = [reading[what] for reading in side["readings"]]
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"
