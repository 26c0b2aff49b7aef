"""Names of inbound files: parsed, printed back, refused with the reason."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import (
    DataFileKind,
    IdSyncFileKind,
    parse_file_kind,
)
from airflow_am_provider.audience_manager.identifiers import is_global_device_data_source
from airflow_am_provider.audience_manager.names import (
    MAX_DPID,
    MAX_TIMESTAMP,
    MIN_TIMESTAMP,
    DataFileName,
    Encoding,
    IdSyncFileName,
    IdSyncPrefix,
    Mode,
    OracleDataCloudFileName,
    named,
    parse_file_name,
)
from tests.audience_manager.hostile import hostile_text
from tests.examples import examples

DATA_FORM = "ftp_dpm_DPID[_TARGETDPID]_TIMESTAMP(.sync|.overwrite)[.SPLIT][.gz|.pgp|.gpg]"
ID_SYNC_FORM = "(adobe_id|c2c_id)_MASTERDPID_DPID[_DPID...]_TIMESTAMP.sync[.SPLIT][.gz|.pgp|.gpg]"
ODC_FORM = "ftp_dpm_odc_DPID[_TARGETDPID]_TIMESTAMP(.sync|.overwrite)[.SPLIT][.gz]"

# Every good name on inbound-s3-filenames.md, inbound-ftp-filenames.md and
# inbound-file-encryption.md; the last with the tenth digit that its page leaves out.
ADOBES_DATA_NAMES = {
    "ftp_dpm_478_1366545717.sync.1.gz": DataFileName(
        dpid=478, timestamp=1366545717, split=1, encoding=Encoding.GZIP
    ),
    "ftp_dpm_478_1366545717.sync.2.gz": DataFileName(
        dpid=478, timestamp=1366545717, split=2, encoding=Encoding.GZIP
    ),
    "ftp_dpm_478_1366545717.sync": DataFileName(dpid=478, timestamp=1366545717),
    "ftp_dpm_478_567_1366545717.sync.gz": DataFileName(
        dpid=478, target_dpid=567, timestamp=1366545717, encoding=Encoding.GZIP
    ),
    "ftp_dpm_478_1366545717.overwrite": DataFileName(
        dpid=478, timestamp=1366545717, mode=Mode.OVERWRITE
    ),
    "ftp_dpm_33_21_1234567890.sync": DataFileName(dpid=33, target_dpid=21, timestamp=1234567890),
    "ftp_dpm_20914_21_1234567890.sync": DataFileName(
        dpid=20914, target_dpid=21, timestamp=1234567890
    ),
    "ftp_dpm_20915_21_1234567890.sync": DataFileName(
        dpid=20915, target_dpid=21, timestamp=1234567890
    ),
    "ftp_dpm_121963_21_1234567890.sync": DataFileName(
        dpid=121963, target_dpid=21, timestamp=1234567890
    ),
    "ftp_dpm_1234_1445374061.overwrite": DataFileName(
        dpid=1234, timestamp=1445374061, mode=Mode.OVERWRITE
    ),
    "ftp_dpm_100_1234567890.sync.pgp": DataFileName(
        dpid=100, timestamp=1234567890, encoding=Encoding.PGP
    ),
    "ftp_dpm_100_1234567890.overwrite.gpg": DataFileName(
        dpid=100, timestamp=1234567890, mode=Mode.OVERWRITE, encoding=Encoding.GPG
    ),
}
# Every good name on id-sync-file-based.md and people-based-destinations-workflow-combined.md.
ADOBES_ID_SYNC_NAMES = {
    "adobe_id_111_222_333_444_1454442149.sync": IdSyncFileName(
        master_dpid=111, dpids=(222, 333, 444), timestamp=1454442149
    ),
    "adobe_id_123_898_456_1454442149.sync.1.gz": IdSyncFileName(
        master_dpid=123, dpids=(898, 456), timestamp=1454442149, split=1, encoding=Encoding.GZIP
    ),
    "adobe_id_123_898_456_1454442149.sync.2.gz": IdSyncFileName(
        master_dpid=123, dpids=(898, 456), timestamp=1454442149, split=2, encoding=Encoding.GZIP
    ),
    "c2c_id_123_898_1454442149.sync.gz": IdSyncFileName(
        prefix=IdSyncPrefix.C2C_ID,
        master_dpid=123,
        dpids=(898,),
        timestamp=1454442149,
        encoding=Encoding.GZIP,
    ),
    "adobe_id_0_12345_1476312152.sync": IdSyncFileName(
        master_dpid=0, dpids=(12345,), timestamp=1476312152
    ),
    "adobe_id_12345_67890_1476312876.sync": IdSyncFileName(
        master_dpid=12345, dpids=(67890,), timestamp=1476312876
    ),
    "adobe_id_12345_67890_1477846458.sync": IdSyncFileName(
        master_dpid=12345, dpids=(67890,), timestamp=1477846458
    ),
    "c2c_id_999999_987654_1560431657.sync": IdSyncFileName(
        prefix=IdSyncPrefix.C2C_ID, master_dpid=999999, dpids=(987654,), timestamp=1560431657
    ),
}
ADOBES_NAMES = ADOBES_DATA_NAMES | ADOBES_ID_SYNC_NAMES

dpids = st.integers(1, MAX_DPID)
timestamps = st.integers(MIN_TIMESTAMP, MAX_TIMESTAMP)
splits = st.none() | st.integers(1, MAX_DPID)
encodings = st.sampled_from(Encoding)
data_names = st.builds(
    DataFileName,
    dpid=dpids.filter(lambda dpid: not is_global_device_data_source(dpid)),
    target_dpid=st.none() | dpids,
    timestamp=timestamps,
    mode=st.sampled_from(Mode),
    split=splits,
    encoding=encodings,
)
id_sync_names = st.builds(
    IdSyncFileName,
    prefix=st.just(IdSyncPrefix.ADOBE_ID),
    master_dpid=st.just(0) | dpids,
    dpids=st.lists(st.just(0) | dpids, min_size=1, max_size=5).map(tuple),
    timestamp=timestamps,
    split=splits,
    encoding=encodings,
) | st.builds(
    IdSyncFileName,
    prefix=st.just(IdSyncPrefix.C2C_ID),
    master_dpid=st.just(0) | dpids,
    dpids=st.tuples(dpids),
    timestamp=timestamps,
    split=splits,
    encoding=encodings,
)


@pytest.mark.parametrize(("text", "name"), ADOBES_NAMES.items(), ids=list(ADOBES_NAMES))
def test_adobes_names_are_parsed_and_printed_back(text, name):
    assert parse_file_name(text) == name
    assert str(name) == text


def test_files_of_oracle_data_cloud_are_recognised():
    text = "ftp_dpm_odc_12345_1556223815.sync"
    assert parse_file_name(text) == OracleDataCloudFileName(text=text)
    assert str(parse_file_name(text)) == text


@settings(max_examples=examples(300), deadline=None)
@given(name=data_names | id_sync_names)
def test_what_was_printed_is_parsed_as_the_same(name):
    assert parse_file_name(str(name)) == name


@settings(max_examples=examples(1000), deadline=None)
@given(
    text=hostile_text
    | st.from_regex(r"\A(ftp_dpm|adobe_id|c2c_id)_[_0-9]*\.(sync|overwrite)[.0-9gzp]*\Z")
)
@example(text="ftp_dpm_478_1366545717.sync\n")
@example(text="ftp_dpm_٤٧٨_1366545717.sync")
@example(text="ftp_dpm_00478_1366545717.sync")
@example(text="ftp_dpm_478_1366545717.sync.01.gz")
@example(text="ftp_dpm_9999999999_1366545717.sync")
@example(text="adobe_id_00_1_1366545717.sync")
@example(text="../ftp_dpm_478_1366545717.sync")
@example(text="ftp_dpm_odc_1_1366545717.sync.gz")
@example(text="_" * 100_000)
@example(text="adobe_id_" + "1_" * 50_000)
def test_any_text_is_a_name_that_prints_back_or_is_refused(text):
    try:
        name = parse_file_name(text)
    except DataError as error:
        refusal = str(error)
    else:
        assert str(name) == text
        return
    assert refusal.isprintable()
    assert len(refusal) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"file name '' is not that of a data file: {DATA_FORM} (inbound-s3-filenames.md)"),
        (
            "ftp_dpm_1366545717.sync",
            (f"file name 'ftp_dpm_1366545717.sync' is not that of a data file: {DATA_FORM} "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_136654571.sync",
            (f"file name 'ftp_dpm_478_136654571.sync' is not that of a data file: {DATA_FORM} "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_100_123456789.sync.pgp",
            (f"file name 'ftp_dpm_100_123456789.sync.pgp' is not that of a data file: {DATA_FORM} "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_0366545717.sync",
            ("file name 'ftp_dpm_478_0366545717.sync': timestamp: 366545717 is not UNIX time in "
            "seconds with 10 digits (inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_1366545717.delete",
            (f"file name 'ftp_dpm_478_1366545717.delete' is not that of a data file: {DATA_FORM} "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_1366545717.sync.0.gz",
            ("file name 'ftp_dpm_478_1366545717.sync.0.gz': split: 0 is not a part number from 1 "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_1366545717.sync.01",
            ("file name 'ftp_dpm_478_1366545717.sync.01': numbers are written without leading "
            "zeros, so this would be 'ftp_dpm_478_1366545717.sync.1' (inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_1366545717.sync.zip",
            (f"file name 'ftp_dpm_478_1366545717.sync.zip' is not that of a data file: {DATA_FORM} "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_478_1366545717.sync.gz.pgp",
            (f"file name 'ftp_dpm_478_1366545717.sync.gz.pgp' is not that of a data file: "
            f"{DATA_FORM} (inbound-s3-filenames.md)"),
        ),
        (
            "ftp_dpm_0_1366545717.sync",
            ("file name 'ftp_dpm_0_1366545717.sync': dpid: 0 is not a data source ID; a whole "
            "number from 1 to 2147483647 (reference/ids-in-aam.md)"),
        ),
        (
            "ftp_dpm_478_2147483648_1366545717.sync",
            ("file name 'ftp_dpm_478_2147483648_1366545717.sync': target_dpid: 2147483648 is not a "
            "data source ID; a whole number from 1 to 2147483647 (reference/ids-in-aam.md)"),
        ),
        (
            "ftp_dpm_20914_1366545717.sync",
            ("file name 'ftp_dpm_20914_1366545717.sync': target_dpid: missing; data source 20914 "
            "belongs to a device platform, so the data source whose traits are set must be named "
            "(inbound-s3-filenames.md)"),
        ),
        (
            "adobe_id_0_1476312152.sync",
            (f"file name 'adobe_id_0_1476312152.sync' is not that of an ID sync file: "
            f"{ID_SYNC_FORM} (id-sync-file-based.md)"),
        ),
        (
            "adobe_id_0_12345_1476312152.overwrite",
            (f"file name 'adobe_id_0_12345_1476312152.overwrite' is not that of an ID sync file: "
            f"{ID_SYNC_FORM} (id-sync-file-based.md)"),
        ),
        (
            "adobe_id_0_2147483648_1476312152.sync",
            ("file name 'adobe_id_0_2147483648_1476312152.sync': dpids[0]: 2147483648 is not a "
            "data source ID; a whole number from 1 to 2147483647, or 0 for AAM UUIDs "
            "(reference/ids-in-aam.md)"),
        ),
        (
            "adobe_id_0_012345_1476312152.sync",
            ("file name 'adobe_id_0_012345_1476312152.sync': numbers are written without leading "
            "zeros, so this would be 'adobe_id_0_12345_1476312152.sync' (id-sync-file-based.md)"),
        ),
        (
            "c2c_id_123_898_899_1454442149.sync",
            ("file name 'c2c_id_123_898_899_1454442149.sync': dpids: 2; a c2c_id file maps the "
            "CRM's data source to one of hashed e-mails, so its name has two data sources "
            "(people-based-destinations-workflow-combined.md)"),
        ),
        (
            "ftp_dpm_odc_x_1556223815.sync",
            (f"file name 'ftp_dpm_odc_x_1556223815.sync' is not that of an Oracle Data Cloud file: "
            f"{ODC_FORM} (custom-partner-integrations.md)"),
        ),
        (
            "a\x1b[31m\n" + "b" * 200,
            (f"file name 'a?[31m?{'b' * 110}...' is not that of a data file: {DATA_FORM} "
            "(inbound-s3-filenames.md)"),
        ),
    ],
)  # fmt: skip
def test_a_wrong_element_is_named(text, message):
    with pytest.raises(DataError) as error:
        parse_file_name(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (
            {"timestamp": 1366545717.5},
            (
                "timestamp: 1366545717.5 is not UNIX time in seconds with 10 digits "
                "(inbound-s3-filenames.md)"
            ),
        ),
        (
            {"timestamp": "1366545717"},
            (
                "timestamp: '1366545717' is not UNIX time in seconds with 10 digits "
                "(inbound-s3-filenames.md)"
            ),
        ),
        ({"split": 0}, "split: 0 is not a part number from 1 (inbound-s3-filenames.md)"),
        ({"split": "1"}, "split: '1' is not a part number from 1 (inbound-s3-filenames.md)"),
        (
            {"dpid": "478"},
            (
                "dpid: '478' is not a data source ID; a whole number from 1 to 2147483647 "
                "(reference/ids-in-aam.md)"
            ),
        ),
        (
            {"dpid": True},
            (
                "dpid: True is not a data source ID; a whole number from 1 to 2147483647 "
                "(reference/ids-in-aam.md)"
            ),
        ),
    ],
)
def test_a_name_is_not_made_from_wrong_elements(elements, message):
    with pytest.raises(ConfigurationError) as error:
        DataFileName(**{"dpid": 478, "timestamp": 1366545717, **elements})
    assert str(error.value) == message


def test_an_id_sync_name_needs_a_data_source_beside_the_master():
    with pytest.raises(ConfigurationError) as error:
        IdSyncFileName(master_dpid=0, dpids=(), timestamp=1476312152)
    assert str(error.value) == (
        "dpids: empty; an ID sync file maps the master to at least one other data source "
        "(id-sync-file-based.md)"
    )


def test_parts_of_a_file_differ_in_their_split_number_alone():
    name = parse_file_name("ftp_dpm_478_567_1366545717.sync.gz")
    assert str(name.with_split(12)) == "ftp_dpm_478_567_1366545717.sync.12.gz"
    assert name.with_split(12).with_split(None) == name
    sync = parse_file_name("c2c_id_123_898_1454442149.sync.gz")
    assert str(sync.with_split(2)) == "c2c_id_123_898_1454442149.sync.2.gz"


@settings(max_examples=examples(300), deadline=None)
@given(name=data_names | id_sync_names)
def test_a_name_is_its_kind_with_a_time_and_a_part(name):
    kind = name.kind
    assert named(kind, name.timestamp, name.split) == name
    assert parse_file_kind(str(kind)) == kind
    # Whenever it is sent, and in however many parts, its kind is the same.
    assert named(kind, MIN_TIMESTAMP).kind == kind
    assert str(name).startswith(f"{kind.stem}_{name.timestamp}.")


def test_a_kind_of_file_says_everything_but_when_and_which_part():
    kind = DataFileKind(dpid=478, target_dpid=567, mode=Mode.OVERWRITE).packed(Encoding.GZIP)
    assert (str(kind), kind.stem) == ("ftp_dpm_478_567.overwrite.gz", "ftp_dpm_478_567")
    assert str(named(kind, 1366545717, 2)) == "ftp_dpm_478_567_1366545717.overwrite.2.gz"
    sync = IdSyncFileKind(master_dpid=0, dpids=(12345,))
    assert (str(sync), sync.stem) == ("adobe_id_0_12345.sync", "adobe_id_0_12345")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp_dpm_478_1366545717_567.sync",
        "ftp_dpm_478.sync.1.gz",
        "ftp_dpm_0478.sync",
        "ftp_dpm_1_2_3.sync",
        "adobe_id_0_1.overwrite",
        "ftp_dpm_odc_1.sync",
        "ftp_dpm_478.sync\n",
    ],
)
def test_no_other_text_is_a_kind_of_file(text):
    with pytest.raises(DataError):
        parse_file_kind(text)


def test_a_kind_of_file_knows_the_rules_about_data_sources():
    with pytest.raises(DataError, match="target_dpid: missing"):
        parse_file_kind("ftp_dpm_20914.sync")
    with pytest.raises(ConfigurationError, match="dpids: empty"):
        IdSyncFileKind(master_dpid=0, dpids=())
