r"""Text that stands where an ID or a number is missing, or that has lost the ID it was.

Exports write ``NULL``, ``\N``, ``None`` or ``NaN`` where a value is missing, and a spreadsheet
makes ``1.23457E+12`` of a long number. Refusing a good ID is worse than sending a bad one, so only
what cannot be a customer's ID is found. docs/choices.md says which words these are, and
tests/audience_manager/test_corpus.py measures how often they are right.

>>> [is_placeholder(value) for value in ("NULL", r"\N", " none ", "<NA>", "nancy", "unknown", "0")]
[True, True, True, True, False, False, False]
>>> [is_rounded(value) for value in ("1.23457E+12", "1e+17", "1E12", "1001.00")]
[True, True, False, False]
"""

from __future__ import annotations

import re
from typing import Final

# Without regard to case: PostgreSQL and MySQL write NULL and \N, Python None, pandas nan, NaT and
# <NA>, JavaScript undefined, spreadsheets #N/A. A column of truth values holds no IDs either.
PLACEHOLDERS: Final = (
    "null",
    r"\n",
    "none",
    "nan",
    "nat",
    "n/a",
    "#n/a",
    "#null!",
    "#ref!",
    "#value!",
    "#name?",
    "#num!",
    "#div/0!",
    "undefined",
    "<na>",
    "<null>",
    "(null)",
    "[null]",
    "{null}",
    "true",
    "false",
)
# R's word for a missing value. In small letters it might be somebody's name.
R_PLACEHOLDER: Final = "NA"
# "4E12" may well be an ID, so a number without a decimal mark needs the sign that spreadsheets
# write.
ROUNDED_PATTERN: Final = r"[-+]?[0-9](?:[.,][0-9]{1,20}[Ee][-+]?|[Ee]\+)[0-9]{1,3}"
LONGEST_ROUNDED: Final = len("-1.") + 20 + len("E+123")
# As Python, Arrow and pandas write numbers that are none.
NOT_A_NUMBER: Final = ("nan", "NaN", "inf", "-inf")
# White space as Unicode has it, and four characters that nobody sees.
BLANK_PATTERN: Final = r"[\s\u200b-\u200d\u2060]+"

_PLACEHOLDERS: Final = frozenset(PLACEHOLDERS)
_LONGEST: Final = max(map(len, PLACEHOLDERS))
_ROUNDED = re.compile(ROUNDED_PATTERN)
_BLANK = re.compile(BLANK_PATTERN)


def is_blank(value: str) -> bool:
    r"""Whether a value holds nothing that can be seen.

    >>> is_blank(""), is_blank(" \u00a0"), is_blank(" x ")
    (True, True, False)
    """
    return not value or _BLANK.fullmatch(value) is not None


def is_placeholder(value: str) -> bool:
    """Whether a value is a word for a missing value, or a truth value; blanks around it aside."""
    value = value.strip(" ")
    if len(value) > _LONGEST:
        return False
    return value == R_PLACEHOLDER or value.lower() in _PLACEHOLDERS


def is_rounded(value: str) -> bool:
    """Whether a value is a number in scientific notation, which has lost digits."""
    return _ROUNDED.fullmatch(value.strip(" ")) is not None
