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
from airflow_am_provider.sources.tables import read_table
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
    ],
)
def test_columns_are_there_once(content, columns, message):
    if message is None:
        assert rows(content, columns=columns) == []
        return
    with pytest.raises(ConfigurationError) as caught:
        rows(content, columns=columns)
    assert str(caught.value) == f"source 'crm.csv': {message}"


LINE = "mend it: quote fields with ',' in them, and close what is quoted"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,traits\na,1\nj@example.com,1,2\n", "line 3 has 3 fields, but the first line has 2"),
        (b'id,traits\n"jane,1\nb,2\n', "line 2 has 1 field, but the first line has 2"),
        # Empty lines are none to Arrow, and a row may be several.
        (b'id,traits\n"a\nx",1\n\n\nb\n', "line 6 has 1 field, but the first line has 2"),
        (b'\xef\xbb\xbf"id","a,b",traits\r\na,1,2\r\nb,1\r\n',
         "line 3 has 2 fields, but the first line has 3"),
        (b"id,traits\n" + b"a,1\n" * 3_000_000 + b"b\n",
         "line 3,000,002 has 1 field, but the first line has 2"),
    ],
)  # fmt: skip
def test_a_line_with_other_fields_is_found(content, message):
    for name, text, encoding in (
        ("crm.csv", content, "utf-8"),
        ("crm.csv.gz", gzip.compress(content, 1), "utf-8"),
        ("crm.csv", content.decode("utf-8-sig").encode("utf-16"), "utf-16"),
    ):
        with pytest.raises(DataError) as caught:
            rows(text, name, encoding=encoding)
        assert str(caught.value) == f"source '{name}': {message}; {LINE}"
        assert caught.value.__suppress_context__


def test_where_a_file_is_read_but_once_the_line_has_no_number():
    with pytest.raises(DataError) as caught:
        list(read_table(_Trickling(io.BytesIO(b"id,traits\na,1\nb\n")), "crm.csv", NEEDED))
    assert str(caught.value) == (
        f"source 'crm.csv': a line has 1 field, but the first line has 2; {LINE}"
    )


NOT_SHOWN = "not shown here, since they are customers' data where a file has no header"


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (b"jane@example.com,24,8412773\n1,2,3\n", NEEDED,
         f"no column 'id', 'traits'; it has 3 others, {NOT_SHOWN}"),
        (b"8412773\n", ["id"], f"no column 'id'; it has 1 other, {NOT_SHOWN}"),
        (b"8412773,Jane\n", None, "it has 2 columns; name the one that is needed"),
        (b"8412773,Id \n", ["id"],
         (f"no column 'id'; it has 2 others, {NOT_SHOWN}; there is 'Id ', which differs in case or "
         "blanks")),
        (b"id;traits;Jane\n", NEEDED,
         (f"no column 'id', 'traits'; it has 1 other, {NOT_SHOWN}; ';' is between the fields, not "
         "',': set the delimiter")),
        (b"Jane\ttraits\tid\n", NEEDED,
         (f"no column 'id', 'traits'; it has 1 other, {NOT_SHOWN}; a tab is between the fields, "
         "not ',': set the delimiter")),
        (b"8412773\nb\n", None,
         ("its first line does not look like the name of a column, and whoever stands there would "
         "be missing. Give the file a header, or name the column")),
        (b"8412773;Jane\n", None,
         ("its first line does not look like the name of a column; ';' is between the fields, not "
         "',': set the delimiter. Give the file a header, or name the column")),
        ("größe,Jane\n".encode("latin-1"), ["größe"],
         (f"no column 'größe'; it has 2 others, {NOT_SHOWN}; its first line is not UTF-8: name its "
         "encoding, such as 'windows-1252'")),
        ("id,Jane\n".encode("utf-16-le"), ["id"],
         (f"no column 'id'; it has 2 others, {NOT_SHOWN}; it has zero bytes, as UTF-16 has: name "
         "its encoding, such as 'utf-16-le'")),
    ],
)  # fmt: skip
def test_what_may_be_data_is_not_taken_for_a_header(content, columns, message):
    with pytest.raises(ConfigurationError) as caught:
        rows(content, columns=columns)
    assert str(caught.value) == f"source 'crm.csv': {message}"


@pytest.mark.parametrize(
    "header", ["id", "Customer ID", "email_sha256", "md5", "sha-1", "größe", "_id", "user.id"]
)
def test_the_only_column_of_a_list_needs_no_name(header):
    assert rows(f"{header}\nann\n".encode(), columns=None) == [(b"ann",)]


@pytest.mark.parametrize(
    "first", ["8412773", "CUST0001", "ann@example.com", "+44 20 7946 0958", "a" * 8 + "0" * 56]
)
def test_the_first_user_of_a_list_without_a_header_is_not_lost(first):
    with pytest.raises(ConfigurationError, match="does not look like the name of a column"):
        rows(f"{first}\nann\n".encode(), columns=None)
    assert rows(f"{first}\nann\n".encode(), columns=[first]) == [(b"ann",)]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("latin-1", "latin-1"),
        ("cp1252", "windows-1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "utf-16-be"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-8"),  # its mark says what it is
        ("utf-32", "utf-8"),
    ],
)
def test_other_encodings_become_utf8(encoding, said):
    content = ('id,größe\nMüller,"1\n2"\n' + "ß,ä\n" * 200_000).encode(encoding)
    columns = ("id", "größe")
    for name, text in (("crm.csv", content), ("crm.csv.gz", gzip.compress(content, 1))):
        found = rows(text, name, columns, encoding=said)
        assert found[0] == ("Müller".encode(), b"1\n2")
        assert found[1:] == [("ß".encode(), "ä".encode())] * 200_000


def test_what_is_not_in_the_encoding_that_is_said():
    with pytest.raises(DataError) as caught:
        rows(b"id,traits\nM\x81,1\n", encoding="cp1252")
    assert str(caught.value) == (
        "source 'crm.csv': it is not cp1252: it has bytes that mean nothing there; name another "
        "encoding"
    )
    assert caught.value.__suppress_context__


def test_utf_16_without_its_mark_is_told_so():
    with pytest.raises(DataError) as caught:
        rows(b"id,traits\nann,1234\n", encoding="utf-16")
    assert str(caught.value) == (
        "source 'crm.csv': it is not utf-16: it does not begin with a byte order mark; name "
        "'utf-16-le' or 'utf-16-be', or what else it is"
    )
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "said",
    ["base64", "rot13", "utf-7-or-so", "", "undefined", "a\0b", "punycode", "idna",
     "unicode_escape"],
)  # fmt: skip
def test_encodings_that_are_none(said):
    with pytest.raises(ConfigurationError) as caught:
        rows(b"id,traits\n", encoding=said)
    assert str(caught.value) == (
        f"encoding: {said!r} is none that Python knows; such as 'utf-8', 'latin-1', "
        f"'windows-1252' or 'utf-16'"
    )


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
        from airflow_am_provider.sources.tables import read_table
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
