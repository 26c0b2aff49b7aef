"""What scripts and pages name is there: test files, single tests, make's targets, stages of CI."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs_pages import PAGES, ROOT

SCRIPTS = (ROOT / "Makefile", ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh")))


def named(path: Path, pattern: str) -> Iterator[str]:
    return (found[1] for found in re.finditer(pattern, path.read_text()))


def test_tests_that_are_named_are_there() -> None:
    found = [
        (path.name, name)
        for path in (*SCRIPTS, *PAGES)
        for name in named(path, r"(?<![\w/])(tests/[\w/]+(?:\.py(?:::\w+)?)?)(?![\w/*$])")
    ]
    assert len(found) > 50
    gone = []
    for page, name in found:
        file, _, function = name.partition("::")
        there = (ROOT / file).exists()
        if not there or (function and f"def {function}(" not in (ROOT / file).read_text()):
            gone.append((page, name))
    assert gone == []


def test_targets_of_make_and_stages_of_ci_that_are_named_are_there() -> None:
    targets = set(named(ROOT / "Makefile", r"(?m)^([a-z-]+):"))
    stages = set(named(ROOT / ".ci" / "run", r"(?m)^run_(\w+)\(\)")) - {"one", "beside"}
    for path in PAGES:
        for name in named(path, r"`make ([a-z-]+)"):
            assert name in targets, (path.name, name)
        for name in named(path, r"`\.ci/run ([a-z ]+)`"):
            assert set(name.split()) <= stages, (path.name, name)
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for target in targets - {"help", "setup", "demo", "serve"}:
        assert f"`make {target}`" in contributing, target
