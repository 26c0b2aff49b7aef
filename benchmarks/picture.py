"""Draws the growth curve: ``python -m benchmarks.picture``, from the results to ``docs/images``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

_RESULTS: Final = Path(__file__).with_name("results")
_PICTURE: Final = Path(__file__).parents[1] / "docs" / "images" / "growth.svg"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 320, 60, 40
_COLOURS: Final = {"Parquet": "#1f77b4", "PostgreSQL": "#d62728"}
_MOST_MB: Final = 600
_LIMIT_MB: Final = 512
_LEAST_ROWS, _MOST_ROWS = 1e5, 1e8


def main() -> None:
    """Draw it."""
    _PICTURE.write_text(drawing(points()))
    print(_PICTURE)


def points() -> dict[str, dict[int, float]]:
    """Peak memory in MB by source and rows."""
    found: dict[str, dict[int, float]] = {name: {} for name in _COLOURS}
    for path in _RESULTS.glob("growth-*.json"):
        for name, side in json.loads(path.read_text())["sides"].items():
            source, _, rows = name.partition(", ")
            for reading in side["readings"]:
                _keep_highest(found[source], int(rows.replace(",", "")), reading)
    for path in _RESULTS.glob("large-*.json"):
        result = json.loads(path.read_text())
        source = "Parquet" if "parquet" in path.name else "PostgreSQL"
        _keep_highest(found[source], result["rows"], result["format"])
    return found


def _keep_highest(known: dict[int, float], rows: int, reading: dict[str, Any]) -> None:
    known[rows] = max(known.get(rows, 0.0), reading["peak_mb"])


def drawing(found: dict[str, dict[int, float]]) -> str:
    """The picture as SVG."""
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="16">Peak memory of a format task, MB, by rows read</text>',
    ]
    for megabytes in range(0, _MOST_MB + 1, 100):
        y = _y(megabytes)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{megabytes}</text>')
    y = _y(_LIMIT_MB)
    parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 10}" stroke="black" stroke-dasharray="4"/>')
    parts.append(f'<text x="{_LEFT + 4}" y="{y - 4:.1f}">{_LIMIT_MB}, the target</text>')
    for exponent in range(5, 9):
        x = _x(10**exponent)
        text = f"{10**exponent:,}"
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 18}" text-anchor="middle">{text}</text>')
    for place, (source, known) in enumerate(found.items()):
        colour = _COLOURS[source]
        places = [(_x(rows), _y(megabytes)) for rows, megabytes in sorted(known.items())]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(
            f'<text x="{_WIDTH - 110}" y="{16 + 16 * place}" fill="{colour}">{source}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _x(rows: float) -> float:
    share = math.log(rows / _LEAST_ROWS) / math.log(_MOST_ROWS / _LEAST_ROWS)
    return _LEFT + 20 + share * (_WIDTH - _LEFT - 70)


def _y(megabytes: float) -> float:
    return _HEIGHT - _BOTTOM - megabytes / _MOST_MB * (_HEIGHT - _BOTTOM - 40)


if __name__ == "__main__":
    main()
