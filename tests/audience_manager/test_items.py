"""Items of data files: read, printed back, refused with the rule."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.items import (
    IcItem,
    SignalItem,
    TraitItem,
    ic_problem,
    is_usable_key,
    parse_item,
    parse_items,
    signal_prefix,
    split_items,
    value_problem,
)
from airflow_am_provider.audience_manager.rules import RULES, Rule
from tests.audience_manager.hostile import hostile_text
from tests.examples import examples

keys = hostile_text.filter(lambda text: not _is_refused_key(text))
values = hostile_text.filter(lambda text: value_problem(text) is None)
codes = hostile_text.filter(lambda text: ic_problem(text) is None)
items = (
    st.builds(TraitItem, trait=st.from_regex(r"\A[0-9]+\Z"), realized=st.booleans())
    | st.builds(IcItem, code=codes)
    | st.builds(SignalItem, key=keys, value=values)
)


def _is_refused_key(key: str) -> bool:
    try:
        signal_prefix(key)
    except ConfigurationError:
        return True
    return False


def _warning_of(item):
    is_doubtful = isinstance(item, SignalItem) and not is_usable_key(item.key)
    return Rule.UNUSABLE_KEY if is_doubtful else None


@settings(max_examples=examples(500), deadline=None)
@given(item=items)
@example(item=SignalItem(key=" k ", value=" v "))
@example(item=SignalItem(key="k", value=""))
@example(item=IcItem(code="a b"))
def test_an_item_that_was_printed_is_read_as_the_same(item):
    assert parse_item(str(item)) == (item, _warning_of(item))


@settings(max_examples=examples(300), deadline=None)
@given(several=st.lists(items, min_size=1, max_size=5))
def test_printed_items_are_told_apart_again(several):
    warnings = list(filter(None, map(_warning_of, several)))
    assert parse_items(",".join(map(str, several))) == (several, warnings)


@settings(max_examples=examples(1000), deadline=None)
@given(text=hostile_text)
@example(text='"' * 1001)
@example(text="=" * 1000)
@example(text=",".join(['"a"="b"'] * 1000))
def test_any_text_is_read_or_breaks_rules_and_nothing_read_holds_control_characters(text):
    read, broken = parse_items(text)
    assert len(read) + len(broken) >= len(split_items(text))
    assert set(broken) <= set(RULES)
    for item in read:
        assert not any(ord(character) < 0x20 or character == "\x7f" for character in str(item))


@pytest.mark.parametrize(
    ("text", "item", "rule"),
    [
        # inbound-file-contents.md, "Formatting Trait IDs" and the examples under it
        ("d_sid=24", TraitItem(trait="24"), None),
        (" d_sid=26", TraitItem(trait="26"), None),
        ("d_unsid=28", TraitItem(trait="28", realized=False), None),
        ("28:0", TraitItem(trait="28", realized=False), None),
        (" 29:-1", TraitItem(trait="29", realized=False), None),
        ("30608", IcItem(code="30608"), Rule.BARE_NUMBER),
        ("ic=52", IcItem(code="52"), None),
        ("key = value", SignalItem(key="key", value="value"), None),
        ('"key" = value', SignalItem(key="key", value="value"), None),
        ('key = "value"', SignalItem(key="key", value="value"), None),
        ('"key" = "value"', SignalItem(key="key", value="value"), None),
        ('"age"="32" ', SignalItem(key="age", value="32"), None),
        ('"gender"=m', SignalItem(key="gender", value="m"), None),
        ('model = "pickup truck"', SignalItem(key="model", value="pickup truck"), None),
        ('d_city = "New York"', SignalItem(key="d_city", value="New York"), None),
        ("-product = camera", SignalItem(key="product", value="camera"), Rule.KEY_DASH),
        # The same written in other ways
        ("d_sid = 24", TraitItem(trait="24"), None),
        ('"d_unsid"="28"', TraitItem(trait="28", realized=False), None),
        ('"ic" = "52"', IcItem(code="52"), None),
        ("key=", SignalItem(key="key", value=""), None),
        ("ic=28:0", IcItem(code="28:0"), None),
        ("start=12:0", SignalItem(key="start", value="12:0"), None),
        ("key=a=b", SignalItem(key="key", value="a=b"), None),
        ('"--key"="v"', SignalItem(key="key", value="v"), Rule.KEY_DASH),
        ('"Product"="3 Months| Free"', SignalItem(key="Product", value="3 Months| Free"), None),
        (
            '"Straße"="Zürich 東京"',
            SignalItem(key="Straße", value="Zürich 東京"),
            Rule.UNUSABLE_KEY,
        ),
        # What cannot be read
        ("", None, Rule.EMPTY_ITEM),
        ("  ", None, Rule.EMPTY_ITEM),
        ("word", None, Rule.ITEM_SYNTAX),
        ("28:1", None, Rule.ITEM_SYNTAX),
        ("d_sid=", None, Rule.TRAIT_NOT_NUMERIC),
        ("d_sid=x24", None, Rule.TRAIT_NOT_NUMERIC),
        ("d_sid=-24", None, Rule.TRAIT_NOT_NUMERIC),
        ("d_sid=٢٤", None, Rule.TRAIT_NOT_NUMERIC),
        ("x:0", None, Rule.TRAIT_NOT_NUMERIC),
        ("ic=", None, Rule.IC_CODE),
        ("ic=a=b", None, Rule.IC_CODE),
        ('"ic"=" a"', None, Rule.IC_CODE),
        ("=value", None, Rule.SIGNAL_KEY),
        ('""="value"', None, Rule.SIGNAL_KEY),
        ("--=value", None, Rule.SIGNAL_KEY),
        ('"a,b"="c"', None, Rule.SIGNAL_KEY),
        ('"key"="a,b"', None, Rule.VALUE_COMMA_OR_QUOTE),
        ('"key"="a""b"', None, Rule.VALUE_COMMA_OR_QUOTE),
        ('"key"="a', None, Rule.VALUE_COMMA_OR_QUOTE),
        ('"key"="a\x00b"', None, Rule.VALUE_CONTROL_CHARACTER),
        ('"mail"="jane@example.com"', None, Rule.PERSONAL_DATA),
        ("phone=+442079460958", None, Rule.PERSONAL_DATA),
        ("ic=jane@example.com", None, Rule.PERSONAL_DATA),
    ],
)
def test_an_item_is_read_as_adobe_shows_it(text, item, rule):
    assert parse_item(text) == (item, rule)


@settings(max_examples=examples(300), deadline=None)
@given(text=hostile_text)
def test_items_are_cut_at_commas_outside_quotes_and_nothing_is_lost(text):
    pieces = split_items(text)
    assert ",".join(pieces) == text
    assume('"' not in text)
    assert all("," not in piece for piece in pieces)


@pytest.mark.parametrize("key", ["", "-city", "a,b", 'a"b', "a=b", "a\tb", "a\nb", "\x00"])
def test_a_key_that_cannot_be_written_is_refused(key):
    with pytest.raises(ConfigurationError) as error:
        signal_prefix(key)
    assert str(error.value) == (
        f"signal key {key!r}: a key is not empty, starts with no dash and holds no comma, quote "
        f"or equals sign (inbound-file-contents.md)"
    )


@pytest.mark.parametrize("key", ["d_sid", "d_unsid", "ic", "IC", "D_SID"])
def test_a_key_with_a_meaning_of_its_own_is_no_signal(key):
    with pytest.raises(ConfigurationError) as error:
        signal_prefix(key)
    assert str(error.value) == (
        f"signal key {key!r}: d_sid, d_unsid and ic are no signals; pass the column as one of "
        f"trait IDs or ic codes, or rename it (inbound-file-contents.md)"
    )


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("home-city_2", None),
        ("1st", None),
        ("123", Rule.UNUSABLE_KEY),
        ("price!123", Rule.UNUSABLE_KEY),
        ("home city", Rule.UNUSABLE_KEY),
        ("größe", Rule.UNUSABLE_KEY),
    ],
)
def test_a_key_that_no_trait_rule_can_use_is_taken_with_a_warning(key, rule):
    # trait-key-name-requirements.md names 123 and price!123 as invalid.
    assert parse_item(f'"{key}"="1"') == (SignalItem(key=key, value="1"), rule)
