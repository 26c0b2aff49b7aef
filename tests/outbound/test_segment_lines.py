"""Lines of segment files: the columns against a reader that takes one line at a time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.outbound.segment_lines import read_lines, spaces_in
from tests.examples import examples

_LINE = re.compile(
    rb"(?P<id>[^ ,\x00-\x1f\x7f]+)(?P<gap> +)(?P<added>\d{1,18}(?:,\d{1,18})*)"
    rb"(?: +(?P<removed>\d{1,18}(?:,\d{1,18})*))? *"
)

Row = tuple[str, list[int], list[int]]


def slowly(block: bytes, spaces: int | None) -> tuple[list[Row], list[int]]:
    """The same, line by line, from the words of outbound-file-name-contents.md."""
    rows: list[Row] = []
    bad: list[int] = []
    lines = block.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line.removesuffix(b"\r"))
        try:
            assert match is not None
            name = match["id"].decode()
        except (AssertionError, UnicodeDecodeError):
            bad.append(number)
            continue
        added = [int(part) for part in match["added"].split(b",")]
        removed = [int(part) for part in (match["removed"] or b"").split(b",") if part]
        gap = len(match["gap"])
        if not removed and spaces is None and gap % 2 == 0:
            bad.append(number)
            continue
        if not removed and spaces is not None and gap not in (1, spaces, 2 * spaces):
            bad.append(number)
            continue
        if not removed and spaces is not None and gap == 2 * spaces:
            added, removed = [], added
        rows.append((name, added, removed))
    return rows, bad


def quickly(block: bytes, spaces: int | None) -> tuple[list[Row], list[int]]:
    found = read_lines(block, spaces)
    rows = zip(
        found.ids.to_pylist(), found.segments.to_pylist(), found.removed.to_pylist(), strict=True
    )
    assert found.count == len(found.ids) + len(found.bad)
    return list(rows), [bad.number for bad in found.bad]


def test_adobes_own_example() -> None:
    block = b"59767559181262060060278870901087098252  24,26,27  25,28"
    assert quickly(block, spaces_in(block)) == (
        [("59767559181262060060278870901087098252", [24, 26, 27], [25, 28])],
        [],
    )


_PIECES = st.sampled_from(
    [
        b"A",
        b"59767559181262060060278870901087098252",
        b" ",
        b"  ",
        b",",
        b"24",
        b"7",
        b"\n",
        b"\r\n",
        b"\r",
        b"x",
        b"\xc3\xb6",
        b"\xff",
        b"\x00",
        b"\t",
        b"1234567890123456789",
        b"-1",
        b"A 1,2 3\n",
    ]
)


@settings(max_examples=examples(500))
@given(st.lists(_PIECES, max_size=40), st.sampled_from([None, 1, 2]))
def test_any_block_is_read_as_line_by_line(pieces: list[bytes], spaces: int | None) -> None:
    block = b"".join(pieces)
    assert quickly(block, spaces) == slowly(block, spaces)


@pytest.mark.parametrize(
    ("block", "added", "removed", "set_aside"),
    [
        (b"A 1 2\nB  25\n", [[1], []], [[2], [25]], 0),  # one space: B was only removed
        (b"A  1  2\nB  25\nC    3\n", [[1], [25], []], [[2], [], [3]], 0),  # two
        (b"B  25\nC  3\n", [], [], 2),  # nothing shows it
        (b"B   25\n", [[25]], [[]], 0),  # three are no two pairs
        (b"A 1 2\nB   25\n", [[1]], [[2]], 1),  # neither one nor two
        (b"A   1   2\nB    25\nC      3\n", [[1], []], [[2], [3]], 1),  # neither three nor six
    ],
)
def test_a_user_who_was_only_removed_is_never_guessed_at(
    block: bytes, added: list[list[int]], removed: list[list[int]], set_aside: int
) -> None:
    found = read_lines(block, spaces_in(block))
    assert found.segments.to_pylist() == added
    assert found.removed.to_pylist() == removed
    assert len(found.bad) == set_aside
