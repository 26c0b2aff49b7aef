"""CSV and Parquet files as sources."""

import gzip
import io
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.formatting.tables import read_table
from tests.formatting.running import run

NEEDED = ("id", "traits")


def rows(content: bytes, name: str = "crm.csv", columns=NEEDED, **options) -> list[tuple]:
    batches = read_table(io.BytesIO(content), name, columns, **options)
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,traits\na,1\nb,\n", [(b"a", b"1"), (b"b", None)]),
        (b"traits,other,id\n1,x,a\n", [(b"a", b"1")]),
        (b"\xef\xbb\xbfid,traits\r\na,1\r\nb,2\r\n", [(b"a", b"1"), (b"b", b"2")]),
        (b'id,traits\n"a\nx","1,2"\n"b""q",""\n', [(b"a\nx", b"1,2"), (b'b"q', None)]),
        (b'"id","traits"\n"a","1"', [(b"a", b"1")]),
        (b"id,traits\n a ,1 \n", [(b" a ", b"1 ")]),
        (b"id,traits\nM\xfcller,1\n", [(b"M\xfcller", b"1")]),
        (b"id,traits\na\x00b,NULL\n", [(b"a\x00b", b"NULL")]),
        ("id,traits\n\ufeffa,e\u0301\n".encode(), [("\ufeffa".encode(), "e\u0301".encode())]),
        (b"id,traits\n", []),
        (b"id,traits", []),
        (b"id,traits,other\na,1,\xff\n", [(b"a", b"1")]),
    ],
)
def test_csv_fields_pass_byte_for_byte(content, expected):
    assert rows(content) == expected
    assert rows(gzip.compress(content), "crm.csv.gz") == expected
    with io.BytesIO(content) as raw:
        slow = _Trickling(raw)
        assert [
            tuple(row.values())
            for batch in read_table(slow, "crm.csv", NEEDED)
            for row in batch.to_pylist()
        ] == expected


class _Trickling(io.RawIOBase):
    """Gives three bytes at a time, as a slow connection may."""

    def __init__(self, file) -> None:
        super().__init__()
        self.file = file

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self.file.read(min(3, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


NO_PARQUET = (
    "Parquet magic bytes not found in footer. Either the file is corrupted or this is not a "
    "parquet file."
)


def test_other_delimiters():
    assert rows(b"id\ttraits\na\t1,2\n", "crm.tsv") == [(b"a", b"1,2")]
    assert rows(b"id;traits\na;1,2\n", delimiter=";") == [(b"a", b"1,2")]
    several = gzip.compress(b"id\ttraits\na\t1\n") + gzip.compress(b"b\t2\n")
    assert rows(several, "crm.tsv.gz") == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_large_files_are_read_in_pieces(line_end):
    lines = [b"id,traits"] + [b'"user-%d","%d,\n7"' % (n, n) for n in range(600_000)]
    batches = list(read_table(io.BytesIO(line_end.join(lines)), "crm.csv", NEEDED))
    assert len(batches) > 1
    assert sum(batch.num_rows for batch in batches) == 600_000
    assert batches[-1].column("traits")[-1].as_py() == b"599999,\n7"


def test_row_numbers_of_rejects_are_those_of_the_data_rows():
    content = b'id,traits\nann,1\n"b\nb",2\n\xff,3\neve,4\na:b,5\n'
    done = run(read_table(io.BytesIO(content), "crm.csv", NEEDED), max_set_aside=3)
    assert [(row["row_number"], row["reason"]) for row in done.rejects] == [
        ("2", "id_control_character"),
        ("3", "invalid_utf8"),
        ("5", "id_colon"),
    ]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            b"id,traits\na,1\njane@example.com,1,2\n",
            "crm.csv",
            "CSV parse error, Expected 2 columns, got 3 in a row",
        ),
        (
            b'id,traits\n"jane,1\nb,2\n',
            "crm.csv",
            "CSV parse error, Expected 2 columns, got 1 in a row",
        ),
        (b"id,traits\nann,1\n", "crm.csv.gz", "zlib inflate failed"),
        (
            gzip.compress(b"id,traits\n" + b"ann,1\n" * 9999)[:-20],
            "crm.csv.gz",
            "Truncated compressed stream",
        ),
        (
            b"PAR1 jane@example.com",
            "crm.parquet",
            NO_PARQUET,
        ),
        (b"id,traits," + b"x" * 200_000, "crm.csv", "field larger than field limit (131072)"),
    ],
)  # fmt: skip
def test_damaged_files_say_so_and_show_no_data(content, name, message):
    with pytest.raises(DataError) as caught:
        rows(content, name)
    assert str(caught.value) == (
        f"source '{name}': the file is damaged or not what its name says: {message}"
    )


def parquet(arrays, names=NEEDED, **options) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names), file, **options)
    return file.getvalue()


