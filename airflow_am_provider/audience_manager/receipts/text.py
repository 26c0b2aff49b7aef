"""Finds the statements of a receipt in text that went through mail.

Page: inbound-receipt-message.md. The page shows one e-mail; how it may look after mail servers,
clients and people had it (quoted, folded, collapsed onto one line, put into table cells, stripped
of bold) is not Adobe's to say, so the search goes by Adobe's labels and never by position.
Time and memory grow with the length of the text and no faster, whatever the text is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECEIPT_PAGE: Final = "inbound-receipt-message.md"

FILE_LABEL: Final = "File name"
# Adobe's labels in the order of the sample. "Invalid Device ID" is on the report's page only
# (reporting/onboarding-status-report.md), in this place.
COUNT_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "records_received": "Records received",
        "format_errors": "Format Errors",
        "invalid_aam_id": "Invalid AAM ID",
        "invalid_device_id": "Invalid Device ID",
        "no_matching_aam_id": "No Matching AAM ID",
        "no_trait_realized": "No Trait Realized",
        "records_processed": "Records processed",
        "stored_records": "Stored Records",
        "total_devices": "Total devices",
        "total_signals": "Total signals",
        "total_unused_signals": "Total unused signals",
        "total_realized_traits": "Total realized traits",
        "total_removed_traits": "Total removed traits",
        "total_traits_failed_validation": "Total traits failed validation",
        "total_users_failed_validation": "Total users that have traits which failed validation",
    }
)
TIME_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {"job_start": "Job start time", "job_end": "Job end time"}
)

# An S3 key has at most 1,024 bytes; the bucket and the scheme stand before it.
MAX_PATH_CHARACTERS: Final = 1_200
# Adobe does not limit counts; 18 digits fit a 64-bit integer everywhere.
MAX_COUNT: Final = 10**18 - 1
# Warnings are for a person to read, in a task's log and in JSON.
MAX_WARNINGS: Final = 20
# Quotes within brackets within link marks; more of them is no path that a mail client made.
_MAX_WRAPPINGS: Final = 6


class NotAReceipt(DataError):
    """The text does not say what a receipt says; the message tells what is missing."""


@dataclass(kw_only=True)
class Statements:
    """What a text states, before it is known whether that makes a receipt."""

    partner_id: int | None = None
    paths: dict[str, None] = field(default_factory=dict)  # a set that keeps the printed order
    counts: dict[str, int] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


_Value = TypeVar("_Value", int, datetime)

_FIELDS: Final = {
    label.casefold(): name for name, label in (*COUNT_LABELS.items(), *TIME_LABELS.items())
}
# "Total signals" must not be cut short by a shorter label, hence the longest first. A label may be
# folded at any of its spaces; its value follows a colon, or stands in the next table cell.
_LABEL = re.compile(
    r"(?<![A-Za-z])(?P<label>"
    + "|".join(
        re.escape(label).replace(r"\ ", "[ \n]")
        for label in sorted((FILE_LABEL, *_FIELDS), key=len, reverse=True)
    )
    + r")(?:(?P<colon>[ \n]?[:|][ \n]?)|\n)",
    re.IGNORECASE,
)
# What may follow a value: the end of a sentence, a space or the edge of a table's cell.
_END: Final = r"(?=[,.;)|]?(?:\s|\Z))"
# "2-3", "2/2", "2 of 3", "1 2000" and "2 million" begin like a number, and are another or none.
_NO_MORE: Final = (
    r"(?! ?%| ?[^\sA-Za-z0-9]{1,3} ?[0-9]| [0-9]| (?:of|to|or|k|m|thousand|million|percent)\b)"
)
# The page prints bare digits; a forwarding client or a person may group them by thousands.
_COUNT = re.compile(
    r"(?:[1-9][0-9]{0,2}(?P<sep>[,.'’ ])[0-9]{3}(?:(?P=sep)[0-9]{3}){0,4}|[0-9]{1,18})"
    + _END
    + _NO_MORE,
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[ T\n](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.[0-9]{1,9})?(?: ?(?P<zone>Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?" + _END
)
_PARTNER = re.compile(r"Adobe[ \n]Partner[ \n]?:?[ \n]?\([ ]?ID[ ]?:[ ]?([0-9]{1,18})[ ]?\)", re.I)
_OTHER_LABEL = re.compile(r"([A-Za-z][A-Za-z0-9 ()/&-]{1,78}[A-Za-z0-9)]) ?: ?[0-9][0-9,.']{0,30}")
_INBOUND_NAME = re.compile(r"[^.].*\.(?:sync|overwrite)(?:\.[0-9A-Za-z]{1,16}){0,4}")
_STORE = re.compile(r"(?:s3[an]?|s?ftps?|hdfs)://", re.I)
# Bold becomes asterisks in plain text; soft hyphens, joiners and byte order marks are not seen.
_TIMES = re.compile(r"(?<=[0-9])\*(?=[0-9])")  # "2*3" is not 23
_UNSEEN = {ord(mark): None for mark in "*\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"}


def read_statements(text: str) -> Statements:
    r"""Read what a text states by Adobe's labels.

    :param text: any text, of any length.
    :return: the statements found, possibly none.
    :raises NotAReceipt: when it contradicts itself, as two receipts in one text do.

    >>> found = read_statements(
    ...     "> File name: s3n://b/ftp_dpm_7_1368806402.sync\n> Records\n> received: 1,200")
    >>> found.paths, found.counts
    ({'s3n://b/ftp_dpm_7_1368806402.sync': None}, {'records_received': 1200})
    """
    text = _without_mail_marks(text)
    found = Statements()
    _read_partner(text, found)
    end_of_last = 0
    counted_since_files = files_seen = False
    for label in _LABEL.finditer(text):
        name = " ".join(label["label"].casefold().split())
        if name == FILE_LABEL.casefold():
            if files_seen and counted_since_files:
                raise NotAReceipt(
                    f"two lists of files with counts between them: more than one receipt in one "
                    f"text ({RECEIPT_PAGE})"
                )
            files_seen, counted_since_files = True, False
            following = _LABEL.search(text, label.end())
            _read_paths(text[label.end() : following.start() if following else None], found)
            end = label.end()
        else:
            value_end = _read_value(_FIELDS[name], text, label, found)
            if value_end is None:
                continue
            counted_since_files = True
            end = value_end
        if end_of_last:
            _note_other_labels(text[end_of_last : label.start()], found)
        end_of_last = end
    if end_of_last:
        _note_other_labels(text[end_of_last:], found, only_at_once=True)
    _shorten(found.warnings)
    return found


def read_path(word: str) -> str | None:
    """Read one printed path of a file, or None when the word is no such path.

    :param word: text without spaces, perhaps between quotes, brackets or link marks.

    >>> read_path("<s3n://bucket/2018-05-17/ftp_dpm_7_901_1368806402.sync>,")
    's3n://bucket/2018-05-17/ftp_dpm_7_901_1368806402.sync'
    >>> read_path("https://www.adobe.com/privacy.html") is None
    True
    """
    if "." not in word and "://" not in word:  # most words of a text, told cheaply
        return None
    for _ in range(_MAX_WRAPPINGS):
        if len(word) > 3 * MAX_PATH_CHARACTERS:
            return None
        bare = _unwrapped(word)
        if bare == word:
            break
        word = bare
    else:
        return None
    if len(word) > MAX_PATH_CHARACTERS or not word.isprintable() or word.translate(_UNSEEN) != word:
        return None
    name = base_name(word)
    is_path = _INBOUND_NAME.fullmatch(name) or (name and _STORE.match(word))
    return word if is_path and len(word.split()) == 1 else None


def _unwrapped(word: str) -> str:
    word = word.strip("\"'`(),;[]{}|").lstrip(">")
    if word.startswith("<") and word.endswith(">"):
        return word[1:-1]
    # NAME<URL>, as mail clients write a link; an expression would take quadratic time.
    name, mark, url = word.removesuffix(">").rpartition("<")
    is_linked = name and mark and word.endswith(">") and "://" in url and ">" not in url
    return name if is_linked else word


def base_name(path: str) -> str:
    """A file's own name: what follows the last slash.

    >>> base_name("s3n://bucket/2018-05-17/ftp_dpm_7_901_1368806402.sync")
    'ftp_dpm_7_901_1368806402.sync'
    """
    return path.replace("\\", "/").rpartition("/")[2]


def _without_mail_marks(text: str) -> str:
    """Drop quoting, bold, invisible marks and all but one space between words."""
    text = _TIMES.sub("x", text).translate(_UNSEEN)
    lines = (" ".join(line.lstrip(">| \t").split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _read_partner(text: str, found: Statements) -> None:
    partners = {int(match[1]) for match in _PARTNER.finditer(text)}
    if len(partners) > 1:
        raise NotAReceipt(
            f"greets {len(partners)} partner IDs: more than one receipt in one text "
            f"({RECEIPT_PAGE})"
        )
    found.partner_id = partners.pop() if partners else None


def _read_paths(section: str, found: Statements) -> None:
    strange = 0
    for line in section.split("\n"):
        words = [] if _OTHER_LABEL.fullmatch(line) else line.split()
        for path in map(read_path, words):
            if path is None:
                strange += 1
            else:
                found.paths[path] = None
    if strange:
        found.warnings.append(f"under 'File name': {strange} word(s) that are no file name")


def _read_value(name: str, text: str, label: re.Match[str], found: Statements) -> int | None:
    """Note the value after a label; give where it ends, or None when the words are no label."""
    wanted = _COUNT if name in COUNT_LABELS else _TIME
    match = wanted.match(text, label.end())
    printed = COUNT_LABELS.get(name) or TIME_LABELS[name]
    if match is None:
        # Without a colon the words may as well be part of a sentence.
        if not label["colon"]:
            return None
        what = "a whole number" if wanted is _COUNT else "a time like 2018-05-17 18:07:49"
        found.warnings.append(f"{printed!r} is not followed by {what}; taken as absent")
        return label.end()
    if wanted is _COUNT:
        count = int(re.sub("[^0-9]", "", match[0]))
        _note(found.counts, name, count, printed)
    else:
        time = _time(match)
        if time is None:
            found.warnings.append(f"{printed!r} is no time of the calendar; taken as absent")
        else:
            _note(found.times, name, time, printed)
    return match.end()


def _note(known: dict[str, _Value], name: str, value: _Value, printed: str) -> None:
    if known.setdefault(name, value) != value:
        raise NotAReceipt(
            f"{printed!r} stands twice with different values: more than one receipt in one text "
            f"({RECEIPT_PAGE})"
        )


def _time(match: re.Match[str]) -> datetime | None:
    # The page does not name a zone: UTC, as in the file names' timestamps (docs/choices.md).
    zone = match["zone"] or "Z"
    try:
        time = datetime.fromisoformat(
            f"{match['date']}T{match['time']}{'Z' if zone in ('UTC', 'GMT') else zone}"
        )
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _shorten(warnings: list[str]) -> None:
    different = list(dict.fromkeys(warnings))
    more = len(different) - MAX_WARNINGS
    warnings[:] = different[:MAX_WARNINGS] + ([f"and {more} more of this sort"] if more > 0 else [])


def _note_other_labels(text: str, found: Statements, *, only_at_once: bool = False) -> None:
    """Warn of labels that Adobe may have added since.

    :param only_at_once: after the last known label, stop at the first line that is no label:
        what follows there is a signature or a footer.
    """
    for label in _other_labels(text, only_at_once=only_at_once):
        found.warnings.append(f"label {printable(label)!r} is not known ({RECEIPT_PAGE})")


def _other_labels(text: str, *, only_at_once: bool) -> Iterator[str]:
    for line in filter(None, text.split("\n")):
        match = _OTHER_LABEL.fullmatch(line.strip())
        if match:
            yield match[1]
        elif only_at_once:
            return
