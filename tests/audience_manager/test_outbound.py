"""What Adobe sends: names, control files, as its pages write and picture them."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.outbound.control_files import parse_control_file
from airflow_am_provider.audience_manager.outbound.names import SegmentFileName, digits_of

# outbound-file-name-contents.md, outbound-template-macros.md, transfer-control-files.md, pictures.
PUBLISHED = {
    "S3_1234_20914_XYZCustomer_iter_1486140844000.sync.gz": (
        1234,
        20914,
        "XYZCustomer",
        "iter",
        None,
    ),
    "S3_1234_20914_XYZCustomer_iter_1486140844000001.sync.gz": (
        1234,
        20914,
        "XYZCustomer",
        "iter",
        1,
    ),
    "S3_1234_20914_XYZCustomer_full_1486140844000002.sync.gz": (
        1234,
        20914,
        "XYZCustomer",
        "full",
        2,
    ),
    "ftp_1234_20915_iter_1486140843000001.sync.gz": (1234, 20915, None, "iter", 1),
    "ftp_1234_45454_XYZCustomer_full_1486140843200001.sync.gz": (
        1234,
        45454,
        "XYZCustomer",
        "full",
        1,
    ),
    "ftp_12345_67890_full_1500727351632-1.sync": (12345, 67890, None, "full", 1),
    "S3_12345__411_iter_1537795770000_admin.sync": (12345, None, "411", "iter", None),
    "S3_34567__411_iter_1537882877000_admin-1.sync": (34567, None, "411", "iter", 1),
}


@pytest.mark.parametrize(("text", "expected"), PUBLISHED.items())
def test_published_and_pictured_names_are_read_with_their_elements(
    text: str, expected: tuple[object, ...]
) -> None:
    # Of thirteen digits or more only what cannot be read otherwise goes without the setting.
    name = SegmentFileName.parse(text, timestamp_digits=13)
    assert (name.destination, name.master_dpid, name.alias, name.mode, name.split) == expected


def test_a_timestamp_is_a_moment() -> None:
    name = SegmentFileName.parse("s3_1_2_full_1486140844000003.sync")
    assert name.timestamp == datetime(2017, 2, 3, 16, 54, 4, tzinfo=UTC)
    assert name.split == 3


def test_parts_of_a_batch_share_their_root() -> None:
    names = [text for text in PUBLISHED if "XYZCustomer_iter" in text]
    roots = {SegmentFileName.parse(text, timestamp_digits=13).root for text in names}
    assert roots == {"S3_1234_20914_XYZCustomer_iter_1486140844000"}
    admin = "S3_34567__411_iter_1537882877000_admin"
    assert SegmentFileName.parse(f"{admin}-1.sync").root == admin


@pytest.mark.parametrize(
    "digits", ["1566906141001", "1537795770000", "20171231235959", "1566906141999"]
)
def test_what_can_be_read_in_two_ways_is_never_guessed_at(digits: str) -> None:
    with pytest.raises(DataError, match=r"can be read as .* or .*timestamp_digits"):
        SegmentFileName.parse(f"s3_123456_9999_full_{digits}.csv")


def test_the_setting_says_which() -> None:
    text = "s3_123456_9999_full_1566906141001.csv"
    ten = SegmentFileName.parse(text, timestamp_digits=10)
    thirteen = SegmentFileName.parse(text, timestamp_digits=13)
    assert (ten.root, ten.split) == ("s3_123456_9999_full_1566906141", 1)
    assert (thirteen.root, thirteen.split) == ("s3_123456_9999_full_1566906141001", None)


def test_a_control_file_says_which() -> None:
    assert digits_of("ftp_12345_67890_iter_1500727351632.info") == 13
    assert digits_of("s3_1_full_1566906141.info") == 10


def test_a_template_in_adobes_macros_says_what_stands_where() -> None:
    template = "<SYNC_TYPE>_<ORDER_ID>_<DPID>_<SYNC_MODE>_<TIMESTAMP>SPLITNUM.csv"
    name = SegmentFileName.parse("s3_123456_9999_full_1566906141002.csv", template=template)
    assert (name.destination, name.master_dpid, name.split) == (123456, 9999, 2)
    dated = '<PID_ALIAS>-<TIMESTAMP; format="YYYYMMDDhhmmss">SPLITNUM.sync'
    name = SegmentFileName.parse("acme-20260131140000.sync.gz", template=dated)
    assert (name.alias, name.packing) == ("acme", "gz")
    assert name.timestamp == datetime(2026, 1, 31, 14, tzinfo=UTC)
    java = '<ORDER_ID>_<PID_ALIAS>_<TIMESTAMP; format="yyyy-MM-dd_HH.mm">SPLITNUM.csv'
    name = SegmentFileName.parse("7_acme_eu_2026-01-31_14.30012.csv", template=java)
    assert (name.destination, name.alias, name.split) == (7, "acme_eu", 12)
    assert name.timestamp == datetime(2026, 1, 31, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("<ORDER_ID>.sync", "<TIMESTAMP> is missing"),
        ("<TIMESTAMP>_<TIMESTAMP>.sync", "stands twice"),
        ("<NOTHING>_<TIMESTAMP>.sync", "is no macro of a name"),
        ('<TIMESTAMP; format="QQ">.sync', "the format 'QQ'"),
        ('<TIMESTAMP; format="yyyyMMyyyydd">.sync', "once each"),
        ("<TIMESTAMP>_<ORDER_ID>SPLITNUM.sync", "_1.sync' can be read in two ways"),
        ("<PID_ALIAS>_<PIDALIAS>_<TIMESTAMP>.sync", "can be read in two ways"),
    ],
)
def test_a_wrong_template_is_said(template: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SegmentFileName.parse("x_1566906141.sync", template=template)


@given(st.text(max_size=60))
def test_any_other_name_is_refused_with_a_sentence_and_nothing_else(text: str) -> None:
    try:
        name = SegmentFileName.parse(text)
    except DataError as error:
        assert "file name" in str(error)  # noqa: PT017  # either way is right
    else:
        assert name.text == text


SAMPLE = b"""{
  Files: [
    { FileByteSize: 293029329, FileLineCount: 36893908,
      FileName: "ftp_12345_67890_full_1500727351632-1.sync.gz", FileSequenceNumber: 1,
      md5: "983g634be2ad5263c6a6c4958bf61d9f" },
    { FileByteSize: 293039238, FileLineCount: 36895184,
      FileName: "ftp_12345_67890_full_1500727351632-2.sync.gz", FileSequenceNumber: 2,
      md5: "6sn9907c8e78cfd78409622e7b55a984" },
  ],
  Totals: { FileName: "ftp_12345_67890_full_1500727351632.sync", TotalByteSize: 586068567,
    TotalNumberFiles: 2, TotalNumberLines: 73789092 }
}"""


def test_the_pages_own_control_file_is_read_though_it_is_no_json() -> None:
    found = parse_control_file(SAMPLE, "ftp_12345_67890_iter_1500727351632.info")
    assert [file.sequence for file in found.files] == [1, 2]
    assert [file.lines for file in found.files] == [36893908, 36895184]
    # Its checksums have letters that no MD5 has.
    assert [file.is_checkable for file in found.files] == [False, False]
    assert "are no MD5" in found.remarks[0]


def test_a_feeds_control_file_has_etags() -> None:
    content = b"""{"Files": [{"FileByteSize": 2709730, "FileName": "AAM_CDF_1109_000000_0.gz",
        "FileChecksumMD5": "a9ea418e79511642cff11c2a898037dc-1", "FileSequenceNumber": 1}],
        "Totals": {"Day": "2017-09-26", "Hour": "18", "TotalByteSize": 150092997,
        "TotalNumberFiles": 1}}"""
    found = parse_control_file(content, "hour.info")
    assert found.files[0].etag == ("a9ea418e79511642cff11c2a898037dc", 1)
    assert "TotalByteSize is not the sum" in found.remarks[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SAMPLE[:-40], "still being written"),
        (b"[]", "an object with Files"),
        (b'{"Files": []}', "lists no files"),
        (b'{"Files": [{"FileName": "../a", "FileByteSize": 1}]}', "no name of a file"),
        (b'{"Files": [{"FileName": "a/b", "FileByteSize": 1}]}', "no name of a file"),
        (b'{"Files": [{"FileName": "a\\u0000", "FileByteSize": 1}]}', "no name of a file"),
        (b'{"Files": [{"FileName": "a", "FileByteSize": -1}]}', "no count"),
        (b'{"Files": [{"FileName": "a", "FileByteSize": true}]}', "no count"),
        (b'{"Files": [{"FileName": "a"}]}', "FileByteSize is missing"),
        (
            b'{"Files": [{"FileName": "a", "FileByteSize": 1}], "Totals": {"TotalNumberFiles": 2}}',
            "Totals says 2 files and Files lists 1",
        ),
        (
            b'{"Files": [%s, %s]}' % ((b'{"FileName": "a", "FileByteSize": 1}',) * 2),
            "the same file twice",
        ),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_a_control_file_is_hostile_input(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_control_file(content, "x.info")


@pytest.mark.parametrize("beginning", ["a", 'a:"', '"a\\', "a ", ", ", "{Files:[{a:1},", "9", '"'])
def test_the_time_for_a_control_file_grows_with_its_size_alone(beginning: str) -> None:
    content = (beginning * 100_000)[:100_000].encode()
    began = time.process_time()
    with pytest.raises(DataError):
        parse_control_file(b"{Files:[{" + content, "x.info")
    # It was minutes.
    assert time.process_time() - began < 1


def test_strings_of_a_lenient_control_file_stay_as_they_are() -> None:
    content = b'{Files: [{FileName: "a, b: {c: 1,}.sync", FileByteSize: 1},]}'
    assert parse_control_file(content, "x.info").files[0].name == "a, b: {c: 1,}.sync"


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("S3_1234_20914_FULL_1486140844000.sync", None),
        (
            "S3_1234_20914_Full_1486140844000.sync",
            "<SYNC_TYPE>_<ORDER_ID>_<DPID>_<SYNC_MODE>_<TIMESTAMP>.sync",
        ),
    ],
)
def test_a_mode_is_read_in_capitals_too(name: str, template: str | None) -> None:
    found = SegmentFileName.parse(name, template=template, timestamp_digits=13)
    assert (found.mode, found.alias) == ("full", None)