def test_damaged_pages_of_parquet():
    content = bytearray(parquet([pa.array(["a"] * 5000), pa.array(range(5000))]))
    content[30:4000] = b"\xff" * 3970
    with pytest.raises(DataError, match="the file is damaged or not what its name says"):
        rows(bytes(content), "crm.parquet")


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (b"id,other\n", NEEDED, "no column 'traits'; it has 'id', 'other'"),
        (b"", NEEDED, "no column 'id', 'traits'; it has none"),
        (b"id,id,traits\n", NEEDED, "column 'id' is there 2 times; rename one"),
        (b"id,traits,x,x\n", NEEDED, None),
        (
            b"jane@example.com,24\n",
            NEEDED,
            "no column 'id', 'traits'; it has ja… (16 characters), '24'",
        ),
    ],
)
def test_columns_are_there_once(content, columns, message):
    if message is None:
        assert rows(content, columns=columns) == []
        return
    with pytest.raises(ConfigurationError) as caught:
        rows(content, columns=columns)
    assert str(caught.value) == f"source 'crm.csv': {message}"


def test_parquet_columns_are_there_once():
    content = parquet([pa.array([1]), pa.array([1]), pa.array([2])], ("id", "id", "traits"))
    with pytest.raises(ConfigurationError) as caught:
        rows(content, "crm.parquet")
    assert str(caught.value) == "source 'crm.parquet': column 'id' is there 2 times; rename one"


def test_other_formats_are_refused():
    with pytest.raises(ConfigurationError) as caught:
        rows(b"", "crm.xlsx")
    assert str(caught.value) == (
        "source 'crm.xlsx': the format follows from the name, which must end in .parquet, .pq, "
        ".csv, .csv.gz, .tsv or .tsv.gz"
    )


@pytest.mark.parametrize(
    ("ids", "traits", "text"),
    [
        (pa.array([1, 2]), pa.array([[1, 2], [3]]), b"1\td_sid=1,d_sid=2\n2\td_sid=3\n"),
        (
            pa.array(["a", "b"]).dictionary_encode(),
            pa.array([[1], None], pa.large_list(pa.int32())),
            b"a\td_sid=1\n",
        ),
        (
            pa.array([b"0123456789abcdef"], pa.uuid()),
            pa.array([7]),
            b"30313233-3435-3637-3839-616263646566\td_sid=7\n",
        ),
        (pa.array([5, 6], pa.decimal128(20, 0)), pa.array(["1", None]), b"5\td_sid=1\n"),
        (pa.array([1000, 2000], pa.timestamp("s")), pa.array(["1", ""]), None),
    ],
)
def test_parquet_types(ids, traits, text):
    content = parquet([ids, traits])
    done = run(read_table(io.BytesIO(content), "crm.parquet", NEEDED), max_set_aside=2)
    if text is None:
        # The time in it is no ID of Audience Manager's: colons.
        assert done.result.set_aside_by_reason == {"id_colon": 2}
    else:
        assert done.text == text


def test_floating_point_ids_of_parquet_are_refused():
    content = parquet([pa.array([1.0]), pa.array(["24"])])
    with pytest.raises(ConfigurationError, match="column 'id': IDs come as floating-point numbers"):
        run(read_table(io.BytesIO(content), "crm.parquet", NEEDED))


def test_long_rows_of_parquet_come_a_few_at_a_time():
    texts = pa.array([f"{number:05d}" + "x" * 50_000 for number in range(2000)])
    content = parquet([pa.array(range(2000)), texts], use_dictionary=False)
    found = list(read_table(io.BytesIO(content), "crm.parquet", NEEDED))
    assert sum(batch.num_rows for batch in found) == 2000
    assert max(batch.nbytes for batch in found) < 32 << 20
    small = parquet([pa.array(range(100_000)), pa.array(range(100_000))])
    found = list(read_table(io.BytesIO(small), "crm.parquet", NEEDED))
    assert [batch.num_rows for batch in found] == [32_768, 32_768, 32_768, 1_696]


def test_a_parquet_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """Of a file of 200 MB that does not compress, little is in memory at any time."""
    path = tmp_path / "large.parquet"
    with pq.ParquetWriter(path, pa.schema({"id": pa.binary()})) as writer:
        for seed in range(20):
            noise = random.Random(seed).randbytes(10_000_000)
            ids = pa.array([noise[start : start + 100] for start in range(0, len(noise), 100)])
            writer.write_table(pa.table({"id": ids}))
    script = f"""
        import re
        from pathlib import Path
        from airflow_am_provider.formatting.tables import read_table
        def peak_mb():
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) >> 10
        before, rows = peak_mb(), 0
        with open({str(path)!r}, "rb") as file:
            for batch in read_table(file, "large.parquet", ["id"]):
                rows += batch.num_rows
        print(rows, peak_mb() - before)
    """
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True
    ).stdout
    rows, grown_mb = map(int, printed.split())
    assert rows == 2_000_000
    assert grown_mb < 180
