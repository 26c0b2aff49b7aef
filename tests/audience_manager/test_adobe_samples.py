"""Adobe's own sample lines and files, as on its pages, and what is found in them.

Retyped, with what is odd about the originals: Windows line ends, an empty item, no newline at
the end, blank lines at the end, pipes and spaces in values, spaces after commas.
"""

import pytest

from airflow_am_provider.audience_manager.files import FileReader, scan
from airflow_am_provider.audience_manager.identifiers import AAM_UUID, DPUUID, GAID, IDFA
from airflow_am_provider.audience_manager.lines import read_data_line
from airflow_am_provider.audience_manager.names import parse_file_name
from airflow_am_provider.audience_manager.rules import Rule

# inbound-file-contents.md, "Examples Matrix": four kinds of ID, the same items for each.
USERS = {
    "59767559181262060060278870901087098252": AAM_UUID,
    "e4fe9bde-caa0-47b6-908d-ffba3fa184f2": GAID,
    "6D92078A-8246-4BA4-AE5B-76104861E7DC": IDFA,
    "DBwFoc3dhfMNCFBh2M4F9ZkJEXMNnRDh2PXvnI1": DPUUID,
}
BARE = [Rule.BARE_NUMBER]
ITEMS = [
    ("d_sid=24, d_sid=26, d_sid=27", ["d_sid=24", "d_sid=26", "d_sid=27"], []),
    ("d_unsid=24, d_unsid=26, d_unsid=27", ["d_unsid=24", "d_unsid=26", "d_unsid=27"], []),
    ("24:0, 26:0, 27:0", ["d_unsid=24", "d_unsid=26", "d_unsid=27"], []),
    ("24:-1, 26:-1, 27:-1", ["d_unsid=24", "d_unsid=26", "d_unsid=27"], []),
    ("product = tablet, product = phone", ['"product"="tablet"', '"product"="phone"'], []),
    (
        '"product" = "tablet", "product" = "phone"',
        ['"product"="tablet"', '"product"="phone"'],
        [],
    ),
    ("30608,50354,50338", ["ic=30608", "ic=50354", "ic=50338"], BARE * 3),
    ("ic=52,ic=55", ["ic=52", "ic=55"], []),
    (
        "d_sid=24,d_sid=26,d_sid=27,d_unsid=28,d_unsid=29",
        ["d_sid=24", "d_sid=26", "d_sid=27", "d_unsid=28", "d_unsid=29"],
        [],
    ),
    # "Formatting Trait IDs" and "Invalid Characters"
    (
        '"age"="32","gender"=m , model = "pickup truck", product = tablet',
        ['"age"="32"', '"gender"="m"', '"model"="pickup truck"', '"product"="tablet"'],
        [],
    ),
    (
        'd_city = "New York", d_city = "San Francisco"',
        ['"d_city"="New York"', '"d_city"="San Francisco"'],
        [],
    ),
    ("-product = camera", ['"product"="camera"'], [Rule.KEY_DASH]),
]
# The sample data file of that page, its values shortened.
SAMPLE_DATA_FILE = (
    b'1060413022\t"ACCOUNT_TYPE"="HAC","Plans"="123","ServiceExpiryDate"="2013-01-26 00:00:00.000",'
    b'"CSAT"="0.000000000000000000000","TotalSalesAmount"="304.98",'
    b'"Product"="3 Months  Subscription| Free Base Product for PIP Outbound|  Annual Plan"\r\n'
    b'1060413110\t"ACCOUNT_TYPE"="HAC","Plans"="123","Product"="Free Base Product| Trial"\r\n'
    b'1060413123\t"ACCOUNT_TYPE"="HAC","TotalSalesAmount"="39.99",,"Calls_Before_Sale"="0"'
)
# id-sync-file-based.md, "File 1" and "File 2".
SAMPLE_SYNC_OF_UUIDS = (
    b"68079982765673198504052656074456196039\tXYZ3017D_2kzkTOXkFYIAgwbajoqWRcqkXl-TTrj6E4njaMR38\n"
    b"67412682083411995725538770443620307584\tXYZ3017BBR4DAFJWfM6D4Gb4lN_T5jk_f7rdEcqNs9wfnA7h70\n"
    b"\n"
)
SAMPLE_SYNC_OF_CRM_IDS = (
    b"XYZ3017D_2kzkTOXkFYIAgwbajoqWRcqkXl-TTrj6E4njaMR38\t4598060374\n"
    b"XYZ3017BBR4DAFJWfM6D4Gb4lN_T5jk_f7rdEcqNs9wfnA7h70\t4581274262\n"
    b"\n\n"
)
# people-based-destinations-workflow-combined.md
SAMPLE_SYNC_OF_EMAILS = (
    b"68079982765673198504052656074456196039\t"
    b"55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149\r\n"
    b"67412682083411995725538770443620307584\t"
    b"16d72e3edbeb089b299e0d12fc09522fdc5ece2d11dcb1304ecdd6fab4f7193a"
)
SAMPLE_FILES = {
    "ftp_dpm_1234_1445374061.overwrite": (
        SAMPLE_DATA_FILE,
        3,
        [
            (1, "windows_line_end"),
            (2, "windows_line_end"),
            (3, "empty_item"),
            (3, "no_final_newline"),
        ],
    ),
    "adobe_id_0_12345_1476312152.sync": (SAMPLE_SYNC_OF_UUIDS, 2, [(3, "empty_line")]),
    "adobe_id_12345_67890_1477846458.sync": (
        SAMPLE_SYNC_OF_CRM_IDS,
        2,
        [(3, "empty_line"), (4, "empty_line"), (None, "id_sync_master")],
    ),
    "c2c_id_999999_987654_1560431657.sync": (
        SAMPLE_SYNC_OF_EMAILS,
        2,
        [(1, "windows_line_end"), (2, "no_final_newline")],
    ),
}


