"""How much is found of what must not be sent, and how much else is taken for it.

Personal data, and what is no ID at all; the figures stand in docs/choices.md.

Both ways of finding it are measured on the same corpus, as user IDs and as values of signals: the
vectorised engine that writes files, and the line by line reader that checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from airflow_am_provider.audience_manager.files import scan
from airflow_am_provider.audience_manager.identifiers import DPUUID
from airflow_am_provider.audience_manager.items import value_problem
from airflow_am_provider.audience_manager.names import DataFileName
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.columns.checks import id_codes, rule_of, value_codes
from tests.audience_manager.corpus import (
    EMAILS,
    LIKE_NO_IDS,
    NO_IDS,
    NOT_LOOKED_FOR,
    NOT_TOLD_FROM_IDS,
    PHONES,
    SHORT_PHONES,
    ordinary,
)
from tests.docs_pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_am_provider.formatting.columns.checks import Codes

Rules = list[set[Rule]]
NAME = DataFileName(dpid=478, timestamp=1366545717)


def of_codes(codes: Codes) -> Rules:
    return [{rule_of(code)} if code else set() for code in codes.tolist()]


def engine_on_ids(values: Sequence[str]) -> Rules:
    return of_codes(id_codes(pa.array([value.encode() for value in values]), DPUUID))


def engine_on_signals(values: Sequence[str]) -> Rules:
    array = pa.array([value.encode() for value in values])
    return of_codes(value_codes(array, ByteView.of(array), b',"', value_problem))


def findings(line: str) -> set[Rule]:
    return {finding.rule for finding in scan(NAME, lambda: [line.encode()]).findings}


def reader_on_ids(values: Sequence[str]) -> Rules:
    return [findings(f"{value}\td_sid=1\n") for value in values]


def reader_on_signals(values: Sequence[str]) -> Rules:
    return [findings(f'u\t"key"="{value}"\n') for value in values]


@dataclass
class Measured:
    """What one way of finding made of the corpus.

    :param found: personal data that is not sent as it is, of so much in the corpus.
    :param wrong: ordinary values that are called personal data, of so many.
    """

    found: int
    of: int
    wrong: int
    ordinary: int

    @property
    def recall(self) -> float:
        return self.found / self.of

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.wrong)


def measured(
    find: Callable[[Sequence[str]], Rules], *, quotable: bool
) -> tuple[Measured, list[str]]:
    """The figures, and the values that were not found or taken for something else."""
    positive, negative = [*EMAILS, *PHONES, *SHORT_PHONES], ordinary()
    if quotable:  # other values are refused for their quotes and commas
        positive, negative = (
            [value for value in values if not set(value) & {'"', ","}]
            for values in (positive, negative)
        )
    # What breaks another rule, such as an ID with a colon, is not sent either.
    missed = [value for value, rules in zip(positive, find(positive), strict=True) if not rules]
    taken = [
        value
        for value, rules in zip(negative, find(negative), strict=True)
        if Rule.PERSONAL_DATA in rules
    ]
    figures = Measured(len(positive) - len(missed), len(positive), len(taken), len(negative))
    return figures, [*missed, *taken]


@pytest.mark.parametrize(
    ("find", "quotable"),
    [
        (engine_on_ids, False),
        (engine_on_signals, True),
        (reader_on_ids, False),
        (reader_on_signals, True),
    ],
)
def test_precision_and_recall(
    find: Callable[[Sequence[str]], Rules],
    quotable: bool,
    record_property: Callable[[str, object], None],
) -> None:
    figures, wrong = measured(find, quotable=quotable)
    record_property("precision and recall", (figures.precision, figures.recall))
    assert wrong == SHORT_PHONES
    assert figures.precision == 1.0
    assert figures.recall > 0.97


def test_it_is_the_rule_on_personal_data_that_finds_it() -> None:
    # Colons are forbidden in IDs all the same; in values of signals nothing is in the way.
    values = [value for value in (*EMAILS, *PHONES) if not set(value) & {'"', ","}]
    for value, rules in zip(values, engine_on_signals(values), strict=True):
        assert rules == {Rule.PERSONAL_DATA}, value


def test_what_is_not_looked_for_is_said_and_not_found() -> None:
    """So that nobody relies on it, and the page is changed with the code."""
    found = engine_on_signals(NOT_LOOKED_FOR)
    assert not any(Rule.PERSONAL_DATA in rules for rules in found)


def test_the_figures_stand_in_the_documentation() -> None:
    of_ids, _ = measured(engine_on_ids, quotable=False)
    said = (
        f"{len(EMAILS)} addresses, {len(PHONES) + len(SHORT_PHONES)} phone numbers and "
        f"{of_ids.ordinary:,} ordinary values: precision {of_ids.precision:.0%}, "
        f"recall {of_ids.recall:.1%}"
    )
    assert said in page("choices.md"), said


WORDS = {"true", "null"}
NO_ID_RULES = {Rule.EMPTY_ID, Rule.ID_PLACEHOLDER, Rule.ID_ROUNDED}


def ordinary_ids() -> list[str]:
    return [value for value in (*ordinary(), *LIKE_NO_IDS) if value not in WORDS]


@pytest.mark.parametrize("find", [engine_on_ids, reader_on_ids])
def test_what_is_no_id_is_found_and_nothing_else(find: Callable[[Sequence[str]], Rules]) -> None:
    found = [
        value for value, rules in zip(NO_IDS, find(NO_IDS), strict=True) if rules & NO_ID_RULES
    ]
    assert found == NO_IDS
    ordinary_values = [*ordinary_ids(), *NOT_TOLD_FROM_IDS]
    taken = [
        value
        for value, rules in zip(ordinary_values, find(ordinary_values), strict=True)
        if rules & NO_ID_RULES
    ]
    assert taken == []


def test_what_is_told_from_ids_stands_in_the_documentation() -> None:
    found = len(NO_IDS)
    recall = found / (found + len(NOT_TOLD_FROM_IDS))
    said = (
        f"{found} values that are no IDs, {len(NOT_TOLD_FROM_IDS)} that may be, and "
        f"{len(ordinary_ids()):,} IDs: precision 100%, recall {recall:.0%}"
    )
    assert said in page("choices.md"), said
