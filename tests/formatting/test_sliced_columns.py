"""Columns that are slices of larger ones, as sources hand them out."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_am_provider.formatting.columns.byte_columns import empty_to_null

VALUES = [b"K\xc3\xb6ln", b"gold", b"", b"x" * 56, None, b"y"]


@pytest.mark.parametrize("start", range(len(VALUES)))
def test_empty_text_in_a_slice_becomes_none_and_the_rest_stays(start: int) -> None:
    # Arrow's if_else wrote foreign memory here before version 24.
    column = pa.array([b"before" * 9, *VALUES], pa.binary()).slice(1 + start)
    nulled = empty_to_null(column)
    nulled.validate(full=True)
    assert nulled.to_pylist() == [value or None for value in VALUES[start:]]
    kept = nulled.filter(nulled.is_valid())
    assert kept.to_pylist() == [value for value in VALUES[start:] if value]
