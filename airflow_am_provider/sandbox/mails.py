"""The e-mail of a receipt, and forgeries of it.

Page: inbound-receipt-message.md. The message is made as it lies in the receiver's mailbox, with
the ``Authentication-Results`` that a receiving mail server puts before it.
"""

from __future__ import annotations

import html
import uuid
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.receipts.mail import SENDER, SUBJECT_PREFIX
from airflow_am_provider.sandbox.behaviour import Body

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_am_provider.audience_manager.receipts.receipt import Receipt

# The name that a receiving server writes into Authentication-Results.
AUTHSERV_ID: Final = "mx.partner.example"
RECIPIENT: Final = "onboarding@partner.example"
_FORGER: Final = "adobe-support.example"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """A message.

    :param message_id: with its angle brackets.
    :param raw: the whole message.
    """

    message_id: str
    raw: bytes


def genuine_mail(receipt: Receipt, *, sent_at: datetime, body: Body) -> Mail:
    """The mail of a receipt, under a Message-ID of its own.

    :param sent_at: its date, in UTC.
    :param body: in which forms it carries the text.
    """
    return _mail(receipt, sent_at, body, sender=SENDER, results="dkim=pass header.d=adobe.com;"
                 " dmarc=pass header.from=adobe.com")  # fmt: skip


def forged_mail(receipt: Receipt, *, sent_at: datetime, body: Body, number: int) -> Mail:
    """A mail that somebody else made up for the same files, with figures that please.

    :param number: which of several; forgers who use Adobe's address, and whom the mail server
        finds out, take turns with those who only use Adobe's name.
    """
    received = receipt.records_received or 0
    false = replace(
        receipt,
        records_received=received + 1_000,
        records_processed=received + 1_000,
        stored_records=received + 1_000,
        format_errors=0,
        invalid_aam_id=0,
        invalid_device_id=None,
        no_matching_aam_id=0,
        no_trait_realized=0,
        warnings=(),
    )
    if number % 2 == 0:
        results = "dkim=none; dmarc=fail header.from=adobe.com"
        return _mail(false, sent_at, body, sender=SENDER, results=results)
    sender = f"Adobe Audience Manager <aam-noreply@{_FORGER}>"
    results = f"dkim=pass header.d={_FORGER}; dmarc=pass header.from={_FORGER}"
    return _mail(false, sent_at, body, sender=sender, results=results)


def _mail(receipt: Receipt, sent_at: datetime, body: Body, *, sender: str, results: str) -> Mail:
    message_id = f"<{uuid.uuid4()}@aam.sandbox.example>"
    message = EmailMessage(policy=SMTP)
    message["Authentication-Results"] = f"{AUTHSERV_ID}; {results}"
    message["From"] = sender
    message["To"] = RECIPIENT
    message["Subject"] = f"{SUBJECT_PREFIX}:"
    message["Date"] = format_datetime(sent_at)
    message["Message-ID"] = message_id
    text = receipt.to_text()
    if body is Body.HTML:
        message.set_content(_as_html(text), subtype="html")
    else:
        message.set_content(text)
    if body is Body.BOTH:
        message.add_alternative(_as_html(text), subtype="html")
    return Mail(message_id=message_id, raw=message.as_bytes())


def _as_html(text: str) -> str:
    """Each line as a bold paragraph, as on the page."""
    paragraphs = "".join(f"<p><b>{html.escape(line)} </b></p>\n" for line in text.splitlines())
    return f"<html><body>\n{paragraphs}</body></html>\n"
