"""Items: what follows a user ID in a data file.

Page: inbound-file-contents.md, "Formatting Trait IDs" and "Invalid Characters".

>>> [str(item) for item in parse_items('d_sid=24, 28:0, ic=52, model = "pickup truck"')[0]]
['d_sid=24', 'd_unsid=28', 'ic=52', '"model"="pickup truck"']
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.identifiers import CONTROL_PATTERN
from airflow_am_provider.audience_manager.personal_data import is_personal_data
from airflow_am_provider.audience_manager.placeholders import NOT_A_NUMBER
from airflow_am_provider.audience_manager.rules import RULES, Rule

TRAIT_PATTERN: Final = r"[0-9]+"
# What cannot stand inside a quoted value without an escape that Adobe does not document.
UNQUOTABLE_PATTERN: Final = r"[,\"]"
# What cannot stand in a key or an ic code, because it ends one.
KEY_FORBIDDEN_PATTERN: Final = r"[,\"=\x00-\x1f\x7f]"

ADD_PREFIX: Final = "d_sid="
REMOVE_PREFIX: Final = "d_unsid="
IC_PREFIX: Final = "ic="

IC_KEY: Final = IC_PREFIX.removesuffix("=")
# Keys with a meaning of their own, however they are quoted and spaced.
_REALIZED: Final = {ADD_PREFIX.removesuffix("="): True, REMOVE_PREFIX.removesuffix("="): False}
RESERVED_KEYS: Final = (*_REALIZED, IC_KEY)

# trait-key-name-requirements.md: letters, digits, dash and underscore; `123` is named as invalid.
USABLE_KEY_PATTERN: Final = r"(?![0-9]+\Z)[0-9A-Za-z_-]+"

_USABLE_KEY = re.compile(USABLE_KEY_PATTERN)
_TRAIT = re.compile(TRAIT_PATTERN, re.ASCII)
_KEY_FORBIDDEN = re.compile(KEY_FORBIDDEN_PATTERN)
_UNQUOTABLE = re.compile(UNQUOTABLE_PATTERN)
_CONTROL = re.compile(CONTROL_PATTERN)
_REMOVAL = re.compile(r"([^:=\s]*):(?:0|-1)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class TraitItem:
    """``d_sid=N`` (has the trait) or ``d_unsid=N`` (no longer has it)."""

    trait: str
    realized: bool = True

    def __str__(self) -> str:
        return f"{ADD_PREFIX if self.realized else REMOVE_PREFIX}{self.trait}"


@dataclass(frozen=True, kw_only=True, slots=True)
class IcItem:
    """``ic=CODE``: a value of the key ``ic``, for traits whose rule is ``ic == …``."""

    code: str

    def __str__(self) -> str:
        return f"{IC_PREFIX}{self.code}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalItem:
    """``"key"="value"``: a signal that Adobe's rules may turn into traits."""

    key: str
    value: str

    def __str__(self) -> str:
        return f'"{self.key}"="{self.value}"'


Item = TraitItem | IcItem | SignalItem


def signal_prefix(key: str) -> str:
    """What stands before a signal's value: the quoted key and the opening quote.

    :raises ConfigurationError: when the key breaks a rule.

    >>> signal_prefix("city")
    '"city"="'
    """
    if not key or key.startswith("-") or _KEY_FORBIDDEN.search(key):
        text = RULES[Rule.SIGNAL_KEY]
        raise ConfigurationError(f"signal key {key!r}: {text.sentence} ({text.page})")
    if key.lower() in RESERVED_KEYS:
        raise ConfigurationError(
            f"signal key {key!r}: d_sid, d_unsid and ic are no signals; pass the column as one of "
            f"trait IDs or ic codes, or rename it ({RULES[Rule.SIGNAL_KEY].page})"
        )
    return f'"{key}"="'


def is_usable_key(key: str) -> bool:
    """Whether the rule of a trait can use a signal's key (trait-key-name-requirements.md).

    >>> is_usable_key("home_city"), is_usable_key("123"), is_usable_key("price!123")
    (True, False, False)
    """
    return _USABLE_KEY.fullmatch(key) is not None


