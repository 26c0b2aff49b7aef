"""Whole files: what is found in them, line by line and in blocks."""

import itertools
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.files import FileReader, scan, size_problem
from airflow_am_provider.audience_manager.identifiers import (
    AAM_UUID,
    DPUUID,
    GAID,
    kind_of_data_source,
)
from airflow_am_provider.audience_manager.lines import read_data_line, read_id_sync_line
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    Encoding,
    IdSyncFileName,
    IdSyncPrefix,
    Mode,
    parse_file_name,
)
from airflow_am_provider.audience_manager.plain_lines import plain_lines
from airflow_am_provider.audience_manager.rules import Rule
from tests.audience_manager.hostile import HOSTILE_WORDS, hostile_lines
from tests.examples import examples

TIME = 1366545717
DATA = DataFileName(dpid=478, timestamp=TIME)
NAMES = [
    DATA,
    DataFileName(dpid=478, timestamp=TIME, mode=Mode.OVERWRITE),
    DataFileName(dpid=20914, target_dpid=478, timestamp=TIME),
    DataFileName(dpid=20915, target_dpid=478, timestamp=TIME),
    DataFileName(dpid=1171489, target_dpid=478, timestamp=TIME),
    IdSyncFileName(master_dpid=0, dpids=(478,), timestamp=TIME),
    IdSyncFileName(master_dpid=20914, dpids=(478, 0), timestamp=TIME),
    IdSyncFileName(master_dpid=478, dpids=(479,), timestamp=TIME),
    IdSyncFileName(master_dpid=478, dpids=(479,), timestamp=TIME, prefix=IdSyncPrefix.C2C_ID),
]
names = st.sampled_from(NAMES)


def read(name, content: bytes) -> FileReader:
    reader = FileReader(name)
    for _ in reader.lines(split(content)):
        pass
    return reader


def split(content: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def found(name, content: bytes, sizes=(1 << 20, 97)) -> list[tuple[int | None, str, str]]:
    """Findings of the reader and of the scanner, which must be the same."""
    slow = read(name, content)
    for size in sizes:
        fast = scan(name, lambda size=size: cut(content, size))
        assert fast.findings == slow.findings
        assert (fast.line_count, fast.byte_count) == (slow.line_count, slow.byte_count)
        assert (fast.counts, fast.ok) == (slow.counts, slow.ok)
    return [(finding.line, finding.rule.value, finding.severity.value) for finding in slow.findings]


@pytest.mark.parametrize("name", NAMES, ids=str)
@settings(max_examples=examples(150), deadline=None)
@given(
    lines=st.lists(hostile_lines, max_size=6), final_newline=st.booleans(), size=st.integers(1, 60)
)
@example(lines=[], final_newline=False, size=1)
@example(
    lines=[b"\xef\xbb\xbfann\td_sid=1", b"\xef\xbb\xbfbob\td_sid=1"], final_newline=True, size=7
)
@example(lines=[b"ann\td_sid=1\r", b"\r", b""], final_newline=False, size=5)
def test_scanning_in_blocks_finds_what_reading_line_by_line_finds(name, lines, final_newline, size):
    content = b"\n".join(lines) + (b"\n" if final_newline and lines else b"")
    slow = read(name, content)
    fast = scan(name, lambda: cut(content, size))
    assert fast.findings == slow.findings
    assert (fast.line_count, fast.byte_count) == (slow.line_count, slow.byte_count)


def assert_good_if_plain(name, line: bytes) -> None:
    match = plain_lines(name).fullmatch(line + b"\n")
    if match is None:
        return
    if isinstance(name, IdSyncFileName):
        good, rules = read_id_sync_line(line, name=name)
        first = good.ids[0] if good else None
    else:
        kind = kind_of_data_source(name.dpid)
        good, rules = read_data_line(line, kind=kind, mode=name.mode)
        first = good.user_id if good else None
    assert (first, rules) == (match[1].decode(), [])


@settings(max_examples=examples(1000), deadline=None)
@given(name=names, line=hostile_lines.filter(is_utf8))
def test_plain_lines_are_good_beyond_doubt(name, line):
    assert_good_if_plain(name, line)


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_no_hostile_word_anywhere_makes_a_plain_line_bad(name):
    if isinstance(name, IdSyncFileName):
        first = {0: AAM_UUID, 20914: GAID}.get(name.master_dpid, DPUUID).example
        others = [AAM_UUID.example if dpid == 0 else "bob" for dpid in name.dpids]
        if name.prefix is IdSyncPrefix.C2C_ID:
            others = ["0" * 64]
        good = "\t".join([first, *others])
    else:
        good = kind_of_data_source(name.dpid).example + '\td_sid=24,"city"="Bonn",ic=52'
    assert plain_lines(name).fullmatch(good.encode() + b"\n")
    for word in HOSTILE_WORDS:
        for start, end in itertools.combinations_with_replacement(range(len(good) + 1), 2):
            if end - start < 5 or good[start:end] in (AAM_UUID.example, GAID.example):
                assert_good_if_plain(name, (good[:start] + word + good[end:]).encode())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (DATA, b"ann\td_sid=24,d_unsid=28"),
        (DATA, b'ann o\'hara\t"city"="New York","age"="32"'),
        (DATA, b"a=b/c+d\tic=52,ic=summer-2026"),
        (NAMES[1], b"ann\td_sid=24"),
        (NAMES[2], b"e4fe9bde-caa0-47b6-908d-ffba3fa184f2\td_sid=24"),
        (NAMES[5], b"07955261652886032950143702505894272138\tXYZ3017D_2kz"),
        (NAMES[8], b"ann\t55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149"),
    ],
)
def test_ordinary_lines_take_the_fast_way(name, line):
    assert plain_lines(name).fullmatch(line + b"\n")


