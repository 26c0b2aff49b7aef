"""The engine against the contract read row by row, and against the line-by-line reader.

For each family of rules: what is written is what a plain loop would write, byte for byte; the
reader finds nothing wrong with it and reads back the same IDs and items; every other row is
set aside for the rule that the contract names, and the reader finds fault with the line that it
would have become; and the numbers add up.
"""

from __future__ import annotations

import csv
import gzip
import io
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.files import FileReader
from airflow_am_provider.audience_manager.lines import IdSyncLine
from airflow_am_provider.audience_manager.names import named
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
from tests.formatting import families, id_sync_families, line_families
from tests.formatting.hostile_rows import Mixer, pools
from tests.formatting.memory_folder import MemoryFolder

if TYPE_CHECKING:
    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from tests.formatting.conftest import RowCount
    from tests.formatting.families import Family

# Hostile rows of one example; few are only there to be shrunk to.
SIZES = (2, 20, 300, 300, 300, 300)

# A line that breaks one of these is good by itself.
NEEDS_OTHER_ROWS = {
    Rule.DUPLICATE_LINE,
    Rule.TOO_MANY_LINES_PER_USER,
    Rule.JOINED_LINE_TOO_LONG,
    Rule.USER_INCOMPLETE,
}


@pytest.mark.parametrize(
    "family",
    [*families.ALL, *line_families.ALL, *id_sync_families.ALL],
    ids=lambda family: family.name,
)
def test_engine_and_reader_agree(family: Family, row_count: RowCount) -> None:
    examples = 1 + row_count.target // 200

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(pool=pools, seed=st.integers(0, 2**32), size=st.sampled_from(SIZES))
    def agree(pool: list[bytes], seed: int, size: int) -> None:
        mixer = Mixer(pool, Random(seed))
        rows = family.rows(mixer, size)
        row_count.add(size, _check(family, rows, mixer))

    while row_count.rows < row_count.target:
        agree()


def _check(family: Family, rows: list[families.Row], mixer: Mixer) -> int:
    writer = family.writer()
    expected = family.expected(rows)
    storage = MemoryFolder()
    batches = [family.batch(rows[piece], mixer.random) for piece in mixer.pieces(len(rows))]
    try:
        result = format_rows(batches, writer, storage, "d", FormatOptions(max_set_aside=1.0))
    except DataError as error:
        # Chance has filled a column with addresses: nothing of it is sent, good rows or not.
        if "holds personal data: " in str(error) and Rule.PERSONAL_DATA in expected.reasons:
            return 0
        raise
    text = b"".join(_unpacked(storage.files[part.path]) for part in result.parts)
    if family.is_joined:
        text = b"".join(sorted(text.splitlines(keepends=True)))
        expected.lines.sort()

    assert text == b"".join(expected.lines)
    assert result.set_aside_by_reason == expected.reasons
    assert _rejected(storage, result.rejects) == expected.aside
    assert result.rows_read == len(rows) == result.rows_written + result.rows_set_aside
    assert result.rows_set_aside == len(expected.aside)
    assert sum(part.lines for part in result.parts) == len(expected.lines)

    reader = FileReader(named(writer.file_kind, 1366545717))
    read = [
        line.ids if isinstance(line, IdSyncLine) else (line.user_id, *map(str, line.items))
        for line in reader.lines(io.BytesIO(text))
    ]
    found = {finding.rule for finding in reader.findings if finding.line is not None}
    # What is sent as it is, with a warning.
    assert found <= {Rule.UNUSABLE_KEY, Rule.ID_HYPHEN}
    assert read == [family.read(line) for line in expected.lines]
    for number, rule in expected.aside.items():
        if rule not in NEEDS_OTHER_ROWS:
            _assert_refused(family.careless(rows[number - 1]), writer)
    return result.rows_written


def _assert_refused(line: bytes | None, writer: LineWriter) -> None:
    """The reader, too, finds fault with a row that was set aside."""
    # What holds a newline is no longer one line.
    if line is not None and b"\n" not in line:
        reader = FileReader(named(writer.file_kind, 1366545717))
        list(reader.lines([b"\n", line + b"\n"]))
        assert any(finding.line == 2 for finding in reader.findings), line


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content)


def _rejected(storage: MemoryFolder, path: str | None) -> dict[int, str]:
    if path is None:
        return {}
    rows = list(csv.DictReader(io.StringIO(storage.files[path].decode())))
    assert len({row["row_number"] for row in rows}) == len(rows)
    return {int(row["row_number"]): row["reason"] for row in rows}
