"""Values far longer than a line: their rows are set aside, in bounded memory, whatever the type."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import IdSyncPrefix
from airflow_am_provider.formatting import batches
from airflow_am_provider.formatting.columns.long_values import LONGEST_VALUE, row_sizes
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncSpec
from airflow_am_provider.sources import parquet_pages
from airflow_am_provider.sources.tables import read_table
from tests.formatting.running import run, table

MOST_MB = 512
LONG = "1" * (LONGEST_VALUE + 1)
ROWS = 40_000


def dictionary(numbers: list[int], *values: str) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(values))


@pytest.mark.parametrize(
    ("long_rows", "long_bytes", "ids"),
    [
        (1, 30 << 20, "different"),
        (ROWS // 8, 1 << 20, "different"),
        (ROWS // 40, 100_000, "different"),
        (ROWS // 8, 1 << 20, "alike"),
    ],
)
def test_what_a_dictionary_unfolds_to_is_never_held(
    tmp_path: Path, long_rows: int, long_bytes: int, ids: str
) -> None:
    every = ROWS // long_rows
    is_long = [int(row % every == 0) for row in range(ROWS)]
    long = "x" * long_bytes
    few = dictionary(is_long, "Bern", long)
    users = pa.array([f"user{row}" for row in range(ROWS)])
    columns = {"id": users, "city": few} if ids == "different" else {"id": few, "city": users}
    path = tmp_path / "crm.parquet"
    pq.write_table(pa.table(columns), path)
    assert path.stat().st_size < 3_000_000
    done = subprocess.run(
        [sys.executable, "-m", "tests.formatting.large_values_peak", str(path)],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
        text=True,
        timeout=60,
    )
    written, reasons, peak = json.loads(done.stdout)
    if ids == "different" and long_bytes > 102_400:
        assert reasons == {"line_too_long": long_rows}
    elif ids == "different":
        assert reasons == {}
    else:
        # All the others are one user's.
        assert reasons == {
            "line_too_long": long_rows,
            "too_many_lines_per_user": ROWS - long_rows - 200,
        }
    assert written == ROWS - sum(reasons.values())
    assert peak < MOST_MB


def test_items_of_lists_stay_in_their_dictionary() -> None:
    cities = pa.array([["x" * 200_000] if row % 2 else ["Bern"] for row in range(2000)])
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [f"user{row}" for row in range(2000)], "city": cities}), file)
    (batch,) = read_table(file, "crm.parquet", ["id", "city"])
    assert batch.nbytes < 1_000_000
    cut = list(batches.bounded([batch], ["id", "city"]))
    assert max(int(row_sizes(some.column(1)).sum()) for some in cut) <= batches.MAX_BYTES
    assert [row for some in cut for row in some.column(1).to_pylist()] == cities.to_pylist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.string_view()),
    ],
    ids=str,
)
def test_rows_with_long_values_are_set_aside_and_the_others_stay(kind: pa.DataType) -> None:
    texts = [LONG, "24", None, LONG * 3, "25,26", LONG]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        traits = pa.array([None if text is None else text.split(",") for text in texts], kind)
    elif pa.types.is_dictionary(kind):
        traits = pa.array(texts).dictionary_encode()
    else:
        traits = pa.array(texts, kind)
    ids = pa.array([f"user{row}" for row in range(6)])
    done = run([pa.RecordBatch.from_arrays([ids, traits], ["id", "traits"])], max_set_aside=1.0)
    assert done.text == b"user1\td_sid=24\nuser4\td_sid=25,d_sid=26\n"
    assert done.result.set_aside_by_reason == {"line_too_long": 3, "no_items": 1}
    assert sorted(row["row_number"] for row in done.rejects) == ["1", "3", "4", "6"]


def test_null_stays_null_whatever_lies_behind_it() -> None:
    array = pa.array([LONG, "24"])
    valid = pa.py_buffer(bytes([0b10]))
    hidden = pa.Array.from_buffers(pa.string(), 2, [valid, *array.buffers()[1:]])
    batch = pa.RecordBatch.from_arrays([pa.array(["ann", "bob"]), hidden], ["id", "traits"])
    done = run([batch], max_set_aside=1.0)
    assert done.result.set_aside_by_reason == {"no_items": 1}


def test_a_long_value_of_an_email_column_is_never_hashed() -> None:
    spec = IdSyncSpec(
        master_dpid=478,
        dpids=(479,),
        columns=("crm_id", "email"),
        prefix=IdSyncPrefix.C2C_ID,
        hash_columns=("email",),
    )
    rows = [("ann", f"{LONG}@example.com"), ("bob", "bob@example.com")]
    done = run([table(rows, ("crm_id", "email"))], HashedEmailLineWriter(spec), max_set_aside=1)
    assert done.result.rows_written == 1
    assert done.text.startswith(b"bob\t")


def test_a_long_id_of_a_device_is_none() -> None:
    spec = DataFileSpec(dpid=20914, target_dpid=478, id_column="id", traits_columns=("traits",))
    done = run([table([(LONG, "24")])], DataLineWriter(spec), max_set_aside=1)
    assert done.result.set_aside_by_reason == {"id_form": 1}


def test_a_row_that_is_too_large_in_any_case_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 50_000)
    monkeypatch.setattr(batches, "_MOST_BYTES_OF_A_ROW", 100_000)
    source = [table([("ann", [1])] * 5), table([("bob", [2]), ("eve", list(range(20_000)))])]
    with pytest.raises(DataError) as caught:
        run(source)
    assert str(caught.value) == (
        "row 7, column 'traits': 240,000 bytes; a row of 100,000 at most is read, and a line has "
        "102,400 at most (inbound-file-contents.md). Leave this row out in the source"
    )


@pytest.mark.parametrize(
    ("use_dictionary", "what"),
    [
        (True, "a dictionary of 3,300,044 bytes, and at most 1,000,000 are held"),
        (False, "values of 300,00"),
    ],
)
def test_pages_that_are_too_large_are_named_before_they_are_read(
    use_dictionary: bool, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_pages, "_MOST_BYTES_AS_A_WHOLE", 1_000_000)
    file = io.BytesIO()
    cities = [chr(ord("a") + row) * 300_000 for row in range(11)]
    rows = pa.table({"id": list(map(str, range(11))), "city": cities})
    pq.write_table(rows, file, use_dictionary=use_dictionary)
    with pytest.raises(DataError) as caught:
        list(read_table(file, "crm.parquet", ["id", "city"]))
    assert str(caught.value).startswith(f"source 'crm.parquet', column 'city', row group 1: {what}")
    # Columns that are not needed are not looked at.
    assert sum(batch.num_rows for batch in read_table(file, "crm.parquet", ["id"])) == 11


def test_a_csv_row_larger_than_a_block_is_said_to_be_that() -> None:
    text = f"id,traits\nann,1\nbob,{'1' * 20_000_000}\n".encode()
    with pytest.raises(DataError) as caught:
        list(read_table(io.BytesIO(text), "crm.csv", ["id", "traits"]))
    assert str(caught.value) == (
        "source 'crm.csv': a row of more than 8,388,608 bytes; no line is longer than 102,400 "
        "(inbound-file-contents.md). Leave the row out, or see whether a quotation mark is not "
        "closed"
    )
