"""Names of the segment files that Audience Manager sends.

Pages: outbound-file-name-contents.md, outbound-template-macros.md and transfer-control-files.md.
They agree on little: every element is optional, a timestamp has 10 or 13 digits or is a formatted
date, and a part's number stands after it with or without a hyphen.

>>> name = SegmentFileName.parse("S3_1234_20914_XYZCustomer_iter_1486140844000001.sync.gz")
>>> name.destination, name.master_dpid, name.alias, name.mode, name.split, name.root
(1234, 20914, 'XYZCustomer', 'iter', 1, 'S3_1234_20914_XYZCustomer_iter_1486140844000')

A name that can be read in two ways is never guessed at:

>>> SegmentFileName.parse("s3_123456_9999_full_1566906141001.csv", timestamp_digits=10).split
1
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.readings import (
    DIGITS,
    LETTERS,
    PRINTING,
    Capture,
    Digits,
    Maybe,
    Node,
    Text,
    Value,
    text_with_two_readings,
    up_to,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = "outbound-file-name-contents.md"
MACROS_PAGE: Final = "outbound-template-macros.md"

#: What a control file ends in (transfer-control-files.md).
CONTROL_SUFFIX: Final = ".info"
#: Where a file is still being written.
UNFINISHED_SUFFIXES: Final = (".tmp", ".part", ".filepart")
#: Digits of a timestamp: seconds, milliseconds, and a date as YYYYMMDDhhmmss.
SECONDS, MILLISECONDS, FORMATTED = 10, 13, 14
WIDTHS: Final = (SECONDS, MILLISECONDS, FORMATTED)
_FULL, _ITER = "full", "iter"
MODES: Final = (_FULL, _ITER)
_TYPES: Final = ("ftp", "s3", "http")
# "At least 3 digits long, preceded by zeros". No page has a most; above 99,999 parts, six digits
# after ten cannot be told from a timestamp of thirteen with a part of three.
_SPLIT: Final = re.compile(r"\d{3}|[1-9]\d{3,4}")
#: What data files end in, before their packing.
EXTENSIONS: Final = ("sync", "csv", "txt", "json", "tsv")
_FILE: Final = re.compile(
    rf"(?P<stem>.+?)\.(?P<extension>{'|'.join(EXTENSIONS)})(?:\.(?P<packing>gz|zip))?"
)
_STAMP: Final = re.compile(r"(?P<digits>\d{10,19})(?:-(?P<split>\d{1,6}))?")
_WORD: Final = re.compile(r"(?P<word>[A-Za-z][A-Za-z0-9]*)(?:-(?P<split>\d{1,6}))?")


class AmbiguousName(DataError):
    """A name that can be read in two ways."""


def is_unfinished(name: str) -> bool:
    """Whether a name says that the file is still being written."""
    return name.lower().endswith(UNFINISHED_SUFFIXES)


def finished_name(name: str) -> str:
    """What a file will be called that is still being written.

    >>> finished_name("S3_1234_full_1486140844000.sync.tmp")
    'S3_1234_full_1486140844000.sync'
    """
    return name.rpartition(".")[0] if is_unfinished(name) else name


def is_control_file(name: str) -> bool:
    """Whether a name is a control file's."""
    return name.endswith(CONTROL_SUFFIX)


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFileName:
    """What the name of a segment file says; what it does not say is None.

    :param text: the name.
    :param root: the name without extension and part number: all files of a batch share it.
    :param sync_type: ``ftp``, ``s3`` or ``http``, in small letters.
    :param destination: the destination's ID, also called order ID.
    :param master_dpid: which kind of ID is inside: 20914, 20915 or another data source.
    :param alias: free text agreed with the receiver.
    :param mode: ``full`` or ``iter``, in small letters.
    :param timestamp: when the batch was made, in UTC.
    :param split: the part's number; None for the first file of a batch, or its only one.
    :param packing: ``gz``, ``zip`` or empty.
    """

    text: str
    root: str
    sync_type: str | None = None
    destination: int | None = None
    master_dpid: int | None = None
    alias: str | None = None
    mode: str | None = None
    timestamp: datetime | None = None
    split: int | None = None
    packing: str = ""

    @classmethod
    def parse(
        cls, text: str, *, template: str | None = None, timestamp_digits: int | None = None
    ) -> SegmentFileName:
        """Read a name.

        :param template: how the account's names are made, in Adobe's macros; by default any form
            that Adobe's pages show: ``<SYNC_TYPE>_<ORDER_ID>_<SYNC_MODE>_<TIMESTAMP>SPLITNUM.csv``.
        :param timestamp_digits: 10 or 13, where names do not say which.
        :raises DataError: when it is not such a name, or can be read in two ways.
        :raises ConfigurationError: when the template is none.
        """
        if timestamp_digits not in (None, *WIDTHS):
            raise ConfigurationError(
                f"timestamp_digits={timestamp_digits!r}: 10 (seconds), 13 (milliseconds) or 14 "
                f"(YYYYMMDDhhmmss) are expected ({PAGE})"
            )
        if template is not None:
            return _by_template(text, template, timestamp_digits)
        return _by_form(text, timestamp_digits)


