"""Personal data that must never be sent in the clear.

Pages: batch-data-transfer-overview.md, faq/faq-inbound-data-ingestion.md. What counts is
kept to what is beyond doubt, since refusing a good ID is worse than asking twice: an
e-mail address, and a phone number with plus sign and country code. Bare digits are
ordinary CRM IDs; Adobe's own samples have ten.
"""

from __future__ import annotations

import re

# The patterns are for whole values and hold no look-around, so that every engine can run
# them. An "@" may have been URL-encoded on its way. A domain holds no percent sign, and that
# is also what keeps the time linear: otherwise each "%40" of a long value would be tried
# with the whole rest behind it. A top-level domain never ends in a digit, a version does.
EMAIL_PATTERN = r"[^@\s\"<>,;]+(@|%40)[^@%\s\"<>,;]+\.[^@%\s\"<>,;.]+[^@%\s\"<>,;.0-9]"
# E.164: plus, a country code that does not start with 0, up to 15 digits, common separators.
PHONE_PATTERN = r"\+[1-9]([ ()./-]{0,2}[0-9]){7,14}"

_EMAIL = re.compile(EMAIL_PATTERN)
_PHONE = re.compile(PHONE_PATTERN)


def is_email(value: str) -> bool:
    """Whether a whole value is an e-mail address, URL-encoded or not.

    >>> is_email("jane.doe@example.co.uk"), is_email("jane%40example.com"), is_email("@jane")
    (True, True, False)
    """
    return _EMAIL.fullmatch(value.strip()) is not None


def is_phone_number(value: str) -> bool:
    """Whether a whole value is a phone number beyond doubt.

    >>> is_phone_number("+44 20 7946 0958"), is_phone_number("4598060374")
    (True, False)
    """
    return _PHONE.fullmatch(value.strip()) is not None


def is_personal_data(value: str) -> bool:
    """Whether a whole value is an e-mail address or a phone number beyond doubt."""
    return is_email(value) or is_phone_number(value)


def mask(value: str) -> str:
    """A value as it may appear in reports: its first two characters and its length.

    Short values are masked whole, so that nothing can be guessed from them; characters
    that could break a line or a terminal are masked too.

    >>> mask("XYZ3017D_2kzk"), mask("bob")
    ('XY… (13 characters)', '… (3 characters)')
    """
    head = value[:2] if len(value) >= 8 and value[:2].isascii() and value[:2].isalnum() else ""
    return f"{head}… ({len(value)} characters)"
