"""How many rows the property tests go through.

``AM_PROPERTY_ROWS=100000 pytest tests/formatting/test_properties.py`` makes at least so many
rows for each family of rules; the numbers are printed at the end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = "generated rows"
FULL = "AM_PROPERTY_ROWS"


class RowCount:
    """Counts the hostile rows that a family of rules was tried on."""

    target = int(os.environ.get(FULL, "1000"))

    def __init__(self) -> None:
        # A list, so that the report of the test sees what is counted after it was recorded.
        self.numbers = [0, 0]

    @property
    def rows(self) -> int:
        return self.numbers[0]

    def add(self, rows: int, written: int) -> None:
        self.numbers[0] += rows
        self.numbers[1] += written


@pytest.fixture
def row_count(record_property: Callable[[str, object], None]) -> RowCount:
    count = RowCount()
    record_property(ROWS, count.numbers)
    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FULL not in os.environ:
        return
    terminalreporter.section("hostile rows per family of rules")
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
    ]
    for report in reports:
        for name, numbers in report.user_properties:
            if name == ROWS:
                rows, written = numbers
                family = report.nodeid.partition("[")[2].rstrip("]")
                terminalreporter.line(
                    f"{family:24}{rows:>10,} generated {written:>10,} written, with good rows "
                    f"among them {report.duration:7.1f} s"
                )
