"""From a raw e-mail to a receipt, or to the reason why it is none.

Page: inbound-receipt-message.md, for sender, subject and body. A mailbox is open to the world and
shared with other people: whatever comes in ends as a receipt or as one of the three errors below,
within bounds of size and nesting, and no error repeats what somebody else wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.receipts.mail_authentication import (
    Finding,
    Judgement,
    judge,
)
from airflow_am_provider.audience_manager.receipts.mail_body import read_body, texts_of
from airflow_am_provider.audience_manager.receipts.mail_parts import (
    MAX_HEADER_BYTES,
    Part,
    UnreadableMail,
    decode_header,
    leaves,
    parse_date,
)
from airflow_am_provider.audience_manager.receipts.receipt import NotAReceipt, Receipt

if TYPE_CHECKING:
    from datetime import datetime

# inbound-receipt-message.md
SENDER: Final = "aam-noreply@adobe.com"
SUBJECT_PREFIX: Final = "Adobe Audience Manager Server-To-Server Processing Result"

# The published receipt has 2 KB; one of 10,000 files has less than 1 MB.
MAX_MAIL_BYTES: Final = 5 * 1024 * 1024


class ForeignMessage(DataError):
    """Another message than a receipt, by sender or subject. Skip it."""


class ForgedMessage(DataError):
    """A message that claims to be a receipt and is not from Adobe. Never use it; tell somebody."""


class UnreadableReceipt(DataError):
    """A message from Adobe that is a receipt by its subject and cannot be read as one."""


class Authentication(StrEnum):
    """What to make of the mail server's finding about the sender."""

    # A pass is needed wherever the server gives verdicts: where its name is known, or the message
    # has a header of it. Only where neither is so, a message is taken without, with a warning.
    IF_PRESENT = "if_present"
    REQUIRE = "require"  # a pass is needed, and the server's name as well
    IGNORE = "ignore"  # anything is taken, with a warning


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptMail:
    """A receipt and the message that brought it.

    :param message_id: the Message-ID with its angle brackets, where there is one. For the log:
        the same receipt may come under several.
    :param date: when it was sent, in UTC, as the message says.
    :param subject: its subject, encoded words decoded.
    :param receipt: what it says.
    :param authentication: what the mail server says of the sender.
    :param reason: the result that follows from, such as ``dkim=pass``.
    :param forwarded: whether a person sent it on; then the receipt is that person's word.
    """

    message_id: str | None
    date: datetime | None
    subject: str
    receipt: Receipt
    authentication: Finding
    reason: str = "nothing"
    forwarded: bool = False

    @property
    def digest(self) -> str:
        """Identity of the receipt, equal for every copy of it (:attr:`Receipt.digest`)."""
        return self.receipt.digest

    @property
    def doubt(self) -> str | None:
        """Why nobody knows whether the sender is who it says; None where the server vouches."""
        if self.authentication is Finding.PASS:
            return None
        return f"anybody may have sent it: the mail server says {self.reason} of the sender"


_ADDRESS = re.compile(r"[^\s@<>()\[\]\\,;:\"]{1,64}@[^\s@<>()\[\]\\,;:\"]{1,255}")
# One address, bare or in brackets after a name. A name with an @ is refused: readers differ on
# whose address that is, and forgers live on the difference.
_FROM = re.compile(
    rf"(?:(?:\"(?:[^\"\\]|\\.)*\"|[^\"@<>(),;:\\])*<(?P<bracketed>{_ADDRESS.pattern})>"
    rf"|(?P<bare>{_ADDRESS.pattern}))(?: ?\([^()\\]*\))?"
)
_MAX_FROM_CHARACTERS: Final = 1_000
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}>")
# Company mail servers put tags such as [EXTERNAL] before a subject.
_TAGS = r"(?:\[[^\[\]]{1,40}\] ?)*"
# Fwd:, FW:, WG:, TR: and so on; every language has its own.
_FORWARD_MARKS = r"(?:[^\s:\[\]]{1,12} ?: ?){1,5}"


def is_sender(text: str) -> bool:
    """Whether a setting can name the sender of receipts: one bare address in ASCII.

    >>> is_sender(SENDER), is_sender("Adobe <aam-noreply@adobe.com>")
    (True, False)
    """
    return text.isascii() and _ADDRESS.fullmatch(text) is not None


