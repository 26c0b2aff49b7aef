r"""Recognises lines that are plainly good, many at a time.

Nearly every line of a real file is plain. One regular expression that takes whole lines
lets :mod:`~airflow_am_provider.audience_manager.files` skip the careful reader for them,
some twenty times faster. What it takes must be good beyond doubt, with no finding of any
kind; what it leaves may be good as well.

>>> plain = plain_lines(DataFileName(dpid=478, timestamp=1366545717))
>>> plain.findall(b"ann\td_sid=1,d_unsid=2\nbob\tcity = Bonn\n")
[b'ann']
"""

from __future__ import annotations

import re
from typing import Final

from airflow_am_provider.audience_manager.hashing import HASHED_EMAIL_PATTERN
from airflow_am_provider.audience_manager.identifiers import (
    OPTED_OUT_GUID,
    kind_of_data_source,
)
from airflow_am_provider.audience_manager.items import (
    ADD_PREFIX,
    IC_PREFIX,
    REMOVE_PREFIX,
    RESERVED_KEYS,
    TRAIT_PATTERN,
)
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    IdSyncFileName,
    IdSyncPrefix,
    Mode,
)
from airflow_am_provider.audience_manager.placeholders import (
    NOT_A_NUMBER,
    PLACEHOLDERS,
    R_PLACEHOLDER,
)

# No control character; no colon and percent sign (encoded colons, escapes); no at sign
# (e-mail addresses), and no plus sign that a phone number may begin with. No space at the
# start, nor anything beyond ASCII there: byte order marks and the odd white space. No word for a
# missing value, and nothing that begins like a number in scientific notation.
_WORDS: Final = "|".join(map(re.escape, (*PLACEHOLDERS, R_PLACEHOLDER)))
_NO_WORD: Final = rf"(?!(?i:{_WORDS}) *[\t\n])"
_NO_ROUNDED: Final = r"(?![-+]?[0-9](?:[.,][0-9]*)?[Ee])"
_OPAQUE_ID: Final = (
    rf"{_NO_WORD}{_NO_ROUNDED}(?![^\t\n]*\+[1-9( ])"
    r"[^\x00-\x20\x7f-\xff:%@][^\x00-\x1f\x7f:%@]*+"
)
_RESERVED: Final = "|".join(RESERVED_KEYS)
_KEY: Final = rf"(?!(?:{_RESERVED}|[0-9]+)\")[0-9A-Za-z_][0-9A-Za-z_-]*+"
_NOT_A_NUMBER: Final = "|".join(NOT_A_NUMBER)
_VALUE: Final = rf"(?!(?:{_NOT_A_NUMBER})\")[^\x00-\x1f\x7f\",+%@]*+"
_SIGNAL: Final = rf'"{_KEY}"="{_VALUE}"'
_IC: Final = rf"{IC_PREFIX}[0-9A-Za-z_.-]++"


def plain_lines(name: DataFileName | IdSyncFileName) -> re.Pattern[bytes]:
    """The expression that finds a file's plain lines, with the first ID of each as its group.

    It is to be used on text that is UTF-8, on lines within the limit of length.

    :param name: the name of the file.
    """
    line = _id_sync_line(name) if isinstance(name, IdSyncFileName) else _data_line(name)
    return re.compile(rf"^{line}\n".encode("ascii"), re.MULTILINE)


def _data_line(name: DataFileName) -> str:
    # d_unsid in an .overwrite file is worth a warning.
    prefixes = [ADD_PREFIX] if name.mode is Mode.OVERWRITE else [ADD_PREFIX, REMOVE_PREFIX]
    trait = rf"(?:{'|'.join(prefixes)}){TRAIT_PATTERN}+"
    rest = rf"(?:,(?:{trait}|{_SIGNAL}|{_IC}))*"
    # Most lines are all traits, all signals, or signals after traits: a run of one kind takes a
    # fifth less time than a choice at each item. After a run comes another kind, so that there
    # is one way only to read a line, and a bad one is left in one go.
    #
    # Not possessive: before Python 3.11.5 possessive groups take what does not match
    # (gh-106052). Sets of characters, as above, are sound.
    behind_signals = rf"(?:,(?:{trait}|{_IC}){rest})?"
    signals = rf"{_SIGNAL}(?:,{_SIGNAL})*{behind_signals}"
    behind_traits = rf"(?:,{signals}|,{_IC}{rest})?"
    items = rf"(?:{trait}(?:,{trait})*{behind_traits}|{signals}|{_IC}{rest})"
    return rf"({_plain_id(name.dpid)})\t{items}"


def _id_sync_line(name: IdSyncFileName) -> str:
    first, *others = name.columns
    if name.prefix is IdSyncPrefix.C2C_ID:
        rest = [HASHED_EMAIL_PATTERN for _ in others]
    else:
        rest = [_plain_id(dpid) for dpid in others]
    # No percent sign is in a plain ID, so nothing is URL-encoded. A line that ends in a
    # space is not processed.
    return rf"({_plain_id(first)})\t" + r"\t".join(rest) + r"(?<! )"


def _plain_id(dpid: int) -> str:
    pattern = kind_of_data_source(dpid).pattern
    if pattern is None:
        return _OPAQUE_ID
    return rf"{_NO_WORD}(?!{OPTED_OUT_GUID})(?:{pattern})"
