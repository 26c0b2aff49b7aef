"""When a source is too bad to be sent."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.rules import RULES, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.formatting.lines.line_writer import PersonalData

#: Before so many values were seen, a few strange ones at the start say nothing of a column.
ENOUGH_VALUES: Final = 1000
# What a source often gives, and takes a setting only.
_HINTS: Final = {
    Rule.TRAIT_NOT_NUMERIC: "Traits that are JSON, or separated by ';' or '|', need "
    "traits_separator",
}


class PersonalDataWatch:
    """Finds columns that hold personal data for the most part."""

    def __init__(self) -> None:
        self._columns: dict[str, PersonalData] = {}

    def add(self, columns: Mapping[str, PersonalData]) -> None:
        """Take the next rows into account.

        :raises DataError: when a column holds mostly personal data, and enough was seen.
        """
        for name, more in columns.items():
            before = self._columns.get(name)
            self._columns[name] = more if before is None else before + more
        self.check(at_least=ENOUGH_VALUES)

    def check(self, *, at_least: int = 1) -> None:
        """Look at all columns.

        :param at_least: how many values of a column must have been seen.
        :raises DataError: when one holds mostly personal data.
        """
        for name, column in self._columns.items():
            if column.values >= at_least and column.found * 2 > column.values:
                raise DataError(
                    f"column {name!r} holds personal data: {column.found:,} of its first "
                    f"{column.values:,} values are e-mail addresses or phone numbers in the clear, "
                    f"which must not be sent. Choose another column, or hash it; for hashed "
                    f"e-mails use hash_columns in an ID sync (batch-data-transfer-overview.md)"
                )


def limit(parameter: str, value: object, what: str = "rows") -> int | float:
    """How many rows may be set aside: a count, or a share from 0.0 to 1.0; perhaps as text.

    A whole number is a count and one with a point a share: ``1`` is one row, ``1.0`` all of them.

    :param parameter: the parameter's name, for the message.
    :param what: what is counted, for the message.
    :raises ConfigurationError: when it is neither.

    >>> limit("max_set_aside", "0.01"), limit("max_set_aside", 100), limit("max_set_aside", "1.0")
    (0.01, 100, 1.0)
    """
    number = value if isinstance(value, int | float) else _number(str(value))
    largest = 1 if isinstance(number, float) else math.inf
    if isinstance(number, bool) or not 0 <= number <= largest:
        raise ConfigurationError(
            f"{parameter}: {value!r} is neither a number of {what} nor a share from 0.0 to 1.0"
        )
    return number


def _number(text: str) -> int | float:
    for read in (int, float):
        with suppress(ValueError):
            return read(text)
    return math.nan


def check_set_aside(counts: Mapping[Rule, int], rows_read: int, allowed: float) -> None:
    """Compare the rows that were set aside with what is allowed.

    :param counts: how many rows were set aside by each rule.
    :param rows_read: all rows.
    :param allowed: a whole number is a count, a fraction a share of the rows read.
    :raises DataError: when there are more; says why they were set aside.
    """
    problem = set_aside_problem(counts, rows_read, allowed)
    if problem is not None:
        raise DataError(
            f"{problem}. Nothing was sent; mend the source, or raise max_set_aside if these rows "
            f"may be left out"
        )


def set_aside_problem(counts: Mapping[Rule, int], rows_read: int, allowed: float) -> str | None:
    """What is wrong when more rows were set aside than allowed, in a sentence; else None."""
    limit = allowed if isinstance(allowed, int) else allowed * rows_read
    lost = Counter({rule: n for rule, n in counts.items() if not RULES[rule].loses_nothing})
    if lost.total() <= limit:
        return None
    reasons = ", ".join(
        f"{count:,} {rule.value} ({RULES[rule].sentence})" for rule, count in lost.most_common()
    )
    hints = "".join(f". {hint}" for rule, hint in _HINTS.items() if rule in lost)
    most = f"{allowed:,}" if isinstance(allowed, int) else f"{allowed:.2%}"
    return (
        f"{lost.total():,} of {rows_read:,} rows break a rule, max_set_aside allows {most}: "
        f"{reasons}{hints}"
    )


def check_removed(lost: int, before: int, allowed: float) -> None:
    """Compare what an extract lacks with what may be removed.

    :param lost: traits of a snapshot that the extract lacks, over all users.
    :param before: traits of that snapshot, over all users.
    :param allowed: a whole number is a count, a fraction a share of what there was.
    :raises DataError: when there are more.
    """
    if lost <= (allowed if isinstance(allowed, int) else allowed * before):
        return
    most = f"{allowed:,}" if isinstance(allowed, int) else f"{allowed:.2%}"
    raise DataError(
        f"{lost:,} of {before:,} traits that users had in a snapshot before are not in this "
        f"extract ({lost / before:.2%}), max_removed allows {most}. Nothing was staged. Check "
        f"that the extract is whole. If so many traits are to be removed, raise max_removed for "
        f"this run"
    )
