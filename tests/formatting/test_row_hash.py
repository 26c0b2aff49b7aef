"""Hashes of rows: the same wherever a row lies, and hardly ever the same for two rows."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_am_provider.formatting.columns.row_hash import hash_rows


def hashes(rows: list[bytes], between: bytes = b"") -> list[int]:
    data = np.frombuffer(between.join(rows), np.uint8)
    lengths = np.array([len(row) for row in rows], np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths[:-1] + len(between))))
    return [int(value) for value in hash_rows(data, starts, lengths)]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 36, 38, 40])
def test_rows_of_one_length_have_the_hashes_that_they_have_among_others(length: int) -> None:
    drawn = np.random.default_rng(length).integers(0, 256, (50, length), np.uint8)
    rows = [row.tobytes() for row in drawn]
    alone = hashes(rows)
    assert hashes(rows, b"\t1,2\n") == alone
    assert hashes([*rows, b"longer" * 20, b"x"])[:-2] == alone
    assert [hashes([row]) for row in rows] == [[value] for value in alone]
    assert len(set(alone)) == len(set(rows))


def test_what_stands_behind_a_row_does_not_count() -> None:
    assert hashes([b"ann", b"bob", b"eve"])[1] == hashes([b"bob", b"abc"])[0]
    assert hashes([b"abcdefgh" + b"i"]) == hashes([b"abcdefghi", b"x" * 20])[:1]


def test_there_may_be_no_rows() -> None:
    nothing = np.empty(0, np.int64)
    assert len(hash_rows(np.empty(0, np.uint8), nothing, nothing)) == 0
