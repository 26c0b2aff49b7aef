"""Kinds of user ID: what each takes, what it refuses, and in which words."""

import pytest
from hypothesis import example, given, settings

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.identifiers import (
    ALPHANUMERIC_PATTERN,
    ID_KINDS,
    LOWER_GUID_PATTERN,
    UPPER_GUID_PATTERN,
    id_kind,
    is_global_device_data_source,
    kind_of_data_source,
)
from airflow_am_provider.audience_manager.rules import Rule
from tests.audience_manager.hostile import hostile_text
from tests.examples import examples

# The table of reference/ids-in-aam.md.
DATA_SOURCES = {
    "gaid": 20914,
    "idfa": 20915,
    "rida": 121963,
    "maid": 389146,
    "tifa": 963906,
    "fire_tv": 488258,
    "lgudid": 1171485,
    "vizio_ifa": 1171489,
}
GUID = "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"
ZEROS = "00000000-0000-0000-0000-000000000000"


def test_each_platform_has_adobes_data_source():
    assert {kind.name: kind.dpid for kind in ID_KINDS.values() if kind.dpid} == DATA_SOURCES
    for name, dpid in DATA_SOURCES.items():
        assert kind_of_data_source(dpid) is ID_KINDS[name]
        assert is_global_device_data_source(dpid)
    assert kind_of_data_source(0) is ID_KINDS["aam_uuid"]
    assert kind_of_data_source(478) is ID_KINDS["dpuuid"]
    assert not is_global_device_data_source(0)
    assert not is_global_device_data_source(478)


@pytest.mark.parametrize("kind", ID_KINDS.values(), ids=lambda kind: kind.name)
def test_each_kind_takes_its_example_byte_for_byte(kind):
    assert kind.validate(kind.example) == kind.example
    assert kind.is_valid(kind.example)


@pytest.mark.parametrize("kind", ID_KINDS.values(), ids=lambda kind: kind.name)
@settings(max_examples=examples(100), deadline=None)
@given(text=hostile_text)
@example(text="")
@example(text="a" * 100_000)
def test_any_text_is_an_id_or_breaks_one_rule(kind, text):
    rule = kind.problem(text)
    assert kind.is_valid(text) is (rule in (None, Rule.ID_HYPHEN))
    if kind.is_valid(text):
        assert kind.validate(text) == text
        assert not any(ord(character) < 0x20 or character == "\x7f" for character in text)
    else:
        with pytest.raises(DataError) as error:
            kind.validate(text)
        # Neither a terminal nor a log is broken by what was in the ID.
        assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("gaid", GUID, None),
        ("gaid", GUID.upper(), Rule.ID_FORM),
        ("gaid", GUID.replace("-", ""), Rule.ID_FORM),
        ("gaid", "{" + GUID + "}", Rule.ID_FORM),
        ("gaid", GUID + " ", Rule.ID_FORM),
        ("gaid", GUID + "\n", Rule.ID_CONTROL_CHARACTER),
        ("gaid", GUID[:-1], Rule.ID_FORM),
        ("gaid", GUID[:-1] + "g", Rule.ID_FORM),
        ("gaid", GUID.replace("4", "٤"), Rule.ID_FORM),
        ("gaid", ZEROS, Rule.ID_OPTED_OUT),
        ("idfa", GUID.upper(), None),
        ("idfa", GUID, Rule.ID_FORM),
        ("idfa", ZEROS, Rule.ID_OPTED_OUT),
        ("rida", GUID, None),
        ("fire_tv", GUID.upper(), Rule.ID_FORM),
        ("lgudid", GUID, None),
        ("maid", "8F4A7C2B9E1D4F60A3B5C7D9E1F20413", None),
        ("maid", GUID, Rule.ID_HYPHEN),
        ("tifa", "a_b", Rule.ID_FORM),
        ("vizio_ifa", "7XCBNROQJQPYW", None),
        ("vizio_ifa", "é", Rule.ID_FORM),
        ("aam_uuid", "07955261652886032950143702505894272138", None),
        ("aam_uuid", "7955261652886032950143702505894272138", Rule.ID_FORM),
        ("aam_uuid", "٠" * 38, Rule.ID_FORM),
        ("dpuuid", "", Rule.EMPTY_ID),
        ("dpuuid", "2132-3423vn-343fds-3432r", None),
        ("dpuuid", "Zoë O'Hara #1 / 50%", None),
        ("dpuuid", "a,b\"c'd=e", None),
        ("dpuuid", "a:b", Rule.ID_COLON),
        ("dpuuid", "a%3Ab", Rule.ID_COLON),
        ("dpuuid", "a%3ab", Rule.ID_COLON),
        ("dpuuid", "a\tb", Rule.ID_CONTROL_CHARACTER),
        ("dpuuid", "a\x00b", Rule.ID_CONTROL_CHARACTER),
        ("dpuuid", "a\x7fb", Rule.ID_CONTROL_CHARACTER),
        ("dpuuid", "\ufeffann", Rule.BYTE_ORDER_MARK),
        ("dpuuid", "jane@example.com", Rule.PERSONAL_DATA),
        ("dpuuid", "+44 20 7946 0958", Rule.PERSONAL_DATA),
        ("gaid", "jane@example.com", Rule.PERSONAL_DATA),
    ],
)
def test_an_id_breaks_the_rule_of_its_kind(name, value, rule):
    assert id_kind(name).problem(value) is rule


def test_a_refusal_masks_the_id_and_names_rule_and_page():
    with pytest.raises(DataError) as error:
        id_kind("idfa").validate(GUID)
    assert str(error.value) == (
        "IDFA (iOS) e4… (36 characters): a device ID has the form of its platform "
        "(reference/ids-in-aam.md)"
    )
    with pytest.raises(DataError) as error:
        id_kind("dpuuid").validate("a:b")
    assert str(error.value) == (
        "DPUUID … (3 characters): a DPUUID holds neither ':' nor '%3A' (inbound-file-contents.md)"
    )


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ConfigurationError) as error:
        id_kind("cookie")
    assert str(error.value) == (
        "kind of ID 'cookie' is not known: one of aam_uuid, ecid, dpuuid, gaid, idfa, rida, maid, "
        "tifa, fire_tv, lgudid, vizio_ifa (reference/ids-in-aam.md)"
    )


def test_patterns_are_for_every_engine():
    # Look-around and possessive quantifiers are Python's; Arrow's engine knows neither.
    for pattern in (ALPHANUMERIC_PATTERN, LOWER_GUID_PATTERN, UPPER_GUID_PATTERN):
        assert "(?" not in pattern
        assert "+" not in pattern.removesuffix("+")
