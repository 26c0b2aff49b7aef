r"""Lines of inbound files, read one by one as Audience Manager would.

Pages: inbound-file-contents.md, id-sync-file-based.md. Nothing here is used for writing:
``airflow-am check`` and the sandbox read with it what the vectorised engine wrote.

>>> line, findings = read_data_line(b"DBwFoc3dhfMNCFBh\td_sid=24,d_unsid=28")
>>> line.user_id, [str(item) for item in line.items], findings
('DBwFoc3dhfMNCFBh', ['d_sid=24', 'd_unsid=28'], [])
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.hashing import is_hashed_email
from airflow_am_provider.audience_manager.identifiers import (
    DPUUID,
    URL_ENCODED_PATTERN,
    IdKind,
    kind_of_data_source,
)
from airflow_am_provider.audience_manager.items import Item, TraitItem, parse_items
from airflow_am_provider.audience_manager.names import IdSyncFileName, IdSyncPrefix, Mode
from airflow_am_provider.audience_manager.rules import RULES, Rule

_URL_ENCODED = re.compile(URL_ENCODED_PATTERN)


class Severity(StrEnum):
    """Whether Adobe would lose something over it."""

    ERROR = "error"
    WARNING = "warning"


# What reads well at Adobe all the same, or where the pages leave doubt without loss.
WARNINGS = frozenset(
    {
        Rule.EMPTY_LINE,
        Rule.EMPTY_ITEM,
        Rule.BARE_NUMBER,
        Rule.KEY_DASH,
        Rule.UNUSABLE_KEY,
        Rule.UNSID_IN_OVERWRITE,
        Rule.DUPLICATE_LINE,
        Rule.TOO_MANY_TRAITS_PER_USER,
        Rule.WINDOWS_LINE_END,
        Rule.NO_FINAL_NEWLINE,
        Rule.ENCRYPTED,
        Rule.PARTNER_FORM,
        Rule.ID_SYNC_MASTER,
        Rule.ID_HYPHEN,
        Rule.ID_OPTED_OUT,
        Rule.ID_PLACEHOLDER,
        Rule.ID_ROUNDED,
        Rule.VALUE_NOT_A_NUMBER,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One broken rule at one place.

    :param rule: which rule.
    :param line: number of the line from 1, or None for the file as a whole.
    :param detail: what more there is to say, without personal data.
    """

    rule: Rule
    line: int | None = None
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """Error, or warning where nothing is lost."""
        return Severity.WARNING if self.rule in WARNINGS else Severity.ERROR

    @property
    def message(self) -> str:
        """The rule in words, with its page."""
        text = RULES[self.rule]
        detail = f": {self.detail}" if self.detail else ""
        return f"{text.sentence}{detail} ({text.page})"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataLine:
    """A user ID and what is said of it. No items: all its traits go (``.overwrite`` only)."""

    user_id: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IdSyncLine:
    """IDs of one person, in the order of the data sources in the file's name."""

    ids: tuple[str, ...]


def read_data_line(
    raw: bytes, *, kind: IdKind = DPUUID, mode: Mode = Mode.SYNC
) -> tuple[DataLine | None, list[Rule]]:
    """Read one line of a data file.

    :param raw: the line without its newline; one carriage return at its end is allowed.
    :param kind: the kind of ID in the file.
    :param mode: the file's mode.
    :return: the line, or None when Adobe could not use it; and every rule it breaks.
    """
    text, rules = _text(raw)
    if text is None:
        return None, rules
    user_id, tab, rest = text.partition("\t")
    if not tab:
        rules.append(Rule.NO_TAB)
        return None, rules
    problem = kind.problem(user_id)
    if problem is not None:
        rules.append(problem)
    if "\t" in rest:
        rules.append(Rule.MORE_THAN_ONE_TAB)
        return None, rules
    if not rest.strip(" "):
        if mode is not Mode.OVERWRITE:
            rules.append(Rule.NO_ITEMS)
        elif problem is None or problem in WARNINGS:
            return DataLine(user_id=user_id, items=()), rules
        return None, rules
    items, broken = parse_items(rest)
    rules += broken
    if mode is Mode.OVERWRITE and any(
        isinstance(item, TraitItem) and not item.realized for item in items
    ):
        rules.append(Rule.UNSID_IN_OVERWRITE)
    if not items and all(rule in WARNINGS for rule in broken):
        rules.append(Rule.NO_ITEMS)
    if any(rule not in WARNINGS for rule in rules) or not items:
        return None, rules
    return DataLine(user_id=user_id, items=tuple(items)), rules


def read_id_sync_line(raw: bytes, *, name: IdSyncFileName) -> tuple[IdSyncLine | None, list[Rule]]:
    """Read one line of an ID sync file.

    :param raw: the line without its newline; one carriage return at its end is allowed.
    :param name: the file's name, which tells what the columns hold.
    :return: the line, or None when Adobe could not use it; and every rule it breaks.
    """
    text, rules = _text(raw)
    if text is None:
        return None, rules
    if text[-1] in "\t ":
        rules.append(Rule.TRAILING_SPACE)
        return None, rules
    ids = text.split("\t")
    hashed = name.prefix is IdSyncPrefix.C2C_ID
    if len(ids) < len(name.columns) or (len(ids) > len(name.columns) and not hashed):
        rules.append(Rule.COLUMN_COUNT)
        return None, rules
    for place, value in enumerate(ids):
        problem = _id_sync_problem(value, name, place)
        if problem is not None:
            rules.append(problem)
    # A c2c_id line may have more IDs than the name has DPIDs: the hashed e-mails of the one
    # CRM ID (people-based-destinations-workflow-combined.md).
    if hashed and len(ids) - 1 > limits.MAX_HASHED_EMAILS_PER_CRM_ID:
        rules.append(Rule.TOO_MANY_HASHED_EMAILS)
    if any(rule not in WARNINGS for rule in rules):
        return None, rules
    return IdSyncLine(ids=tuple(ids)), rules


def _id_sync_problem(value: str, name: IdSyncFileName, place: int) -> Rule | None:
    hashed = name.prefix is IdSyncPrefix.C2C_ID
    if hashed and place > 0:
        problem = DPUUID.problem(value)
        return problem or (None if is_hashed_email(value) else Rule.HASHED_EMAIL_FORM)
    problem = kind_of_data_source(name.columns[place]).problem(value)
    if problem is None and _URL_ENCODED.search(value):
        return Rule.ID_URL_ENCODED
    return problem


def _text(raw: bytes) -> tuple[str | None, list[Rule]]:
    """Decode a line; None with the rule that forbids reading on."""
    rules: list[Rule] = []
    if raw.endswith(b"\r"):
        raw = raw[:-1]
        rules.append(Rule.WINDOWS_LINE_END)
    if len(raw) > limits.MAX_LINE_BYTES:
        return None, [*rules, Rule.LINE_TOO_LONG]
    if not raw:
        return None, [*rules, Rule.EMPTY_LINE]
    try:
        return raw.decode("utf-8"), rules
    except UnicodeDecodeError:
        return None, [*rules, Rule.INVALID_UTF8]
