r"""Personal data that must never be sent in the clear.

Pages: batch-data-transfer-overview.md, faq/faq-inbound-data-ingestion.md. What counts is
kept to what is beyond doubt, since refusing a good ID is worse than asking twice: an
e-mail address, and a phone number with plus sign and country code, wherever in a value
they stand. Bare digits are ordinary CRM IDs; Adobe's own samples have ten.

How much of it is found, and how often something else is taken for it, is measured in
tests/audience_manager/test_corpus.py and stated in docs/choices.md.

>>> [is_personal_data(value) for value in ("mailto:jane@example.com", "tel:+44 20 7946 0958")]
[True, True]
>>> [is_personal_data(value) for value in ("4598060374", "a@b", "logo@2x.png", "+1 234 567.89")]
[False, False, False, False]
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

# A whole value that is an address: what may be hashed as one. The pattern holds no look-around,
# so that every engine can run it. An "@" may have been URL-encoded on its way. A domain holds no
# percent sign, and that is also what keeps the time linear: otherwise each "%40" of a long value
# would be tried with the whole rest after it. A top-level domain never ends in a digit, a version
# does.
EMAIL_PATTERN: Final = r"[^@\s\"<>,;]+(@|%40)[^@%\s\"<>,;]+\.[^@%\s\"<>,;.]+[^@%\s\"<>,;.0-9]"

# Beyond ASCII every letter may stand in an address (RFC 6531), and not all of them are letters to
# Python: vowel signs are not.
_BEYOND_ASCII: Final = r"\u00a1-\U0010ffff"
# RFC 5322, atext and the dot, without slash and percent sign, which stand in URLs and escapes. Read
# backwards from the "@".
_LOCAL = re.compile(rf"[0-9A-Za-z.!#$&'*=?^_`{{|}}~+{_BEYOND_ASCII}-]+|\"[^\"]+\"")
_SAYS_SOMETHING = re.compile(rf"[0-9A-Za-z{_BEYOND_ASCII}]")
_LABEL: Final = rf"[0-9A-Za-z_{_BEYOND_ASCII}](?:[0-9A-Za-z_{_BEYOND_ASCII}-]{{0,62}})\."
_DOMAIN = re.compile(
    rf"(?P<labels>(?:{_LABEL})+)(?P<top>xn--[0-9A-Za-z-]+|[A-Za-z{_BEYOND_ASCII}]{{2,63}})"
    rf"(?![0-9A-Za-z_{_BEYOND_ASCII}-]|\.[0-9A-Za-z])"
)
# "18.0.rc", "2x.png": a version, the name of a picture for screens that are twice as sharp.
_NUMBERS = re.compile(r"(?:[0-9]*x?\.)+")
# Under these there are domains of digits alone, such as 163.com.
_WITH_DIGITS = re.compile(
    "com|net|org|info|biz|edu|io|me|co|eu|de|at|ch|nl|be|fr|it|es|pt|uk|ie|pl|cz|sk|hu|ro|bg|gr|se"
    "|no|dk|fi|ru|ua|tr|il|in|id|vn|th|my|sg|cn|tw|hk|jp|kr|au|nz|ca|us|mx|br|ar|za"
)
# Ends of file names, none of them a top-level domain.
_FILES = re.compile("png|jpe?g|gif|svg|webp|css|js|json|html?|php|pdf|xml|csv|txt")

# E.164: plus, a country code that does not start with 0, at most 15 digits; a zero in brackets may
# come on top. Spaces and hyphens of every width.
_SEPARATORS: Final = r" ()./\u00a0\u2009\u202f\u2010-\u2013-"
_PHONE = re.compile(
    r"(?<![0-9A-Za-z_/+])"
    rf"\+[ (]{{0,2}}(?P<number>[1-9](?:[{_SEPARATORS}]{{0,3}}[0-9]){{7,15}})"
    r"(?:[ ;,]?(?:x|ext\.?=?) ?[0-9]{1,6})?(?![0-9A-Za-z_+/])"
)
# "+1,234,567.89", and a place as ISO 6709 writes it, "+48.8577+002.295/".
_NO_PHONE = re.compile(
    r"\+[0-9]{1,3}(?:[ .,'][0-9]{3})*[.,][0-9]{1,2}(?![ .,()/-]*[0-9])"
    r"|\+[0-9]{1,3}\.[0-9]+[-+][0-9]{1,3}\.[0-9]"
)
# ITU-T E.164, assigned country codes, without +1 and +7, which have numbers of one length.
_COUNTRIES = re.compile(
    r"2(?:[07]|[1-69][0-9])|3(?:[0-469]|[578][0-9])|4(?:[013-9]|2[0-9])|5(?:[1-8]|[09][0-9])"
    r"|6(?:[0-6]|[7-9][0-9])|8(?:[1246]|[0578][0-9])|9(?:[0-58]|[679][0-9])"
)
_SHORTEST_NUMBER: Final = 9
_LONG_NUMBERS: Final = {"1": re.compile(r"1[2-9][0-9]{9}"), "7": re.compile(r"7[3-9][0-9]{9}")}

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
# What was encoded twice on its way has "%2540" in it.
_TIMES_ENCODED: Final = 2

_EMAIL = re.compile(EMAIL_PATTERN)


def is_email(value: str) -> bool:
    """Whether a whole value is an e-mail address, URL-encoded or not.

    >>> is_email("jane.doe@example.co.uk"), is_email("jane%40example.com"), is_email("@jane")
    (True, True, False)
    """
    return _EMAIL.fullmatch(value.strip()) is not None


def is_personal_data(value: str) -> bool:
    """Whether an e-mail address or a phone number stands in a value, beyond doubt."""
    for _ in range(_TIMES_ENCODED):
        if "%" in value:
            value = _ESCAPES.sub(_decoded, value)
    return ("@" in value and _holds_email(value)) or ("+" in value and _holds_phone_number(value))


def _holds_email(value: str) -> bool:
    # Cut at each "@", so that the time is linear: what stands before it is read backwards.
    for place, (before, after) in enumerate(pairwise(value.split("@"))):
        local = _LOCAL.match(before[::-1])
        if local is None or not _SAYS_SOMETHING.search(local[0]):
            continue
        # "@jane@example.social" is a name in public, "a@b@example.com" no address.
        if place and local.end() == len(before):
            continue
        domain = _DOMAIN.match(after)
        if domain is not None and _is_domain(domain["labels"], domain["top"].lower()):
            return True
    return False


def _is_domain(labels: str, top: str) -> bool:
    if _NUMBERS.fullmatch(labels):
        return _WITH_DIGITS.fullmatch(top) is not None
    return _FILES.fullmatch(top) is None


def _holds_phone_number(value: str) -> bool:
    for found in _PHONE.finditer(value):
        digits = "".join(filter(str.isdigit, found["number"]))
        if _NO_PHONE.match(value, found.start()):
            continue
        form = _LONG_NUMBERS.get(digits[0])
        if form is not None:
            if form.fullmatch(digits):
                return True
        elif len(digits) >= _SHORTEST_NUMBER and _COUNTRIES.match(digits):
            return True
    return False


def _decoded(escapes: re.Match[str]) -> str:
    return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8", "replace")


def mask(value: str) -> str:
    """A value as it may appear in reports: its first two characters and its length.

    Short values are masked whole, so that nothing can be guessed from them; characters
    that could break a line or a terminal are masked too.

    >>> mask("XYZ3017D_2kzk"), mask("bob")
    ('XY… (13 characters)', '… (3 characters)')
    """
    head = value[:2] if len(value) >= 8 and value[:2].isascii() and value[:2].isalnum() else ""
    return f"{head}… ({len(value)} characters)"
