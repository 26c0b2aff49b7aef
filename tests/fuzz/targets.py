"""What hostile inputs are given to, and what must hold of whatever comes back."""

import ftplib
import io
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.audience_manager.files import FileReader
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    IdSyncFileName,
    parse_file_name,
)
from airflow_am_provider.audience_manager.processed_markers import MARK, marked
from airflow_am_provider.audience_manager.receipts.listed_names import SentNames
from airflow_am_provider.audience_manager.receipts.mail import read_receipt_mail
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.audience_manager.receipts.reconciliation import reconcile
from airflow_am_provider.storage import S3Folder
from airflow_am_provider.storage.drops.ftp import FtpSession
from airflow_am_provider.storage.paths import MAX_NAME_BYTES
from tests.fuzz.inputs import LINES, MAILS, NAMES, raw, text

_DELIVERY: Final = {
    "ftp_dpm_478_1366545717.sync.1.gz": 10,
    "ftp_dpm_478_1366545717.sync.2.gz": 10,
}
_READERS: Final = (
    DataFileName(dpid=478, timestamp=1366545717),
    DataFileName(dpid=20914, target_dpid=478, timestamp=1366545717),
    IdSyncFileName(master_dpid=0, dpids=(478,), timestamp=1476312152),
)
_PACKED: Final = ("gz", "pgp", "gpg")


class WrongError(AssertionError):
    """Something came back that must not."""


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise WrongError(what)


def name(given: str) -> None:
    """A name is refused, or it prints as it was given."""
    try:
        parsed = parse_file_name(given)
    except AudienceManagerError as error:
        _must(str(error).isprintable(), "the refusal does not print")
        return
    _must(str(parsed) == given, f"{given!r} was read as {str(parsed)!r}")
    _must(given.isascii() and "/" not in given, f"{given!r} is no name")


def listed(given: str) -> None:
    """A listed name means a sent one only if it is that one, or a piece of it."""
    sent = tuple(_DELIVERY)
    found = SentNames.of(sent).match(given)
    if found is not None:
        bare = ".".join(word for word in given.split(".") if word not in _PACKED)
        stem = found.name.removesuffix(".gz")
        piece = "" if found.piece is None else bare.removeprefix(f"{stem}.")
        wanted = stem if found.piece is None else f"{stem}.{piece}"
        _must(bare == wanted, f"{given!r} was taken for {found}")
        _must(found.piece is None or int(piece) == found.piece, f"{given!r}: {found}")
    marks = marked(sent, [given])
    own = given.replace("\\", "/").rpartition("/")[2]
    for one in marks:
        _must(
            own in (one + MARK, one.replace(".sync", MARK)),
            f"{given!r} was taken for the marker of {one}",
        )


def lines(given: bytes) -> None:
    """Both readers say the same of a file, however it is cut."""
    for file_name in _READERS:
        careful = FileReader(file_name)
        for line in careful.lines(io.BytesIO(given)):
            first = line.ids[0] if hasattr(line, "ids") else line.user_id
            _must(first.encode() in given, "an ID was read that does not stand there")
        quick = FileReader(file_name)
        quick.scan([given[:7], given[7:]])
        _must(quick.counts == careful.counts, f"{quick.counts} but {careful.counts}")
        _must(quick.line_count == careful.line_count, "lines are counted differently")


def mail(given: bytes) -> None:
    """A message is a receipt for the files that it names and for no others."""
    for forwarded in (False, True):
        try:
            receipt = read_receipt_mail(given, accept_forwarded=forwarded).receipt
        except AudienceManagerError as error:
            _must(str(error).isprintable(), "the refusal does not print")
            continue
        _of_others(receipt)


def _of_others(receipt: Receipt) -> None:
    found = reconcile(_DELIVERY, [receipt])
    for name in found.covered:
        stem = name.removesuffix(".gz")
        _must(
            any(listed.startswith(stem) for listed in receipt.files),
            f"a receipt of {receipt.files} counts for {name}",
        )


def s3_listing(given: str) -> None:
    """Of what a bucket lists, only paths that stay in the folder come back."""
    _inside([entry.path for entry in S3Folder(_Listing(f"in/{given}"), "b", "in").list()])


def ftp_listing(given: str) -> None:
    """Of what an FTP host lists, only names come back."""
    found = FtpSession(_FtpHost(given)).names()
    _inside(list(found))
    _must(not any("/" in name for name in found), f"{found} are no names")


def _inside(paths: list[str]) -> None:
    for path in paths:
        words = path.split("/")
        _must(path.isprintable() and not path.startswith("/"), f"{path!r} was listed")
        _must(not {"", ".", ".."}.intersection(words) and "\\" not in path, f"{path!r} was listed")
        _must(all(len(word.encode()) <= MAX_NAME_BYTES for word in words), "a name is too long")


class _Listing:
    """An S3 client whose bucket holds one object; its answers are all that is hostile here."""

    def __init__(self, key: str) -> None:
        self._item = {"Key": key, "Size": 1, "LastModified": datetime(2026, 11, 5, tzinfo=UTC)}

    def get_paginator(self, _: str) -> "_Listing":
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Contents": [self._item]}]


class _FtpHost(ftplib.FTP):
    """A connection on which a host lists one name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def cwd(self, _: str) -> str:
        return "250"

    def nlst(self, *_: str) -> list[str]:
        return [self._name]

    def close(self) -> None:
        """Nothing is open."""


_TEXTS: Final = tuple(NAMES)
#: Name, share of all inputs, how one is drawn, what it is given to, and whether it is bytes.
TARGETS: Final[dict[str, tuple[int, Callable[[random.Random], Any], Callable[[Any], None]]]] = {
    "names": (34, lambda chance: text(chance, _TEXTS), name),
    "listed names and markers": (30, lambda chance: text(chance, _TEXTS), listed),
    "lines": (20, lambda chance: raw(chance, LINES) + b"\n" + raw(chance, LINES), lines),
    "mails": (6, lambda chance: raw(chance, MAILS), mail),
    "S3 listings": (5, lambda chance: text(chance, _TEXTS), s3_listing),
    "FTP listings": (5, lambda chance: text(chance, _TEXTS), ftp_listing),
}
#: In which of them inputs are bytes, and what stands before what grows.
GROWING: Final = {
    "names": ("ftp_dpm_478_", "adobe_id_0_"),
    "listed names and markers": ("ftp_dpm_478_1366545717.sync.", "s3n://"),
    "lines": (b"ann\t", b"ann\td_sid=1,", b""),
    "mails": tuple(
        MAILS[0].partition(b"\n\n")[0].replace(b"From: Adobe", b"From: ") + b"\n" + header
        for header in (
            b"\n",
            b"\nFile name:\n",
            b"Subject: ",
            b"Authentication-Results: ",
            b"Content-Type: multipart/mixed; boundary=b\n\n",
            b"Content-Type: text/html\n\n",
            b"Content-Type: text/html; x=",
            b"X",
        )
    ),
    "S3 listings": ("", "a/"),
    "FTP listings": ("", "a/"),
}
