"""Receipts that a person saved as files: raw messages, or the text of one.

The person vouches for them, so sender and authentication are told in warnings and refuse
nothing; what comes by itself into a mailbox is judged by the sensor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.receipts.mail import (
    MAX_MAIL_BYTES,
    Authentication,
    ForeignMessage,
    ForgedMessage,
    UnreadableReceipt,
    read_receipt_mail,
)
from airflow_am_provider.audience_manager.receipts.mail_authentication import Finding
from airflow_am_provider.audience_manager.receipts.mail_body import read_body
from airflow_am_provider.audience_manager.receipts.mail_parts import Part, UnreadableMail
from airflow_am_provider.audience_manager.receipts.receipt import NotAReceipt, Receipt

if TYPE_CHECKING:
    from airflow_am_provider.cli.sources import Source

# One of them is in every message, and none of them in a receipt's text.
_MAIL_HEADERS: Final = frozenset(("from", "subject", "received", "date", "mime-version"))


def read_receipt_file(source: Source) -> Receipt:
    """Read a receipt from a saved message, or from its saved text.

    :raises DataError: when there is no receipt in the file; says why.
    :raises ConfigurationError: when the file cannot be read.
    """
    with source.open() as file:
        raw = file.read(MAX_MAIL_BYTES + 1)
    try:
        if len(raw) > MAX_MAIL_BYTES:
            raise NotAReceipt(f"more than {MAX_MAIL_BYTES:,} bytes; a receipt has a few thousand")
        return read_receipt(raw)
    except (NotAReceipt, UnreadableMail, UnreadableReceipt) as error:
        reason = str(error).removeprefix("receipt: ")
        raise DataError(f"{printable(source.path)!r} holds no receipt: {reason}") from None


def read_receipt(raw: bytes) -> Receipt:
    r"""Read a receipt from a message, or from its text.

    :raises NotAReceipt: when there is none.
    :raises UnreadableReceipt: the same, of a message that Adobe sent.
    :raises UnreadableMail: when the message goes beyond the bounds of what is read.

    >>> read_receipt(b"File name: ftp_dpm_7_1368806402.sync\nFormat Errors: 3").format_errors
    3
    """
    message = Part.parse(raw)
    if not _MAIL_HEADERS.intersection(name for name, _ in message.headers):
        markup = raw.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")
        headers = (("content-type", "text/html"),) if markup else ()
        return read_body(Part(headers=headers, body=raw))
    try:
        mail = read_receipt_mail(raw, authentication=Authentication.IGNORE, accept_forwarded=True)
    except (ForeignMessage, ForgedMessage) as error:
        return _with_warnings(read_body(message), [f"the message is not Adobe's own: {error}"])
    warnings = []
    if mail.forwarded:
        warnings.append("the message was forwarded, so a person vouches for it, and not Adobe")
    if mail.authentication is Finding.FAIL:
        warnings.append("the mail server found that the message is not from its sender")
    return _with_warnings(mail.receipt, warnings)


def _with_warnings(receipt: Receipt, warnings: list[str]) -> Receipt:
    return replace(receipt, warnings=(*warnings, *receipt.warnings))
