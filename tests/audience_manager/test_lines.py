"""Lines of data and ID sync files: taken, or lost for a rule."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.identifiers import AAM_UUID, DPUUID, GAID, IDFA
from airflow_am_provider.audience_manager.lines import (
    WARNINGS,
    DataLine,
    Finding,
    Severity,
    read_data_line,
    read_id_sync_line,
)
from airflow_am_provider.audience_manager.names import IdSyncFileName, Mode, parse_file_name
from airflow_am_provider.audience_manager.rules import RULES, Rule
from tests.audience_manager.hostile import hostile_lines
from tests.examples import examples

UUID = AAM_UUID.example
EMAIL = "55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149"
ID_SYNC_NAMES = [
    parse_file_name(name)
    for name in (
        "adobe_id_0_478_1366545717.sync",
        "adobe_id_20914_478_0_1366545717.sync",
        "adobe_id_478_479_1366545717.sync",
        "c2c_id_478_479_1366545717.sync",
    )
]


def id_sync_name(text: str) -> IdSyncFileName:
    name = parse_file_name(text)
    assert isinstance(name, IdSyncFileName)
    return name


def controls_in(text: str) -> set[str]:
    return {character for character in text if character < "\x20" or character == "\x7f"}


@settings(max_examples=examples(1500), deadline=None)
@given(
    raw=hostile_lines,
    kind=st.sampled_from([DPUUID, GAID, IDFA, AAM_UUID]),
    mode=st.sampled_from(Mode),
)
@example(raw=b"", kind=DPUUID, mode=Mode.SYNC)
@example(raw=b"\r", kind=DPUUID, mode=Mode.SYNC)
@example(raw=b"\t" * 50_000, kind=DPUUID, mode=Mode.SYNC)
@example(raw=b"\t" + b"," * 100_000, kind=DPUUID, mode=Mode.SYNC)
@example(raw=b'ann\t"' + b"a" * 100_000, kind=DPUUID, mode=Mode.SYNC)
@example(raw=b"\xff" * 200_000, kind=DPUUID, mode=Mode.SYNC)
def test_any_bytes_are_a_data_line_without_control_characters_or_break_a_rule(raw, kind, mode):
    line, rules = read_data_line(raw, kind=kind, mode=mode)
    assert set(rules) <= set(RULES)
    if line is None:
        assert rules
    else:
        assert set(rules) <= WARNINGS
        assert controls_in(line.user_id) | controls_in("".join(map(str, line.items))) == set()
        assert kind.problem(line.user_id) in {
            None,
            Rule.ID_OPTED_OUT,
            Rule.ID_PLACEHOLDER,
            Rule.ID_ROUNDED,
        }
        assert line.items or mode is Mode.OVERWRITE


@settings(max_examples=examples(1500), deadline=None)
@given(raw=hostile_lines, name=st.sampled_from(ID_SYNC_NAMES))
@example(raw=b"\t" * 100_000, name=ID_SYNC_NAMES[3])
@example(raw=b"%40" * 30_000, name=ID_SYNC_NAMES[2])
def test_any_bytes_are_an_id_sync_line_without_control_characters_or_break_a_rule(raw, name):
    line, rules = read_id_sync_line(raw, name=name)
    assert set(rules) <= set(RULES)
    if line is None:
        assert rules
    else:
        assert set(rules) <= WARNINGS
        assert controls_in("".join(line.ids)) == set()
        assert len(line.ids) >= len(name.columns)
        assert all(line.ids)


@settings(max_examples=examples(500), deadline=None)
@given(raw=hostile_lines, mode=st.sampled_from(Mode))
def test_what_was_read_of_a_line_is_read_again_when_printed(raw, mode):
    line, found = read_data_line(raw, mode=mode)
    if line is not None and line.items:
        printed = f"{line.user_id}\t{','.join(map(str, line.items))}".encode()
        again, rules = read_data_line(printed, mode=mode)
        assert again == line
        # What is said of it was said before: printing mends some of it, and adds nothing.
        assert set(rules) <= set(found)


@pytest.mark.parametrize(
    ("raw", "rules"),
    [
        (b"ann\td_sid=24\r", [Rule.WINDOWS_LINE_END]),
        (b"ann\td_sid=24,,d_sid=25", [Rule.EMPTY_ITEM]),
        (b"ann\t52", [Rule.BARE_NUMBER]),
        ("Zoë 客戶\td_sid=24".encode(), []),
        ("e\u0301\td_sid=24".encode(), []),
        (b" ann \td_sid=24", []),
        (b"", [Rule.EMPTY_LINE]),
        (b"\r", [Rule.WINDOWS_LINE_END, Rule.EMPTY_LINE]),
        (b"ann", [Rule.NO_TAB]),
        (b"ann d_sid=24", [Rule.NO_TAB]),
        (b"ann\t", [Rule.NO_ITEMS]),
        (b"ann\t ", [Rule.NO_ITEMS]),
        (b"\td_sid=24", [Rule.EMPTY_ID]),
        (b"ann\t\td_sid=24", [Rule.MORE_THAN_ONE_TAB]),
        (b"ann\td_sid=24\t", [Rule.MORE_THAN_ONE_TAB]),
        (b"a:b\td_sid=24", [Rule.ID_COLON]),
        (b"a:b\tc\td", [Rule.ID_COLON, Rule.MORE_THAN_ONE_TAB]),
        (b"a\rb\td_sid=24", [Rule.ID_CONTROL_CHARACTER]),
        (b"jane@example.com\td_sid=24", [Rule.PERSONAL_DATA]),
        (b"ann\tmail=jane@example.com", [Rule.PERSONAL_DATA]),
        (b"\xffann\td_sid=24", [Rule.INVALID_UTF8]),
        (b"ann\xed\xa0\x80\td_sid=24", [Rule.INVALID_UTF8]),
        (b"\xef\xbb\xbfann\td_sid=24", [Rule.BYTE_ORDER_MARK]),
        (b"ann\td_sid=24,d_sid=x", [Rule.TRAIT_NOT_NUMERIC]),
        (b"a" * (limits.MAX_LINE_BYTES + 1), [Rule.LINE_TOO_LONG]),
    ],
)
def test_a_data_line_breaks_these_rules(raw, rules):
    line, broken = read_data_line(raw)
    assert broken == rules
    # An empty line says nothing, so there is nothing to take.
    assert (line is None) is any(rule not in WARNINGS for rule in rules) or Rule.EMPTY_LINE in rules


def test_removal_in_an_overwrite_file_is_a_warning():
    line, rules = read_data_line(b"ann\td_sid=24,d_unsid=28", mode=Mode.OVERWRITE)
    assert line is not None
    assert rules == [Rule.UNSID_IN_OVERWRITE]


def test_a_user_without_items_loses_all_traits_in_an_overwrite_file_alone():
    assert read_data_line(b"ann\t", mode=Mode.OVERWRITE) == (DataLine(user_id="ann", items=()), [])
    assert read_data_line(b"ann\t", mode=Mode.SYNC) == (None, [Rule.NO_ITEMS])
    assert read_data_line(b"a:b\t", mode=Mode.OVERWRITE) == (None, [Rule.ID_COLON])


@pytest.mark.parametrize(
    ("name", "raw", "rules"),
    [
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tann", []),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tann\r", [Rule.WINDOWS_LINE_END]),
        ("adobe_id_0_478_1366545717.sync", "", [Rule.EMPTY_LINE]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}", [Rule.COLUMN_COUNT]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tann\tbob", [Rule.COLUMN_COUNT]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tann\t", [Rule.TRAILING_SPACE]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tann ", [Rule.TRAILING_SPACE]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\t", [Rule.TRAILING_SPACE]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID[:-1]}\tann", [Rule.ID_FORM]),
        ("adobe_id_0_478_1366545717.sync", f"\t{UUID}", [Rule.EMPTY_ID]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tan%20n", [Rule.ID_URL_ENCODED]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\t100%", []),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\ta:b", [Rule.ID_COLON]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tjane@example.com", [Rule.PERSONAL_DATA]),
        ("adobe_id_0_478_1366545717.sync", f"{UUID}\tjane%40example.com", [Rule.PERSONAL_DATA]),
        ("adobe_id_0_478_1366545717.sync", "x\ta:b", [Rule.ID_FORM, Rule.ID_COLON]),
        ("adobe_id_20914_478_0_1366545717.sync", f"{GAID.example}\tann\t{UUID}", []),
        ("adobe_id_20914_478_0_1366545717.sync", f"{IDFA.example}\tann\t{UUID}", [Rule.ID_FORM]),
        ("c2c_id_478_479_1366545717.sync", f"ann\t{EMAIL}", []),
        ("c2c_id_478_479_1366545717.sync", f"ann{f'{chr(9)}{EMAIL}' * 10}", []),
        (
            "c2c_id_478_479_1366545717.sync",
            f"ann{f'{chr(9)}{EMAIL}' * 11}",
            [Rule.TOO_MANY_HASHED_EMAILS],
        ),
        ("c2c_id_478_479_1366545717.sync", f"ann\t{EMAIL.upper()}", [Rule.HASHED_EMAIL_FORM]),
        ("c2c_id_478_479_1366545717.sync", f"ann\t{EMAIL[:32]}", [Rule.HASHED_EMAIL_FORM]),
        ("c2c_id_478_479_1366545717.sync", "ann\tjane@example.com", [Rule.PERSONAL_DATA]),
        ("c2c_id_478_479_1366545717.sync", "ann", [Rule.COLUMN_COUNT]),
    ],
)
def test_an_id_sync_line_breaks_these_rules(name, raw, rules):
    line, broken = read_id_sync_line(raw.encode(), name=id_sync_name(name))
    assert broken == rules
    if line is not None:
        assert line.ids == tuple(raw.removesuffix("\r").split("\t"))


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_sentence_and_a_page(rule):
    text = RULES[rule]
    assert text.sentence
    assert text.page.endswith(".md")
    finding = Finding(rule=rule, line=3, detail="more")
    assert finding.message == f"{text.sentence}: more ({text.page})"
    assert finding.severity is (Severity.WARNING if rule in WARNINGS else Severity.ERROR)
