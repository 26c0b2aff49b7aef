"""Reads pages of the documentation: tables, snippets, links, and console examples that are run."""

import ast
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_am_provider.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param mark: the comment before it.
    """

    language: str
    text: str
    mark: str


def page(name: str) -> str:
    return (DOCS / name).read_text()


def blocks(text: str) -> list[Block]:
    return [
        Block(found["language"], found["text"], found["mark"] or "")
        for found in _FENCE.finditer(text)
    ]


def section(text: str, heading: str) -> str:
    """What stands under a heading, down to the next of its level or above."""
    level = heading.split(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.M | re.S
    )
    assert found, f"no heading {heading!r}"
    return found[1]


def rows(text: str, first_header: str) -> list[dict[str, str]]:
    """The rows of the tables whose first column is called so, by header."""
    found, header = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in _CELL.split(line)[1:-1]] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif header[0] == first_header and not set(cells[0]) <= set("-: "):
            found.append(dict(zip(header, cells, strict=True)))
    return found


def codes(text: str) -> list[str]:
    return _CODE.findall(text)


def first_codes(text: str, first_header: str) -> list[str]:
    """All `words` in the first columns of such tables."""
    return [code for row in rows(text, first_header) for code in codes(row[first_header])]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[str]:
    text = _CODE.sub("", _FENCE.sub("", path.read_text()))
    return (found["target"] for found in _LINK.finditer(text))


def stripped(text: str) -> list[str]:
    return [line.strip() for line in textwrap.dedent(text).splitlines() if line.strip()]


def sentences() -> list[str]:
    """Every string of the package, with … where something is filled in."""
    found = []
    for path in (ROOT / "airflow_am_provider").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                pieces = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                found.append("".join(map(str, pieces)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%(\.\d)?[sdfg]", "…", node.value))
    return found


class Console:
    """Runs the console examples of a page in one directory, and compares what they print.

    ``$ cat FILE`` of a file that is not there makes it, ``$ airflow-am`` is run for real, and all
    else goes to a shell.
    """

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self._capsys = capsys

    def run(self, example: str) -> None:
        for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", example, re.M):
            first, *words = shlex.split(command)
            if first == "cat" and not (self._directory / words[0]).exists():
                path = self._directory / words[0]
                path.parent.mkdir(exist_ok=True)
                path.write_text(output)
            elif first == "airflow-am":
                self._compare(command, self._run(words), output)
            else:
                done = subprocess.run(
                    command, shell=True, capture_output=True, text=True, check=True
                )
                self._compare(command, done.stdout, output)

    def _run(self, words: list[str]) -> str:
        file = words[words.index(">") + 1] if ">" in words else ""
        main(words[: words.index(">")] if file else words)
        printed = self._capsys.readouterr()
        assert printed.err == ""
        if file:
            (self._directory / file).write_text(printed.out)
        return "" if file else printed.out

    def _compare(self, command: str, printed: str, promised: str) -> None:
        assert self._plain(printed) == self._plain(promised), command

    def _plain(self, text: str) -> list[str]:
        """Without what differs from run to run: places, times, and gzip's last bytes."""
        text = text.replace(str(self._directory), "/data")
        text = re.sub(r"(?<=_)\d{10}(?=\.)", "TIMESTAMP", text)
        text = re.sub(r"^\d\d:\d\d:\d\d", "TIME", text, flags=re.M)
        text = re.sub(r"<[0-9a-f-]{36}@", "<ID@", text)
        text = re.sub(r"^(  \S+\.gz +\d+ +\d+) +\d+$", r"\1 PACKED", text, flags=re.M)
        return [line.rstrip() for line in text.rstrip().splitlines()]