def test_a_good_line_within_a_bad_one_is_not_taken_for_a_line():
    assert found(DATA, b"b:ann\td_sid=1\n") == [(1, "id_colon", "error")]


def test_an_empty_file_is_invalid():
    assert found(DATA, b"") == [(None, "empty_file", "error")]


def test_200_lines_of_a_user_are_read_and_no_more():
    ann = b"ann\td_sid=1\n"
    assert found(DATA, ann * 200 + b"bob\td_sid=1\n") == []
    assert found(DATA, ann * 100 + b"bob\td_sid=1\n" + ann * 102) == [
        (202, "too_many_lines_per_user", "error"),
        (203, "too_many_lines_per_user", "error"),
    ]


def test_lines_that_are_not_read_do_not_count_among_the_200():
    assert Counter(
        rule for _, rule, _ in found(DATA, b"ann\tx\n" * 50 + b"ann\td_sid=1\n" * 200)
    ) == {"item_syntax": 50}


def test_ten_hashed_emails_of_a_crm_id_are_read_over_all_its_lines():
    name = NAMES[8]
    lines = [b"ann\t%064x\n" % number for number in range(11)]
    assert found(name, b"".join(lines[:10])) == []
    assert found(name, b"".join(lines)) == [(11, "too_many_hashed_emails", "error")]
    together = b"ann\t" + b"\t".join(b"%064x" % number for number in range(11)) + b"\n"
    assert found(name, together) == [(1, "too_many_hashed_emails", "error")]


def test_device_ids_of_an_id_sync_file_may_stand_in_any_number_of_lines():
    line = b"07955261652886032950143702505894272138\tann\n"
    assert found(NAMES[5], line * 300) == []


def test_findings_of_one_rule_are_capped_but_counted():
    reader = scan(DATA, lambda: [b"ann\n" * 1234])
    assert len(reader.findings) == 100
    assert reader.counts == {Rule.NO_TAB: 1234}


def test_a_line_may_have_102400_bytes_the_line_end_not_counted():
    longest = b'ann\t"key"="' + b"x" * (limits.MAX_LINE_BYTES - 12) + b'"'
    assert len(longest) == limits.MAX_LINE_BYTES
    assert found(DATA, longest + b"\n") == []
    assert found(DATA, longest + b"\r\n") == [(1, "windows_line_end", "warning")]
    longer = longest[:-1] + b'x"'
    assert found(DATA, longer + b"\nann\td_sid=1\n") == [(1, "line_too_long", "error")]
    assert found(DATA, longer + b"\r\n") == [
        (1, "windows_line_end", "warning"),
        (1, "line_too_long", "error"),
    ]
    assert found(DATA, b"a" * 1_000_000) == [
        (1, "line_too_long", "error"),
        (1, "no_final_newline", "warning"),
    ]


