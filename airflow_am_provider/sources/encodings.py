"""Text files in another encoding than UTF-8."""

from __future__ import annotations

import codecs
from typing import Final

from airflow_am_provider.audience_manager.errors import ConfigurationError

UTF_8: Final = "utf-8"
# What a file of these begins with, which no UTF-8 does. The longer ones come first.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python's own, which are of no file's text and cannot be read piece by piece.
_NO_TEXTS: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape"})
#: How many bytes tell.
MARK_BYTES: Final = 4


def encoding_of(start: bytes, said: str) -> str:
    """What a file is encoded in: as it is said, unless it says itself that it is UTF-16 or UTF-32.

    :param start: its first bytes.
    :param said: the name of an encoding, as Python has them.
    :return: its name; ``utf-8`` for what needs no conversion.
    :raises ConfigurationError: when there is no such encoding.

    >>> encoding_of(b"id", "latin-1"), encoding_of(b"id", "UTF8")
    ('iso8859-1', 'utf-8')
    >>> encoding_of("id".encode("utf-16"), "utf-8")
    'utf-16'
    """
    try:
        name = codecs.lookup(said).name
        "a".encode(name)  # raises for what is none of text, such as base64
        if name in _NO_TEXTS:
            raise LookupError(name)
    except (LookupError, UnicodeError, ValueError):
        raise ConfigurationError(
            f"encoding: {said!r} is none that Python knows; such as 'utf-8', 'latin-1', "
            f"'windows-1252' or 'utf-16'"
        ) from None
    if name in {UTF_8, "utf-8-sig", "ascii"}:
        return next((marked for mark, marked in _MARKS if start.startswith(mark)), UTF_8)
    return name