def value_problem(value: str) -> Rule | None:
    """The first rule that a signal's value breaks, or None.

    >>> value_problem("New York, NY")
    <Rule.VALUE_COMMA_OR_QUOTE: 'value_comma_or_quote'>
    """
    if _CONTROL.search(value):
        return Rule.VALUE_CONTROL_CHARACTER
    if is_personal_data(value):
        return Rule.PERSONAL_DATA
    if value in NOT_A_NUMBER:
        return Rule.VALUE_NOT_A_NUMBER
    return Rule.VALUE_COMMA_OR_QUOTE if _UNQUOTABLE.search(value) else None


def trait_problem(trait: str) -> Rule | None:
    """The rule that a trait ID breaks, or None.

    >>> trait_problem("24x")
    <Rule.TRAIT_NOT_NUMERIC: 'trait_not_numeric'>
    """
    return None if _TRAIT.fullmatch(trait) else Rule.TRAIT_NOT_NUMERIC


def ic_problem(code: str) -> Rule | None:
    """The rule that an ``ic`` code breaks, or None.

    >>> ic_problem("summer=2026")
    <Rule.IC_CODE: 'ic_code'>
    """
    if is_personal_data(code):
        return Rule.PERSONAL_DATA
    if not code or code != code.strip(" ") or _KEY_FORBIDDEN.search(code):
        return Rule.IC_CODE
    return None


def split_items(text: str) -> list[str]:
    """Cut at the commas that stand outside quotes."""
    if '"' not in text:
        return text.split(",")
    pieces: list[str] = []
    start = 0
    quoted = False
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            pieces.append(text[start:place])
            start = place + 1
    pieces.append(text[start:])
    return pieces


def parse_item(text: str) -> tuple[Item | None, Rule | None]:
    """Read one item: what it says, if it can be read, and the rule it breaks, if any.

    Spaces around it are dropped, as Adobe's own examples have them. A bare number is read
    as an ``ic`` value, as the only page that defines it does, and reported.

    >>> parse_item("d_unsid=28")
    (TraitItem(trait='28', realized=False), None)
    """
    text = text.strip(" ")
    if not text:
        return None, Rule.EMPTY_ITEM
    removal = _REMOVAL.fullmatch(text)
    if removal is not None:
        return _trait(removal[1], realized=False)
    if _TRAIT.fullmatch(text):
        return IcItem(code=text), Rule.BARE_NUMBER
    return _key_and_value(text)


def parse_items(text: str) -> tuple[list[Item], list[Rule]]:
    """Read everything after the tab: the items that can be read, and the rules broken."""
    items: list[Item] = []
    broken: list[Rule] = []
    for piece in split_items(text):
        item, rule = parse_item(piece)
        if item is not None:
            items.append(item)
        if rule is not None:
            broken.append(rule)
    return items, broken


def _trait(text: str, *, realized: bool) -> tuple[Item | None, Rule | None]:
    problem = trait_problem(text)
    if problem is not None:
        return None, problem
    return TraitItem(trait=text, realized=realized), None


def _key_and_value(text: str) -> tuple[Item | None, Rule | None]:
    key, equals, value = (part.strip(" ") for part in _partition_outside_quotes(text))
    if not equals:
        return None, Rule.ITEM_SYNTAX
    key, value = _unquoted(key), _unquoted(value)
    # inbound-file-contents.md: "-product = camera" is interpreted as "product = camera".
    bare_key = key.lstrip("-")
    if not bare_key or _KEY_FORBIDDEN.search(bare_key):
        return None, Rule.SIGNAL_KEY
    item, problem = _item_of(bare_key, value)
    return item, problem or (Rule.KEY_DASH if bare_key != key else None)


def _item_of(key: str, value: str) -> tuple[Item | None, Rule | None]:
    if key in _REALIZED:
        return _trait(value.strip(" "), realized=_REALIZED[key])
    if key == IC_KEY:
        problem = ic_problem(value)
        return (None, problem) if problem is not None else (IcItem(code=value), None)
    problem = value_problem(value)
    if problem is None and not is_usable_key(key):
        problem = Rule.UNUSABLE_KEY
    # What is no number is taken by Adobe as text, and all the same worth a finding.
    is_taken = problem in {None, Rule.VALUE_NOT_A_NUMBER, Rule.UNUSABLE_KEY}
    return SignalItem(key=key, value=value) if is_taken else None, problem


def _partition_outside_quotes(text: str) -> tuple[str, str, str]:
    if '"' not in text:
        return text.partition("=")
    quoted = False
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "=" and not quoted:
            return text[:place], "=", text[place + 1 :]
    return text, "", ""


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