def test_an_endless_line_does_not_fill_the_memory():
    blocks = itertools.chain(itertools.repeat(b"x" * 65_536, 2_000), [b"\n"])
    reader = FileReader(DATA)
    reader.scan(blocks)
    assert (reader.line_count, reader.byte_count) == (1, 2_000 * 65_536 + 1)
    assert reader.counts == {Rule.LINE_TOO_LONG: 1}


def test_a_file_over_5_gb_is_too_large(monkeypatch):
    monkeypatch.setattr(limits, "MAX_PART_BYTES", 20)
    reader = scan(DATA, lambda: [b"ann\td_sid=1\n" * 2])
    (finding,) = reader.findings
    assert finding.message == (
        "a file has at most 5 GB uncompressed and 1 GB compressed: 24 bytes uncompressed "
        "(inbound-s3-filenames.md)"
    )


def test_packed_files_may_have_1_gb():
    assert size_problem(1_000_000_000, Encoding.GZIP) is None
    assert size_problem(1_000_000_001, Encoding.PGP) == (
        "1,000,000,001 bytes as sent, 1,000,000,000 allowed"
    )
    assert size_problem(5_000_000_000, Encoding.PLAIN) is None
    assert size_problem(5_000_000_001, Encoding.PLAIN) == (
        "5,000,000,001 bytes as sent, 5,000,000,000 allowed"
    )


@pytest.mark.parametrize(
    ("name", "unusual"),
    [
        ("adobe_id_0_478_1366545717.sync", None),
        ("adobe_id_20914_478_1366545717.sync", None),
        ("c2c_id_478_479_1366545717.sync", None),
        ("adobe_id_478_479_1366545717.sync", 478),
        ("c2c_id_0_479_1366545717.sync", 0),
    ],
)
def test_a_master_of_an_unusual_kind_is_a_warning(name, unusual):
    reader = scan(parse_file_name(name), lambda: [b"\n"])
    said = [finding.message for finding in reader.findings if finding.rule is Rule.ID_SYNC_MASTER]
    message = (
        "the first IDs of an adobe_id file are device IDs, those of a c2c_id file CRM IDs: "
        f"data source {unusual} (id-sync-file-based.md)"
    )
    assert said == ([] if unusual is None else [message])
    assert reader.ok


def many_traits(user: bytes, count: int, line: int) -> list[bytes]:
    """Lines that give a user so many traits."""
    items = [b"d_sid=%d" % (100_000 + one) for one in range(count)]
    return [user + b"\t" + b",".join(items[at : at + line]) for at in range(0, count, line)]


@pytest.mark.parametrize("line", [7_500, 900], ids=["lines of 100 kB", "lines of 12 kB"])
def test_more_traits_than_a_profile_holds_are_a_warning_on_the_lines_beyond_it(monkeypatch, line):
    monkeypatch.setattr(limits, "MAX_TRAITS_PER_USER", 15_000)
    too_many = b"\n".join(
        [*many_traits(b"ann", 15_500, line), b"bob\td_sid=1", *many_traits(b"cy", 15_000, line)]
    )
    beyond = [one for one in range(1, 200) if 15_000 < one * line < 15_500 + line]
    assert found(DATA, too_many + b"\n", [1 << 20]) == [
        (one, "too_many_traits_per_user", "warning") for one in beyond
    ]
    reader = scan(DATA, lambda: [too_many + b"\n"])
    assert reader.findings[0].message == (
        "a profile holds 150,000 traits, and the oldest go first "
        "(features/administration/usage-limits.md)"
    )
    assert reader.ok


def test_traits_that_are_taken_away_fill_no_profile_and_neither_do_lines_that_are_not_read(
    monkeypatch,
):
    monkeypatch.setattr(limits, "MAX_TRAITS_PER_USER", 20_000)
    taken = b"\n".join(many_traits(b"ann", 25_000, 5_000)).replace(b"d_sid", b"d_unsid")
    assert found(DATA, taken + b"\n", [1 << 20]) == []
    # Beyond 200 lines nothing of a user is read.
    lines = many_traits(b"ann", 19_000, 95)
    beyond = b"\n".join([*lines, *many_traits(b"ann", 10_000, 7_000)])
    rules = {one[1] for one in found(DATA, beyond + b"\n", [1 << 20])}
    assert rules == {"too_many_lines_per_user"}