@pytest.mark.parametrize(("user_id", "kind"), USERS.items(), ids=[k.name for k in USERS.values()])
@pytest.mark.parametrize(("text", "items", "rules"), ITEMS, ids=[text for text, _, _ in ITEMS])
def test_sample_lines_say_what_the_page_says(user_id, kind, text, items, rules):
    line, broken = read_data_line(f"{user_id}\t{text}".encode(), kind=kind)
    assert line is not None
    assert (line.user_id, [str(item) for item in line.items]) == (user_id, items)
    assert broken == rules


@pytest.mark.parametrize("name", SAMPLE_FILES)
def test_sample_files_are_read_and_only_warned_about(name):
    content, taken, findings = SAMPLE_FILES[name]
    reader = FileReader(parse_file_name(name))
    assert len(list(reader.lines(content.splitlines(keepends=True)))) == taken
    assert [(found.line, found.rule.value) for found in reader.findings] == findings
    assert reader.ok
    assert scan(parse_file_name(name), lambda: [content]).findings == reader.findings


def test_values_of_the_sample_file_are_whole():
    line, _ = read_data_line(SAMPLE_DATA_FILE.splitlines()[0])
    assert line is not None
    assert [str(item) for item in line.items] == [
        '"ACCOUNT_TYPE"="HAC"',
        '"Plans"="123"',
        '"ServiceExpiryDate"="2013-01-26 00:00:00.000"',
        '"CSAT"="0.000000000000000000000"',
        '"TotalSalesAmount"="304.98"',
        '"Product"="3 Months  Subscription| Free Base Product for PIP Outbound|  Annual Plan"',
    ]


def test_curly_quotes_of_the_page_are_no_quotes():
    # One example has them, where the page was typeset; read as quotes, they would be guessed.
    line, rules = read_data_line("ann\t“gender”=”female”".encode())
    assert line is not None
    assert [str(item) for item in line.items] == ['"“gender”"="”female”"']
    assert rules == [Rule.UNUSABLE_KEY]
