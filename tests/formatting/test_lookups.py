"""Columns of few values are worked on value by value, and give the same lines as row by row."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.sources.tables import read_table

ROWS = 60
COLUMNS = ("id", "segment", "gone", "code", "city", "note", "is_member")
# Good ones, empty ones, and those that break a rule; some look alike when put together.
VALUES = {
    "segment": ["1", "12", "1,2", "", None, " 3 ", "x", "007"],
    "gone": ["9", None, ""],
    "code": ["a.b", None, "z_1", "a,b"],
    "city": ["Bern", "Köln", "", None, 'a"b', "ann@example.com", "Bern,"],
    "note": ["n", None],
    "is_member": [True, False, None],
}


def writer() -> DataLineWriter:
    return DataLineWriter(
        DataFileSpec(
            dpid=478,
            id_column="id",
            traits_columns=("segment",),
            removed_traits_columns=("gone",),
            ic_columns=("code",),
            trait_flags={"is_member": 77},
            signal_columns={"city": "city", "note": "note"},
        )
    )


def batch_of(choices: list[list[int]]) -> pa.RecordBatch:
    columns = {"id": pa.array([f"user{row}" for row in range(len(choices[0]))])}
    for (name, values), chosen in zip(VALUES.items(), choices, strict=True):
        kind = pa.bool_() if name == "is_member" else pa.string()
        columns[name] = pa.array([values[choice % len(values)] for choice in chosen], kind)
    return pa.RecordBatch.from_pydict(columns)


def encoded(batch: pa.RecordBatch, names: set[str], index_type: pa.DataType) -> pa.RecordBatch:
    """The same batch with some columns as dictionaries; empty and missing values among theirs."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name not in names or name == "is_member":
            columns.append(column)
            continue
        coded = column.dictionary_encode(null_encoding="encode")
        columns.append(
            pa.DictionaryArray.from_arrays(coded.indices.cast(index_type), coded.dictionary)
        )
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


@given(
    choices=st.lists(
        st.lists(st.integers(0, 20), min_size=ROWS, max_size=ROWS), min_size=6, max_size=6
    ),
    names=st.sets(st.sampled_from(COLUMNS[1:])),
    index_type=st.sampled_from([pa.int8(), pa.int32(), pa.uint16()]),
    start=st.integers(0, 5),
)
def test_dictionaries_give_the_lines_and_verdicts_of_plain_columns(
    choices: list[list[int]], names: set[str], index_type: pa.DataType, start: int
) -> None:
    plain = batch_of(choices).slice(start)
    by_row = writer().format(plain)
    by_value = writer().format(encoded(batch_of(choices), names, index_type).slice(start))
    assert by_value.lines.to_pylist() == by_row.lines.to_pylist()
    assert by_value.codes.tolist() == by_row.codes.tolist()
    assert by_value.personal_data == by_row.personal_data
    assert by_value.line_rows.tolist() == by_row.line_rows.tolist()


def test_missing_values_of_a_dictionary_say_nothing_whether_in_the_rows_or_in_the_dictionary() -> (
    None
):
    indices = pa.array([0, 1, None, 2] * 3, pa.int32())
    city = pa.DictionaryArray.from_arrays(indices, pa.array(["Bern", None, ""]))
    ids = pa.array([f"u{row}" for row in range(12)])
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"city": "city"})
    batch = pa.RecordBatch.from_pydict({"id": ids, "city": city})
    lines = DataLineWriter(spec).format(batch).lines.to_pylist()
    assert lines == [b'u0\t"city"="Bern"\n', b'u4\t"city"="Bern"\n', b'u8\t"city"="Bern"\n']


def parquet(rows: int, **options: object) -> bytes:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "id": [f"user{row}" for row in range(rows)],
            "city": pa.array(["Bern", "Oslo", None, "ann@example.com"]).take(
                pa.array(rng.integers(0, 4, rows))
            ),
            "note": [f"{row:040d}" for row in range(rows)],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=rows // 3, **options)
    return file.getvalue()


@pytest.mark.parametrize("columns", [["id", "city", "note"], ["city", "id", "note"]])
def test_parquet_files_hand_on_small_dictionaries_except_of_the_user_id(columns: list[str]) -> None:
    batches = list(read_table(io.BytesIO(parquet(9_000)), "crm.parquet", columns))
    kinds = {name: pa.types.is_dictionary(batches[0].schema.field(name).type) for name in columns}
    # Of "note", which is as good as all different, hardly more than its numbers lies in the rows.
    assert kinds == {"id": columns[0] != "id", "city": columns[0] != "city", "note": True}


def test_parquet_files_with_and_without_dictionaries_give_the_same_lines() -> None:
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"city": "city", "note": "note"})

    def lines(content: bytes) -> list[bytes]:
        batches = read_table(io.BytesIO(content), "crm.parquet", ["id", "city", "note"])
        return [line for b in batches for line in DataLineWriter(spec).format(b).lines.to_pylist()]

    with_them = lines(parquet(9_000))
    assert with_them == lines(parquet(9_000, use_dictionary=False))
    assert 6_000 < len(with_them) < 9_000
    assert not any(b"@" in line for line in with_them)
