"""The columns that are needed, found among those that a file has, without showing any data.

A CSV file without a header has a customer where the names should be, so what stands there is shown
only when it is certain to be a header: one of the columns that are needed is in it.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.personal_data import is_personal_data, mask
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

_DELIMITERS: Final = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
# Algorithms that columns are named after.
_HASHES = re.compile(r"md5|sha[-_]?(?:224|256|384|512|1|2|3)", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d][^\d@]*")


def fields_of(line: str, delimiter: str) -> list[str]:
    """The fields of a CSV file's first line."""
    return next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [])


def checked_csv_columns(
    head: bytes, name: str, needed: Sequence[str] | None, *, delimiter: str
) -> Sequence[str]:
    """The columns that are needed, by the first line of a CSV file.

    :param head: the start of the file, as UTF-8.
    :param name: the file, for messages.
    :param needed: the columns; None for the only one there is.
    :param delimiter: what is said to separate the fields.
    :raises ConfigurationError: when a column is not there or there twice; says what may be wrong.
    """
    text = head.decode("utf-8", "replace")
    there = fields_of(text, delimiter)
    hint = _hint(text, needed, delimiter)
    if needed is None and len(there) == 1 and (hint or not _is_name(there[0])):
        # The first user would be taken for a name, and the list would do without.
        raise ConfigurationError(
            f"source {name!r}: its first line does not look like the name of a column"
            f"{hint or ', and whoever stands there would be missing'}. Give the file a header, or "
            f"name the column"
        )
    return checked_columns(there, name, needed, hint=hint)


def checked_columns(
    there: Sequence[str], name: str, needed: Sequence[str] | None, *, hint: str = ""
) -> Sequence[str]:
    """The columns that are needed.

    :param there: those that the file has.
    :param name: the file, for messages.
    :param needed: None for the only one there is.
    :param hint: what may be wrong when none of them is there.
    :raises ConfigurationError: when one is not there, or there twice.
    """
    if needed is None:
        if len(there) == 1:
            return there
        raise ConfigurationError(
            f"source {name!r}: it has {len(there) or 'no'} columns; name the one that is needed"
        )
    missing = [column for column in needed if column not in there]
    if missing:
        raise ConfigurationError(
            f"source {name!r}: no column {', '.join(map(repr, missing))}; "
            f"{_others(there, needed, hint)}"
        )
    for column in needed:
        if there.count(column) > 1:
            raise ConfigurationError(
                f"source {name!r}: column {column!r} is there {there.count(column)} times; "
                f"rename one"
            )
    return needed


def like(column: str, there: Sequence[str]) -> str:
    """Names that differ from one that is missing in case and blanks alone, as a part of a sentence.

    Nothing else of them is shown: they may be data.

    >>> like("id", ["ID ", "jane@example.com"])
    "; there is 'ID ', which differs in case or blanks"
    """
    found = [one for one in there if one.strip().casefold() == column.strip().casefold()]
    return f"; there is {found[0]!r}, which differs in case or blanks" if found else ""


def _others(there: Sequence[str], needed: Sequence[str], hint: str) -> str:
    if not there:
        return "it has none"
    if set(there) & set(needed):
        return f"it has {', '.join(map(_shown, there))}{hint}"
    alike = "".join(like(column, there) for column in needed)
    return (
        f"it has {counted(len(there), 'other')}, not shown here, since they are customers' "
        f"data where a file has no header{alike}{hint}"
    )


def _hint(text: str, needed: Sequence[str] | None, delimiter: str) -> str:
    """What may be wrong with how the file is read."""
    line = text.partition("\n")[0]
    if "\0" in line:
        return "; it has zero bytes, as UTF-16 has: name its encoding, such as 'utf-16-le'"
    for other, called in _DELIMITERS.items():
        if other == delimiter:
            continue
        fields = fields_of(text, other)
        is_it = len(fields) > 1 if needed is None else set(needed) <= set(fields)
        if is_it:
            return f"; {called} is between the fields, not {_called(delimiter)}: set the delimiter"
    if "\ufffd" in line:
        return "; its first line is not UTF-8: name its encoding, such as 'windows-1252'"
    return ""


def _called(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, repr(delimiter))


def _is_name(header: str) -> bool:
    """Whether it may be the name of a column of IDs, rather than one of them."""
    plain = _HASHES.sub("", header).strip()
    return _NAME.fullmatch(plain) is not None or (not plain and bool(header.strip()))


def _shown(column: str) -> str:
    return mask(column) if is_personal_data(column) else repr(printable(column))
