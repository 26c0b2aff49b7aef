"""Lines of segment files: the columns against a reader that takes one line at a time."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.outbound.segment_lines import read_lines

_LINE = re.compile(
    rb"(?P<id>[^ ,\x00-\x1f\x7f]+) +(?P<added>\d{1,18}(?:,\d{1,18})*)"
    rb"(?: +(?P<removed>\d{1,18}(?:,\d{1,18})*))? *"
)

Row = tuple[str, list[int], list[int]]


def slowly(block: bytes) -> tuple[list[Row], list[int]]:
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
        rows.append((name, added, removed))
    return rows, bad


def quickly(block: bytes) -> tuple[list[Row], list[int]]:
    found = read_lines(block)
    rows = zip(
        found.ids.to_pylist(), found.segments.to_pylist(), found.removed.to_pylist(), strict=True
    )
    assert found.count == len(found.ids) + len(found.bad)
    return list(rows), [bad.number for bad in found.bad]


def test_adobes_own_example() -> None:
    block = b"59767559181262060060278870901087098252  24,26,27  25,28"
    assert quickly(block) == (
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


@settings(max_examples=500)
@given(st.lists(_PIECES, max_size=40))
def test_any_block_is_read_as_line_by_line(pieces: list[bytes]) -> None:
    block = b"".join(pieces)
    assert quickly(block) == slowly(block)