def control_root(name: str) -> str:
    """The root of the batch that a control file is of, as its own name says it.

    >>> control_root("ftp_12345_67890_iter_1500727351632.info")
    'ftp_12345_67890_iter_1500727351632'
    """
    return name.removesuffix(CONTROL_SUFFIX)


def digits_of(control_name: str) -> int | None:
    """How many digits the timestamps of a batch have: its control file has no part number.

    >>> digits_of("ftp_12345_67890_iter_1500727351632.info")
    13
    """
    for token in reversed(control_root(control_name).split("_")):
        if token.isascii() and token.isdigit() and len(token) in WIDTHS:
            return len(token)
    return None


def _by_form(text: str, timestamp_digits: int | None) -> SegmentFileName:
    match = _FILE.fullmatch(text)
    if match is None:
        raise _none(text)
    tokens = match["stem"].split("_")
    stamp, rest = _last_stamp(tokens)
    if stamp is None:
        raise _none(text)
    head, word, hyphened = tokens[: rest - 1], tokens[rest:], stamp["split"]
    if word and hyphened is None:
        found = _WORD.fullmatch(word[0])
        hyphened = found["split"] if found else None
    # Adobe's pages show sync types in both cases, and modes in small letters.
    mode = head.pop().lower() if head and head[-1].lower() in MODES else None
    sync_type = head.pop(0) if head and head[0].lower() in _TYPES else None
    destination = _id(text, "destination", head.pop(0)) if head else None
    master_dpid = _id(text, "MASTER_DPID", head.pop(0)) if head else None
    # Last, so that what can be read in two ways is a name in both.
    digits, split = _split_digits(text, stamp["digits"], timestamp_digits, hyphened)
    tail = [part.partition("-")[0] for part in word]
    return SegmentFileName(
        text=text,
        root="_".join([*tokens[: rest - 1], digits, *tail]),
        sync_type=sync_type.lower() if sync_type else None,
        destination=destination,
        master_dpid=master_dpid,
        alias="_".join(head) or None,
        mode=mode,
        timestamp=_moment(text, digits),
        split=split,
        packing=match["packing"] or "",
    )


def _last_stamp(tokens: list[str]) -> tuple[re.Match[str] | None, int]:
    """The timestamp, which is last or before one word, and where what follows it begins."""
    for back in (1, 2):
        if len(tokens) >= back:
            is_word = back == 1 or _WORD.fullmatch(tokens[-1])
            stamp = _STAMP.fullmatch(tokens[-back])
            if stamp and is_word:
                return stamp, len(tokens) - back + 1
    return None, 0


def _split_digits(
    text: str, digits: str, timestamp_digits: int | None, hyphened: str | None
) -> tuple[str, int | None]:
    """A run of digits as timestamp and part number."""
    if hyphened is not None:
        whole = len(digits) in WIDTHS
        readings: list[tuple[str, int | None]] = [(digits, int(hyphened))] * whole
    else:
        readings = list(_readings(digits))
    if timestamp_digits is not None:
        readings = [found for found in readings if len(found[0]) == timestamp_digits]
    if not readings:
        raise _none(text)
    if len(readings) > 1:
        ways = " or ".join(
            f"{stamp!r}" + (f" with part {split}" if split is not None else "")
            for stamp, split in readings
        )
        raise AmbiguousName(
            f"file name {printable(text)!r}: its timestamp can be read as {ways}. Say which by "
            f"timestamp_digits, or let the control file say it ({PAGE}, {MACROS_PAGE})"
        )
    return readings[0]


def _readings(digits: str) -> Iterator[tuple[str, int | None]]:
    for width in WIDTHS:
        stamp, split = digits[:width], digits[width:]
        if len(stamp) < width or (split and not _SPLIT.fullmatch(split)):
            continue
        if width == FORMATTED and _date(stamp) is None:
            continue
        yield stamp, int(split) if split else None


