"""Whoever lets a line off a check says why, beside it."""

import re

from demo.local.processes import REPOSITORY

FOLDERS = ("airflow_am_provider", "benchmarks", "dags", "demo", "scripts", "tests")
#: Codes, and then a comment of its own; two exceptions on a line share one.
LET_OFF = re.compile(r"# (?:noqa|type: ignore)\b(.*)$")
REASON = re.compile(r"  # (?!noqa|type: ignore)\S")


def test_each_has_its_reason() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for folder in FOLDERS
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (exception := LET_OFF.search(line)) and not REASON.search(exception[1])
    ]
    assert found == []
