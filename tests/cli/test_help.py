"""Help that shows how: examples that can be copied, and completion in the shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from airflow_am_provider.cli import main
from airflow_am_provider.cli.arguments import parse
from airflow_am_provider.cli.examples import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

_COMMANDS = [
    "", "check", "format", "format data", "format id-sync", "receipt", "deliveries",
    "deliveries list", "deliveries show", "deliveries resend", "deliveries abandon",
    "deliveries confirm", "deliveries rename", "deliveries clean", "sandbox", "sandbox profile",
    "sandbox segments", "outbound", "outbound list", "outbound show", "outbound check",
]  # fmt: skip


@pytest.mark.parametrize("words", _COMMANDS)
def test_every_help_ends_with_examples(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    for line in EXAMPLES[words]:
        assert f"\n  airflow-am {line}\n" in printed


@pytest.mark.parametrize("line", sorted({line for lines in EXAMPLES.values() for line in lines}))
def test_every_example_is_understood(line: str) -> None:
    assert parse(shlex.split(line)) is not None


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("airflow-am del", {"deliveries"}),
        ("airflow-am deliveries res", {"resend"}),
        ("airflow-am deliveries list --s", {"--state", "--since", "--staging"}),
        ("airflow-am deliveries list --state re", {"reconciled", "rejected"}),
    ],
)
def test_the_shell_completes(typed: str, wanted: set[str], tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": typed,
        "COMP_POINT": str(len(typed)),
    }
    subprocess.run(
        [sys.executable, "-m", "airflow_am_provider.cli"], env={**os.environ, **asked}, check=True
    )
    assert {one.strip() for one in answer.read_text().split("\n")} == wanted
