"""Hostile inputs, each drawn from one number: real samples bent out of shape, and plain noise."""

import random
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Final

from airflow_am_provider.audience_manager.receipts.mail import SENDER, SUBJECT_PREFIX
from tests.audience_manager.hostile import HOSTILE_WORDS
from tests.audience_manager.receipts.receipt_samples import (
    PUBLISHED_FILES,
    PUBLISHED_HTML,
    PUBLISHED_TEXT,
)

# inbound-s3-filenames.md, inbound-ftp-filenames.md, id-sync-file-based.md and around them.
NAMES: Final = (
    "ftp_dpm_478_1366545717.sync.1.gz",
    "ftp_dpm_478_567_1366545717.sync.gz",
    "ftp_dpm_33_21_1234567890.sync",
    "ftp_dpm_478_1366545717.overwrite",
    "ftp_dpm_100_1234567890.sync.pgp",
    "ftp_dpm_20914_21_1234567890.overwrite.12.gpg",
    "ftp_dpm_odc_478_1366545717.sync.gz",
    "adobe_id_0_12345_1476312152.sync",
    "adobe_id_111_222_333_444_1454442149.sync",
    "adobe_id_123_898_456_1454442149.sync.1.gz",
    "c2c_id_123_898_1454442149.sync.gz",
    "ftp_dpm_478_1366545717.processed.1.gz",
    "ftp_dpm_478_1366545717.sync.1.gz.processed",
    *PUBLISHED_FILES,
)
# inbound-file-contents.md and id-sync-file-based.md.
LINES: Final = (
    b"59767559181262580060278870901087098252\td_sid=1013,d_sid=1032,d_unsid=28",
    b'ann\t"gender"="male","state"="MD",52,ic=52',
    b"ann\tgender=male,d_unsid=28:0,,d_sid=5",
    b"e4fe9bde-caa0-47b6-908d-ffba3fa184f2\td_sid=24",
    b"67412682083411995725538770443620307584\tc2f7a3a1",
    b"cust-1\t55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149",
)
_SPLICES: Final = (
    "_", ".", "..", "/", "\\", ".gz", ".gz.gz", ".sync", ".overwrite", ".processed", ".part",
    "\r\n", "0", "00", "9" * 20, "٣", "²", "\u212a", "=?utf-8?q?=41?=", "<", ">", "://", "[a]",
    "&#x0;", "&#99999999;", "<!--", "<script>", "--b", "Content-Type: text/html", "(", '"',
    "s3n://b/", "Records received: 5\n", "File name:\n", "../", "%2e%2e%2f", "\ud800",
)  # fmt: skip


def text(chance: random.Random, samples: Sequence[str]) -> str:
    """A sample that was bent, or noise."""
    found = chance.choice(samples) if chance.random() < 0.9 else ""
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(found) + 1)
        cut = chance.choice((0, 0, 1, 2, 10))
        found = found[:place] + _piece(chance, samples) + found[place + cut :]
    return found


def _piece(chance: random.Random, samples: Sequence[str]) -> str:
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice(HOSTILE_WORDS)
    if kind == 1:
        return chr(chance.randrange(0x3000))
    if kind == 2:
        sample = chance.choice(samples)
        start = chance.randrange(len(sample))
        return sample[start : start + chance.randint(1, 20)]
    if kind == 3:
        return chance.choice(_SPLICES) * chance.choice((1, 1, 2, 50))
    if kind == 4:
        return str(chance.randrange(10 ** chance.randint(1, 20)))
    return chance.choice(_SPLICES)


def raw(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """The same in bytes."""
    found = bytearray(chance.choice(samples) if chance.random() < 0.9 else b"")
    for _ in range(chance.choice((0, 1, 1, 2, 4, 12))):
        place = chance.randrange(len(found) + 1)
        cut = chance.choice((0, 0, 1, 3, 40))
        found[place : place + cut] = _raw_piece(chance, samples)
    return bytes(found)


def _raw_piece(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randint(1, 6))
    if kind == 1:
        return chance.choice(HOSTILE_WORDS).encode("utf-8", "surrogatepass")
    if kind == 2:
        sample = chance.choice(samples)
        start = chance.randrange(len(sample))
        return sample[start : start + chance.randint(1, 80)]
    return chance.choice(_SPLICES).encode("utf-8", "surrogatepass") * chance.choice((1, 1, 3, 60))


def _mail(*, html: bool, encoding: str, both: bool = False) -> bytes:
    message = EmailMessage()
    message["Authentication-Results"] = "mx.partner.example; dkim=pass header.d=adobe.com"
    message["From"] = f"Adobe <{SENDER}>"
    message["Subject"] = f"[EXTERNAL] {SUBJECT_PREFIX}:"
    message["Date"] = "Thu, 17 May 2018 20:45:02 +0200"
    message["Message-ID"] = "<1@adobe.example>"
    if html:
        message.set_content(PUBLISHED_HTML, subtype="html", cte=encoding)
    else:
        message.set_content(PUBLISHED_TEXT, cte=encoding)
    if both:
        message.add_alternative(PUBLISHED_HTML.replace("<i>", ""), subtype="html", cte=encoding)
    return message.as_bytes()


MAILS: Final = (
    _mail(html=False, encoding="7bit"),
    _mail(html=False, encoding="base64"),
    _mail(html=False, encoding="quoted-printable"),
    _mail(html=True, encoding="quoted-printable"),
    _mail(html=False, encoding="8bit", both=True),
)

#: What grows in inputs of growing length: in each, one of these is repeated.
UNITS: Final = (*_SPLICES, *HOSTILE_WORDS, "a", "a.b", "x.<://", "=?a?q?", ";", "d_sid=1,")
Draw = Callable[[random.Random], object]