def read_receipt_mail(
    raw: bytes,
    *,
    sender: str = SENDER,
    subject_prefix: str = SUBJECT_PREFIX,
    authentication: str = Authentication.IF_PRESENT,
    authserv_id: str | None = None,
    accept_forwarded: bool = False,
    max_bytes: int = MAX_MAIL_BYTES,
) -> ReceiptMail:
    r"""Read a message as a receipt.

    :param raw: the message as the server has it: headers, a blank line, the body.
    :param sender: the only address that sends receipts.
    :param subject_prefix: what the subject of a receipt begins with, tags such as ``[EXTERNAL]``
        before it left aside.
    :param authentication: ``if_present`` refuses what the mail server did not find true; it takes
        a message without ``Authentication-Results``, as long as ``authserv_id`` does not say that
        the server writes them (see :attr:`ReceiptMail.doubt`). ``require`` refuses that too,
        ``ignore`` believes the From header.
    :param authserv_id: the name your mail server writes at the beginning of its
        ``Authentication-Results``, or "" where it writes none (Microsoft 365). Without it the
        topmost such header counts; ``require`` needs it, because that one may be the forger's.
    :param accept_forwarded: take receipts that a person forwarded, within the message's text or
        attached to it. Whoever can write to the mailbox can then make up a receipt;
        ``authentication`` is judged by the person's own domain.
    :param max_bytes: a longer message is not read.
    :raises ForeignMessage: another sender or subject.
    :raises ForgedMessage: the mail server says so, or several senders are named.
    :raises UnreadableReceipt: too large, or not a receipt inside.
    :raises ConfigurationError: a parameter is wrong.

    >>> mail = read_receipt_mail(
    ...     b"From: Adobe <aam-noreply@adobe.com>\n"
    ...     b"Subject: Adobe Audience Manager Server-To-Server Processing Result:\n\n"
    ...     b"File name: ftp_dpm_7_1368806402.sync\nRecords received: 5\n")
    >>> mail.receipt.files, mail.receipt.records_received, mail.authentication.value
    (('ftp_dpm_7_1368806402.sync',), 5, 'absent')
    >>> mail.doubt
    'anybody may have sent it: the mail server says nothing of the sender'
    """
    mode = _check_settings(sender, subject_prefix, authentication, authserv_id, max_bytes)
    try:
        # A foreign message of any length is foreign, and is told by its headers alone.
        headers = Part.parse(raw[: MAX_HEADER_BYTES + 1])
    except UnreadableMail as error:
        raise ForeignMessage(str(error)) from None
    claim = _Claim(sender=sender, prefix=subject_prefix)
    forwarded = not claim.is_made_by(headers)
    if forwarded and not accept_forwarded:
        raise ForeignMessage(claim.refusal(headers))
    if len(raw) > max_bytes:
        error_type = ForeignMessage if forwarded else UnreadableReceipt
        raise error_type(f"message of {len(raw):,} bytes; receipts are read up to {max_bytes:,}")
    message = Part.parse(raw)
    source = claim.forwarded_in(message) if forwarded else message
    judged = _authenticate(message, mode, authserv_id)
    try:
        receipt = read_body(source)
    except (UnreadableMail, NotAReceipt) as error:
        raise UnreadableReceipt(f"receipt: {error}") from None
    return ReceiptMail(
        message_id=_message_id(source) or _message_id(message),
        date=parse_date(source.first("date")),
        subject=_subject(source),
        receipt=receipt,
        authentication=judged.finding,
        reason=judged.reason,
        forwarded=forwarded,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    """What a message must say of itself to be taken as a receipt."""

    sender: str
    prefix: str

    def is_made_by(self, message: Part) -> bool:
        """Whether sender and subject are a receipt's.

        :raises ForgedMessage: when they are, and others beside them.
        """
        senders, subjects = message.all("from"), message.all("subject")
        is_ours = self.sender.lower() in map(_address, senders)
        is_receipt = any(self._matches(subject) for subject in subjects)
        if is_ours and is_receipt and (len(senders) > 1 or len(subjects) > 1):
            raise ForgedMessage(
                f"message from {self.sender} with {len(senders)} From and {len(subjects)} Subject "
                f"headers; a message has one of each (RFC 5322)"
            )
        return is_ours and is_receipt

    def refusal(self, message: Part) -> str:
        """Say what of the two is not a receipt's, without what it is instead."""
        if self.sender.lower() not in map(_address, message.all("from")):
            return f"not from {self.sender}"
        return f"subject does not begin with {self.prefix!r}"

    def forwarded_in(self, message: Part) -> Part:
        """Find the receipt in a message that somebody forwarded: attached, or in its text.

        :raises ForeignMessage: when there is none.
        """
        try:
            for part in leaves(message):
                if part.content_type == "message/rfc822":
                    attached = Part.parse(part.decoded().lstrip(b"\r\n"))
                    if self.is_made_by(attached):
                        return attached
        except UnreadableMail as error:
            raise ForeignMessage(str(error)) from None
        if not self._matches(_subject(message), marks=_FORWARD_MARKS):
            raise ForeignMessage(self.refusal(message))
        if not any(self.sender.lower() in text.lower() for text in texts_of(message)):
            raise ForeignMessage(f"forwarded text that does not name {self.sender} as its sender")
        return message

    def _matches(self, subject: str, *, marks: str = "") -> bool:
        wanted = re.escape(self.prefix).replace(r"\ ", r"\s+")
        # Two repetitions side by side would take quadratic time on a subject of many tags.
        pattern = f"{_TAGS}{marks}{_TAGS}{wanted}" if marks else f"{_TAGS}{wanted}"
        return re.match(pattern, decode_header(subject), re.IGNORECASE) is not None


def _check_settings(
    sender: str, prefix: str, authentication: str, authserv_id: str | None, max_bytes: int
) -> Authentication:
    if not is_sender(sender):
        raise ConfigurationError(f"sender: {sender!r} is not an e-mail address")
    if not prefix.strip():
        raise ConfigurationError("subject_prefix: empty; every message would be taken as a receipt")
    if max_bytes < 1:
        raise ConfigurationError(f"max_bytes: {max_bytes!r} is not a size of at least 1 byte")
    if authentication not in tuple(Authentication):
        known = ", ".join(map(repr, map(str, Authentication)))
        raise ConfigurationError(f"authentication: {authentication!r} is none of {known}")
    if authentication == Authentication.REQUIRE and authserv_id is None:
        raise ConfigurationError(
            "authserv_id: missing; with authentication 'require' it must be the name that your "
            "mail server writes first in Authentication-Results, or anybody can write that header "
            "(RFC 8601)"
        )
    return Authentication(authentication)


def _authenticate(message: Part, mode: Authentication, authserv_id: str | None) -> Judgement:
    senders = message.all("from")
    sender = (_address(senders[0]) if len(senders) == 1 else None) or ""
    judged = judge(
        message.all("authentication-results"),
        domain=sender.rpartition("@")[2],
        authserv_id=authserv_id,
    )
    # A server whose name is known writes its header into every message that it receives.
    gives_verdicts = authserv_id is not None or judged.finding is not Finding.ABSENT
    is_needed = mode is Authentication.REQUIRE or (
        mode is Authentication.IF_PRESENT and gives_verdicts
    )
    if is_needed and judged.finding is not Finding.PASS:
        raise ForgedMessage(
            f"message with a receipt's sender and subject is not authenticated: the mail server "
            f"says {judged.reason} (authentication={str(mode)!r})"
        )
    return judged


def _address(value: str) -> str | None:
    """The one address of a From header in lower case, or None when it is not just one."""
    match = _FROM.fullmatch(value) if len(value) <= _MAX_FROM_CHARACTERS else None
    address = (match["bracketed"] or match["bare"]) if match else None
    # Letters such as the Kelvin sign become ASCII ones in lower case, and are other addresses.
    return address.lower() if address and address.isascii() else None


def _subject(message: Part) -> str:
    return " ".join(decode_header(message.first("subject")).split())


def _message_id(message: Part) -> str | None:
    match = _MESSAGE_ID.search(message.first("message-id"))
    return match[0] if match else None
