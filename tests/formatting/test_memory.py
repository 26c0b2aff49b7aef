"""Memory does not depend on the number of rows."""

import subprocess
import sys
from pathlib import Path

import pytest

# A process that has imported Arrow and numpy has 80 MB already.
MOST_MB = 400
# Of each line 8 bytes are sorted at the end, up to 64 MB of them at a time; and how far reading is
# ahead of writing differs by some 40 MB from run to run. Rows are long, so that few are enough:
# half a million held would be 170 MB.
MOST_GROWTH_MB = 130


def peak_mb(module: str, rows: int, *more: int) -> int:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.formatting.{module}", *map(str, (rows, *more))],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    written, peak = map(int, done.stdout.split())
    assert written == rows
    return peak


@pytest.mark.parametrize("lines_per_user", [1, 5])
def test_memory_does_not_grow_with_the_rows(lines_per_user):
    small, large = (
        peak_mb("formatting_peak", rows, rows // lines_per_user) for rows in (250_000, 750_000)
    )
    assert large < MOST_MB
    assert large - small < MOST_GROWTH_MB


def test_memory_does_not_grow_with_the_rows_that_are_compared():
    small, large = (peak_mb("comparing_peak", rows) for rows in (100_000, 500_000))
    assert large < MOST_MB
    assert large - small < MOST_GROWTH_MB


@pytest.mark.parametrize("distinct", [1, 30_000])
def test_memory_does_not_grow_with_the_duplicates(distinct):
    small, large = (peak_mb("duplicates_peak", rows, distinct) for rows in (150_000, 600_000))
    assert large < MOST_MB
    assert large - small < MOST_GROWTH_MB