def _moment(text: str, digits: str) -> datetime:
    if len(digits) == FORMATTED:
        found = _date(digits)
        if found is None:
            raise _none(text)
        return found
    milliseconds = int(digits) * (1 if len(digits) == MILLISECONDS else 1000)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def _moment_by(text: str, stamp: str, form: str | None) -> datetime:
    if form is None:
        return _moment(text, stamp)
    try:
        return datetime.strptime(stamp, form).replace(tzinfo=UTC)
    except ValueError:
        raise DataError(
            f"file name {printable(text)!r}: {stamp!r} is no time ({MACROS_PAGE})"
        ) from None


def _date(digits: str) -> datetime | None:
    if not "1990" <= digits[:4] <= "2100":
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _id(text: str, element: str, value: str) -> int | None:
    """A number of Adobe's; elements may be empty."""
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and int(value) < 2**63):
        raise DataError(
            f"file name {printable(text)!r}: {printable(value)!r} stands for {element}, which is "
            f"a number of 64 bits ({PAGE}). If your names are made by another template, say it as "
            f"name_template"
        )
    return int(value)


# Each macro of a name, and what it can be (outbound-template-macros.md): a pattern of one group,
# and the same for the question whether a name has two readings.
_MACROS: Final = {
    "SYNC_TYPE": (r"(?P<sync_type>ftp|s3|S3|http|FTP|HTTP)", Value(LETTERS | DIGITS)),
    "ORDER_ID": (r"(?P<destination>\d*)", Value(DIGITS, may_be_empty=True)),
    "DPID": (r"(?P<dpid>\d*)", Value(DIGITS, may_be_empty=True)),
    "MASTER_DPID": (r"(?P<master_dpid>\d*)", Value(DIGITS, may_be_empty=True)),
    "PID_ALIAS": (r"(?P<alias>.*?)", Value(PRINTING, may_be_empty=True)),
    "PIDALIAS": (r"(?P<alias>.*?)", Value(PRINTING, may_be_empty=True)),
    "SYNC_MODE": (r"(?P<mode>(?i:full|iter))", Value(LETTERS)),
}
_SPLIT_NODE: Final = Maybe(Capture(None, [Maybe(Text("-")), up_to(6)]))
_SPLITNUM: Final = rf"(?P<split>(?:{_SPLIT.pattern})|-\d{{1,6}})?"
_MACRO: Final = re.compile(
    r'<(?P<name>[A-Z_]+)(?:;\s*format="(?P<format>[^"]+)")?>|(?P<bare>SPLITNUM)'
)
# "Following Java date/timestamp formatting rules", says the page, and writes YYYY, DD and hh where
# Java would have yyyy, dd and HH; both are read as what the page means. Each with Python's word for
# it, and how many digits it has.
_JAVA: Final = {
    "yyyy": ("%Y", 4),
    "YYYY": ("%Y", 4),
    "MM": ("%m", 2),
    "dd": ("%d", 2),
    "DD": ("%d", 2),
    "HH": ("%H", 2),
    "hh": ("%H", 2),
    "mm": ("%M", 2),
    "ss": ("%S", 2),
}
_JAVA_PART: Final = re.compile(r"(?P<letters>([A-Za-z])\2*)|(?P<text>[-_.]+)")


class _Template(NamedTuple):
    """A template as a pattern; and of a formatted timestamp, what Python calls its format."""

    pattern: re.Pattern[str]
    time_format: str | None


@lru_cache(maxsize=64)
def _compiled(template: str, timestamp_digits: int | None) -> _Template:
    """A template as a pattern; the part number is optional, as the first file has none."""
    stem = template
    for suffix in (".gz", ".zip"):
        stem = stem.removesuffix(suffix)
    pattern, nodes, at, seen, time_format = "", list[Node](), 0, set[str](), None
    node: Node
    for match in _MACRO.finditer(stem):
        pattern += re.escape(stem[at : match.start()])
        nodes.append(Text(stem[at : match.start()]))
        at = match.end()
        name = match["name"] or match["bare"]
        if name in seen:
            raise ConfigurationError(
                f"name_template {template!r}: <{name}> stands twice ({MACROS_PAGE})"
            )
        seen.add(name)
        if name == "SPLITNUM":
            part, node = _SPLITNUM, _SPLIT_NODE
        elif name == "TIMESTAMP":
            part, node, time_format = _timestamp(template, match["format"], timestamp_digits)
        else:
            part, node = _macro(template, name, match["format"])
        pattern += part
        nodes.append(node)
    pattern += re.escape(stem[at:])
    nodes += [Text(stem[at:]), Maybe(Text(".gz")), Maybe(Text(".zip"))]
    if "TIMESTAMP" not in seen:
        raise ConfigurationError(
            f"name_template {template!r}: <TIMESTAMP> is missing, by which batches are told apart "
            f"({MACROS_PAGE})"
        )
    sample = text_with_two_readings(nodes)
    if sample is not None:
        raise ConfigurationError(
            f"name_template {template!r}: the name {printable(sample)!r} can be read in two ways; "
            f"what follows a macro has to be nothing that it can be itself ({MACROS_PAGE})"
        )
    return _Template(re.compile(rf"{pattern}(?:\.(?P<packing>gz|zip))?"), time_format)


