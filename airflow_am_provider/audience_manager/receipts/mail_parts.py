"""Reads the parts of a MIME message within bounds: hostile mail neither crashes nor hangs it.

Pages: RFC 5322 (headers), RFC 2045 and 2046 (parts), RFC 2047 (encoded words). The standard
library's parser recurses without a limit and takes time in proportion to lines times nesting;
this one reads what a receipt needs, in one pass over the bytes for each level.
"""

from __future__ import annotations

import binascii
import codecs
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEADER_BYTES: Final = 256 * 1024
MAX_PARTS: Final = 100
MAX_NESTING: Final = 10
# RFC 2046 allows 70 characters of boundary; more than this in all is no type of a receipt.
_MAX_TYPE_CHARACTERS: Final = 2_000

# These are no charsets of text, or take quadratic time, or warn.
_NO_CHARSETS: Final = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}", re.I)
_PARAMETER = re.compile(
    r";\s*(boundary|charset|delsp)\s*(?:\*0?\*?)?\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))",
    re.I,
)
_ENCODED_WORD = re.compile(r"=\?([a-z0-9_.:+-]{1,40})(?:\*[a-z-]{0,20})?\?([bq])\?([^?]*)\?=", re.I)
_BETWEEN_ENCODED_WORDS = re.compile(r"\?=\s+=\?")
_DATE = re.compile(
    r"(?:[a-z]{3}, ?)?([0-9]{1,2}) ([a-z]{3}) ([0-9]{4}) ([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?"
    r"(?: ?([+-])([0-9]{2})([0-9]{2}))?",
    re.I,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class UnreadableMail(DataError):
    """The message goes beyond the bounds of what is read; the message says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A message, or one part of one.

    :param headers: names in lower case and unfolded values, from the top.
    :param body: the bytes after the blank line, still encoded.
    """

    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Part:
        r"""Split headers from body.

        :raises UnreadableMail: when the headers do not end within `MAX_HEADER_BYTES`.

        >>> Part.parse(b"Subject: a\n b\n\nc")
        Part(headers=(('subject', 'a b'),), body=b'c')
        """
        # Only where no line feed stands at all, carriage returns are line ends: elsewhere one
        # alone would let a header hide within another that the mail server has judged.
        if b"\n" not in raw[:MAX_HEADER_BYTES]:
            raw = raw.replace(b"\r", b"\n")
        if raw.startswith((b"\n", b"\r\n")):
            return cls(headers=(), body=raw)
        end = _BLANK_LINE.search(raw, 0, MAX_HEADER_BYTES)
        if end is None and len(raw) > MAX_HEADER_BYTES:
            raise UnreadableMail(f"message: headers of more than {MAX_HEADER_BYTES:,} bytes")
        block = raw[: end.start()] if end else raw
        return cls(headers=_headers(block), body=raw[end.end() :] if end else b"")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a header, from the top."""
        return tuple(value for header, value in self.headers if header == name)

    def first(self, name: str) -> str:
        """The topmost value of a header, or nothing."""
        return next(iter(self.all(name)), "")

    @property
    def content_type(self) -> str:
        """Media type in lower case; plain text where it is not said or not readable."""
        value = self.first("content-type")
        match = _TYPE.match(value) if len(value) <= _MAX_TYPE_CHARACTERS else None
        return match[0].lower() if match else "text/plain"

    def parameter(self, name: str) -> str:
        """A parameter of the media type (`boundary`, `charset` or `delsp`), or nothing."""
        value = self.first("content-type")
        if len(value) > _MAX_TYPE_CHARACTERS:
            return ""
        for key, quoted, bare in _PARAMETER.findall(value):
            if key.lower() == name:
                # RFC 2231 writes charset*=us-ascii'en'utf-8
                return re.sub(r"\\(.)", r"\1", quoted) or bare.rpartition("'")[2]
        return ""

    def decoded(self) -> bytes:
        """The body without its transfer encoding; damaged encodings give what they hold."""
        encoding = self.first("content-transfer-encoding").strip().lower()
        if encoding == "base64":
            return _from_base64(self.body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.body)
        return self.body

    def texts(self) -> Iterator[str]:
        """The body as text: by its own charset, then as what mislabelled mail usually is."""
        data = self.decoded()
        if self.parameter("delsp").lower() == "yes":  # RFC 3676: lines broken within words
            data = re.sub(rb" \r?\n", b"", data)
        declared = decode_charset(data, self.parameter("charset") or "utf-8")
        if declared is not None:
            yield declared
        # Labels and file names of a receipt are ASCII: whatever the other characters become, they
        # survive Latin-1, and UTF-16 without its NULs too.
        latin = data.replace(b"\0", b"").decode("latin-1")
        if latin != declared:
            yield latin


def leaves(message: Part) -> Iterator[Part]:
    """Give the parts of a message that hold no further parts, from the top.

    Attachments are left out, forwarded messages (message/rfc822) are given as one part.

    :raises UnreadableMail: when parts are more than `MAX_PARTS` or nested deeper than
        `MAX_NESTING`.
    """
    waiting = [(message, 0)]
    seen = 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if seen > MAX_PARTS or depth > MAX_NESTING:
            raise UnreadableMail(
                f"message: more than {MAX_PARTS} parts, or nested more than {MAX_NESTING} deep"
            )
        if part.content_type.startswith("multipart/"):
            inner = _split(part)
            waiting.extend((child, depth + 1) for child in reversed(inner))
        elif part.content_type == "message/rfc822" or not _is_attachment(part):
            yield part


def decode_header(value: str) -> str:
    """Decode the encoded words of a header; damaged ones give what they hold.

    >>> decode_header("=?utf-8?q?Caf=C3=A9?= =?utf-8?b?cw==?= open")
    'Cafés open'
    """

    def decoded(match: re.Match[str]) -> str:
        charset, kind, text = match.groups()
        raw = text.encode("utf-8", "replace")
        data = _from_base64(raw) if kind in "bB" else binascii.a2b_qp(raw, header=True)
        return decode_charset(data, charset) or data.decode("latin-1")

    return _ENCODED_WORD.sub(decoded, _BETWEEN_ENCODED_WORDS.sub("?==?", value))


def decode_charset(data: bytes, charset: str) -> str | None:
    """Decode text, with replacement marks for what does not fit; None for an unknown charset."""
    if not re.fullmatch("[A-Za-z0-9_.:+-]{1,40}", charset):
        return None
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            return None
        return data.decode(charset, "replace")
    except (LookupError, UnicodeError):
        return None


def parse_date(value: str) -> datetime | None:
    """Read a Date header as UTC, or None when it is no date.

    >>> parse_date("Thu, 17 May 2018 20:45:02 +0200").isoformat()
    '2018-05-17T18:45:02+00:00'
    """
    match = _DATE.match(value)
    if match is None or match[2].lower() not in _MONTHS:
        return None
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    try:
        return datetime(
            int(year),
            _MONTHS.index(month.lower()) + 1,
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            tzinfo=timezone(-offset if sign == "-" else offset),
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _headers(block: bytes) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, list[str]]] = []
    for line in block.decode("utf-8", "replace").split("\n"):
        if line[:1] in (" ", "\t") and headers:
            headers[-1][1].append(line)
            continue
        name, colon, value = line.partition(":")
        if colon and name.strip():
            headers.append((name.strip().lower(), [value]))
    return tuple((name, " ".join(" ".join(lines).split())) for name, lines in headers)


def _split(part: Part) -> list[Part]:
    boundary = part.parameter("boundary").encode()
    if not boundary:
        return []
    delimiter = re.compile(rb"(?:\A|\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\r?\Z)")
    children: list[Part] = []
    start: int | None = None
    data, position = part.body, 0
    while len(children) <= MAX_PARTS:
        match = delimiter.search(data, position)
        if start is not None:
            children.append(Part.parse(data[start : match.start() if match else None]))
        if match is None or match[1]:
            return children
        start = match.end()
        # The line end of one delimiter may be the line start of the next.
        position = match.end() - 1
    return children  # one too many, which the caller counts


def _is_attachment(part: Part) -> bool:
    return part.first("content-disposition").lower().startswith("attachment")


def _from_base64(data: bytes) -> bytes:
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", data.partition(b"=")[0])
    digits = digits[: len(digits) - 1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