def _timestamp(
    template: str, form: str | None, timestamp_digits: int | None
) -> tuple[str, Node, str | None]:
    """A timestamp as a pattern and a node, and its format where it is no number."""
    if form is None:
        width = timestamp_digits or SECONDS
        return rf"(?P<timestamp>\d{{{width}}})", Digits(width), None
    return _formatted(template, form)


def _formatted(template: str, form: str) -> tuple[str, Node, str]:
    pattern, nodes, words = "", list[Node](), []
    at = 0
    for match in _JAVA_PART.finditer(form):
        known = _JAVA.get(match["letters"] or "")
        if match.start() != at or (match["letters"] and known is None):
            break
        at = match.end()
        word, digits = known or (match["text"], 0)
        pattern += rf"\d{{{digits}}}" if known else re.escape(word)
        nodes.append(Digits(digits) if known else Text(word))
        words.append(word)
    parts = [word for word in words if word[0] == "%"]
    if at != len(form) or not {"%Y", "%m", "%d"} <= set(parts) or len(set(parts)) < len(parts):
        raise ConfigurationError(
            f"name_template {template!r}: the format {form!r} of <TIMESTAMP> is not known here; "
            f"yyyy, MM and dd are expected, and of HH, mm and ss what there is, once each, with "
            f"nothing or '-', '_' and '.' between them ({MACROS_PAGE})"
        )
    return f"(?P<timestamp>{pattern})", Capture(None, nodes), "".join(words)


def _macro(template: str, name: str, form: str | None) -> tuple[str, Node]:
    if form is not None:
        raise ConfigurationError(
            f"name_template {template!r}: <{name}> has no format ({MACROS_PAGE})"
        )
    if name not in _MACROS:
        known = ", ".join((*_MACROS, "TIMESTAMP", "SPLITNUM"))
        raise ConfigurationError(
            f"name_template {template!r}: <{name}> is no macro of a name; these are: {known} "
            f"({MACROS_PAGE})"
        )
    return _MACROS[name]


def _by_template(text: str, template: str, timestamp_digits: int | None) -> SegmentFileName:
    compiled = _compiled(template, timestamp_digits)
    match = compiled.pattern.fullmatch(text)
    if match is None:
        raise DataError(
            f"file name {printable(text)!r}: it does not fit name_template {template!r} "
            f"({MACROS_PAGE})"
        )
    found = match.groupdict()
    split = found.get("split")
    stem = text[: match.start("split")] + text[match.end("split") :] if split else text
    packing = found["packing"] or ""
    return SegmentFileName(
        text=text,
        root=_without_extension(stem.removesuffix(f".{packing}") if packing else stem),
        sync_type=(found.get("sync_type") or "").lower() or None,
        destination=_id(text, "ORDER_ID", found.get("destination") or ""),
        master_dpid=_id(text, "MASTER_DPID", found.get("master_dpid") or found.get("dpid") or ""),
        alias=found.get("alias") or None,
        mode=(found.get("mode") or "").lower() or None,
        timestamp=_moment_by(text, found["timestamp"], compiled.time_format),
        split=int(split.lstrip("-")) if split else None,
        packing=packing,
    )


def _without_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and extension.isalpha() else name


def _none(text: str) -> DataError:
    return DataError(
        f"file name {printable(text)!r}: it is no name of a segment file: "
        f"[TYPE_][DESTINATION_][MASTER_DPID_][ALIAS_][full|iter_]TIMESTAMP[PART].sync[.gz] is "
        f"expected, with a timestamp of 10 or 13 digits and a part of at least 3 ({PAGE}). If your "
        f"names are made by another template, say it as name_template"
    )
