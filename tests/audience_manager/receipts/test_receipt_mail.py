"""Receipts in real MIME: every wrapping, forwards, forgeries, and whatever else comes by mail."""

import base64
import contextlib
import quopri
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.receipts.mail import (
    Authentication,
    ForeignMessage,
    ForgedMessage,
    UnreadableReceipt,
    read_receipt_mail,
)
from airflow_am_provider.audience_manager.receipts.mail_authentication import Finding, judge
from airflow_am_provider.audience_manager.receipts.mail_html import text_of_html
from airflow_am_provider.audience_manager.receipts.mail_parts import MAX_HEADER_BYTES
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from tests.audience_manager.receipts.receipt_samples import (
    PUBLISHED_FILES,
    PUBLISHED_HTML,
    PUBLISHED_TEXT,
    receipts,
)
from tests.examples import examples

SENDER = "aam-noreply@adobe.com"
SUBJECT = "Adobe Audience Manager Server-To-Server Processing Result:"
SMALL = Receipt(
    paths=("s3n://b/2026-11-23/ftp_dpm_7_901_1368806402.sync",), partner_id=7, records_received=1200
)
OUR_ERRORS = (ForeignMessage, ForgedMessage, UnreadableReceipt)


def mail(body=None, *, headers=(), sender=SENDER, subject=SUBJECT, more=""):
    """A raw message: extra headers at the top, then From, Subject and more, then the body."""
    lines = [*headers, f"From: {sender}", f"Subject: {subject}"]
    text = str(SMALL) if body is None else body
    return ("\r\n".join(lines) + f"\r\n{more}\r\n" + text).encode()


def as_html(text):
    """The receipt as mail programs write it: a line a block, markup within words of no meaning."""
    lines = (f"<p> <b>{escape(line)}</b> </p>" for line in text.splitlines())
    return f"<html><head><style>p {{ x: 1 }}</style></head><body>{''.join(lines)}</body></html>"


def test_the_published_message_is_read():
    raw = (
        b"Return-Path: <aam-noreply@adobe.com>\r\n"
        b"From: aam-noreply@adobe.com\r\n"
        b"Message-ID: <4711@adobe.example>\r\n"
        b"Date: Thu, 17 May 2018 20:46:00 +0200\r\n"
        b"Subject: Adobe Audience Manager Server-To-Server Processing Result:\r\n\r\n"
    ) + PUBLISHED_TEXT.encode()
    read = read_receipt_mail(raw)
    assert read.receipt == Receipt.parse_text(PUBLISHED_TEXT)
    assert read.receipt.files == PUBLISHED_FILES
    assert read.message_id == "<4711@adobe.example>"
    assert read.date == datetime(2018, 5, 17, 18, 46, tzinfo=UTC)
    assert read.subject == SUBJECT
    assert read.authentication is Finding.ABSENT
    assert not read.forwarded


def test_the_page_s_own_markup_is_read():
    read = read_receipt_mail(mail(PUBLISHED_HTML, more="Content-Type: text/html\r\n"))
    assert read.receipt.paths == (
        "s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368806402.sync",
        "s3n://<bucket_name>/2018-05-16/ftp_dpm_7_901_1368655202.sync",
    )
    assert read.receipt.invalid_aam_id == 112
    assert read.receipt.total_users_failed_validation == 0
    assert read.receipt.job_end == datetime(2018, 5, 17, 18, 45, 2, tzinfo=UTC)


CHARSETS = ["utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16", "utf-16-be", "utf-32-le",
            "cp037", "utf-7", "shift_jis", "gb18030", "koi8-r"]  # fmt: skip
WRONG_LABELS = ["utf-8", "iso-8859-1", "x-unknown", "utf-16", "rot13", "idna", "punycode", "base64",
                "unicode_escape", "", "a b", '"', "utf-32", "cp037", "zlib"]  # fmt: skip


def encoded(data, encoding):
    if encoding.lower() == "base64":
        return base64.encodebytes(data)
    if encoding == "quoted-printable":
        return quopri.encodestring(data)
    return data


def part(text, *, charset, label, encoding, is_html):
    kind = "html" if is_html else "plain"
    head = f"Content-Type: text/{kind};\r\n\tcharset={label}\r\n"
    head += f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + encoded(text.encode(charset), encoding)


parts = st.fixed_dictionaries(
    {
        "charset": st.sampled_from(CHARSETS),
        "encoding": st.sampled_from(["base64", "quoted-printable", "BASE64"]),
        "is_html": st.booleans(),
    }
)


def multipart(children, kind="alternative", boundary="=_b"):
    head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\nFor old readers.'
    delimiter = f"\r\n--{boundary}".encode()
    body = b"".join(delimiter + b"\r\n" + child for child in children)
    return head.encode() + body + delimiter + b"--\r\n"


HEAD = f"From: Adobe <{SENDER}>\r\nSubject: {SUBJECT}\r\nMIME-Version: 1.0\r\n".encode()
FOOTER = b"Content-Type: text/plain\r\n\r\nThis e-mail is confidential.\r\n"
PICTURE = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
ATTACHED = (
    b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=old.txt\r\n\r\n"
    + str(replace(SMALL, records_received=5)).encode()
)


@given(receipts(), st.lists(parts, min_size=1, max_size=2), st.integers(0, 4), st.booleans())
@settings(max_examples=examples(150), deadline=None)
def test_any_wrapping_says_the_same(receipt, wrappings, nesting, unix):
    texts = [
        part(
            as_html(str(receipt)) if wrapping["is_html"] else str(receipt),
            label=wrapping["charset"],
            **wrapping,
        )
        for wrapping in wrappings
    ]
    body = texts[0] if len(texts) == 1 else multipart(texts)
    for level in range(nesting):
        body = multipart([body, FOOTER, PICTURE, ATTACHED], "mixed", boundary=f"level {level}")
    raw = HEAD + body
    read = read_receipt_mail(raw.replace(b"\r\n", b"\n") if unix else raw)
    assert read.receipt == receipt
    assert read.digest == receipt.digest


@pytest.mark.parametrize("label", WRONG_LABELS)
@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "windows-1252"])
@pytest.mark.parametrize("is_html", [False, True])
def test_a_wrong_or_unknown_charset_does_not_matter(label, charset, is_html):
    text = f"Grüße\n{PUBLISHED_TEXT}"
    raw = HEAD + part(
        as_html(text) if is_html else text,
        charset=charset,
        label=label,
        encoding="base64",
        is_html=is_html,
    )
    assert read_receipt_mail(raw).receipt == Receipt.parse_text(PUBLISHED_TEXT)


@given(receipts(), st.sampled_from(["7bit", "quoted-printable", "base64"]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_messages_of_the_standard_library_are_read(receipt, encoding, both):
    message = EmailMessage()
    message["From"] = SENDER
    message["Subject"] = SUBJECT
    message.set_content(str(receipt), cte=encoding)
    if both:
        message.add_alternative(as_html(str(receipt)), subtype="html", cte=encoding)
    message.add_attachment(b"PK", maintype="application", subtype="zip")
    assert read_receipt_mail(bytes(message)).receipt == receipt


@pytest.mark.parametrize(
    "raw",
    [
        mail(as_html(str(SMALL))),
        mail(as_html(str(SMALL)), more="Content-Type: text/plain\r\n"),
        mail(str(SMALL), more="Content-Type: text/html\r\n"),
        mail(str(SMALL), more="Content-Type: nonsense\r\n"),
        mail(str(SMALL), more="Content-Transfer-Encoding: nonsense\r\n"),
        mail(str(SMALL), more="Content-Type: text/plain; charset*=us-ascii'en'utf-8\r\n"),
        mail(str(SMALL)).replace(b"\r\n", b"\n"),
        mail(str(SMALL)).replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
        mail(f"--=_b\r\n\r\n{SMALL}", more="Content-Type: multipart/mixed; boundary==_b\r\n"),
        mail(
            str(SMALL).replace("1368", "13 \n68"),
            more="Content-Type: text/plain; format=flowed; delsp=yes\r\n",
        ),
    ],
    ids=["unlabelled markup", "markup as text", "text as markup", "odd type", "odd encoding",
         "RFC 2231", "unix line ends", "old Mac line ends", "no end mark", "flowed"],
)  # fmt: skip
def test_mail_that_is_somewhat_wrong_is_read(raw):
    assert read_receipt_mail(raw).receipt == SMALL


def test_copies_under_other_message_ids_have_one_digest():
    first = read_receipt_mail(mail(headers=["Message-ID: <1@x>"]))
    second = read_receipt_mail(
        mail(as_html(str(SMALL)), headers=["Message-ID: <2@x>"], more="Content-Type: text/html\r\n")
    )
    assert first.message_id != second.message_id
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "sender",
    [SENDER, f"<{SENDER}>", f"Adobe <{SENDER}>", f'"Adobe, Inc." <{SENDER}>', SENDER.upper(),
     f"=?utf-8?q?Adobe=20Audience?= <{SENDER}>", f"{SENDER} (Adobe)", f"Adobe\r\n\t<{SENDER}>"],
)  # fmt: skip
def test_senders_that_are_adobe(sender):
    assert read_receipt_mail(mail(sender=sender)).receipt == SMALL


@pytest.mark.parametrize(
    "sender",
    ["mallory@evil.example", f'"{SENDER}" <mallory@evil.example>',
     f"{SENDER} <mallory@evil.example>", f"{SENDER}, mallory@evil.example",
     f"<mallory@evil.example> {SENDER}", f"x{SENDER}",
     f"{SENDER}.evil.example", f"<{SENDER}><mallory@evil.example>", "", "Adobe", f"g: {SENDER};",
     f"mallory@evil.example <{SENDER}>", SENDER.replace("a", "\uff41"),
     f'{"(" * 500}{SENDER}'],
)  # fmt: skip
def test_senders_that_are_somebody_else(sender):
    with pytest.raises(ForeignMessage) as caught:
        read_receipt_mail(mail(sender=sender))
    assert str(caught.value) == "not from aam-noreply@adobe.com"


ENCODED_SUBJECT = (
    "=?utf-8?q?Adobe_Audience_Manager_Server-To?=\r\n"
    " =?utf-8?b?LVNlcnZlciBQcm9jZXNzaW5nIFJlc3VsdA==?="
)


@pytest.mark.parametrize(
    "subject",
    [SUBJECT, f"{SUBJECT} Success", SUBJECT.lower(), f"[EXTERNAL] {SUBJECT}", f"[A] [B]{SUBJECT}",
     SUBJECT.replace(" ", "\r\n "),
     ENCODED_SUBJECT],
)  # fmt: skip
def test_subjects_of_receipts(subject):
    assert read_receipt_mail(mail(subject=subject)).receipt == SMALL


@pytest.mark.parametrize("subject", ["", "Your invoice", f"Fwd: {SUBJECT}", f"Not {SUBJECT}"])
def test_other_subjects(subject):
    with pytest.raises(ForeignMessage) as caught:
        read_receipt_mail(mail(subject=subject))
    assert str(caught.value) == (
        "subject does not begin with 'Adobe Audience Manager Server-To-Server Processing Result'"
    )


@pytest.mark.parametrize(
    ("header", "counted"),
    [("From: mallory@evil.example", "2 From and 1 Subject"),
     ("from : mallory@evil.example", "2 From and 1 Subject"),
     (f"From: {SENDER}", "2 From and 1 Subject"),
     ("Subject: Lunch", "1 From and 2 Subject")],
)  # fmt: skip
def test_a_header_beside_the_real_one_is_a_forgery(header, counted):
    for raw in (mail(headers=[header]), mail(more=f"{header}\r\n")):
        with pytest.raises(ForgedMessage) as caught:
            read_receipt_mail(raw)
        assert str(caught.value) == (
            f"message from aam-noreply@adobe.com with {counted} headers; a message has one of "
            "each (RFC 5322)"
        )


MX = "mx.example.com"
GOOD = "dkim=pass header.d=adobe.com"
RESULTS = {
    f"{MX}; dkim=pass header.d=adobe.com": "pass",
    f"{MX} 1; dkim = pass (2048-bit key) header.d = adobe.com": "pass",
    f"{MX}; dkim=pass header.i=@adobe.com header.s=sel; spf=fail": "pass",
    f"{MX}; dkim=pass header.d=mail.adobe.com": "pass",
    f"{MX}; dmarc=pass (p=REJECT) header.from=adobe.com": "pass",
    f"{MX}; dkim=fail header.d=relay.example; dkim=pass header.d=adobe.com": "pass",
    f"{MX}; dkim=pass header.d=relay.example; dmarc=pass header.from=Adobe.com": "pass",
    f"{MX}; dkim=fail header.d=adobe.com": "fail",
    f"{MX}; dkim=permerror": "fail",
    f"{MX}; dkim=pass header.d=adobe.com; dmarc=fail header.from=adobe.com": "fail",
    f"{MX}; DMARC=FAIL": "fail",
    f'{MX}; spf=pass smtp.mailfrom="never ends': "fail",
    f"{MX}; (never ends": "fail",
    f"{MX}; none": "unproven",
    f"{MX}": "unproven",
    f"{MX}; dkim=pass header.d=evil.example": "unproven",
    f"{MX}; dkim=pass header.d=notadobe.com": "unproven",
    f"{MX}; dkim=pass header.d=com": "unproven",
    f"{MX}; dmarc=pass header.from=evil.example": "unproven",
    f"{MX}; dkim=none; dmarc=none; spf=pass smtp.mailfrom=adobe.com": "unproven",
    f"{MX}; dkim=temperror header.d=adobe.com": "unproven",
    f"{MX}; spf=pass (dkim=pass header.d=adobe.com; dmarc=pass)": "unproven",
    f'{MX}; spf=pass smtp.mailfrom="; dkim=pass header.d=adobe.com; "@evil.example': "unproven",
    f'{MX}; dkim=pass header.i="x header.d=adobe.com"@evil.example': "unproven",
    f"{MX}; dkim=pass header.d=evil.example header.d=adobe.com": "unproven",
    f"{MX}; dkim=pass header.i=a header.d=adobe.com b@evil.example": "unproven",
    f"{MX}; dkim=pass header.d=adobe.com header.i=@mail.adobe.com": "pass",
    f"{MX}; dmarc=pass header.from=evil.example header.from=adobe.com": "unproven",
    f"{MX}; dmarc=temperror header.from=adobe.com": "unproven",
    f"{MX}; dmarc=bestguesspass header.from=adobe.com": "unproven",
    f"{MX}; spf=none smtp.mailfrom=adobe.com": "unproven",
    f"{MX}; spf=fail smtp.mailfrom=adobe.com": "fail",
    f"{MX}; spf=softfail smtp.mailfrom=adobe.com; dkim=none": "fail",
    f"{MX}; spf=fail smtp.mailfrom=relay.example; dkim=pass header.d=adobe.com": "pass",
    f"{MX}; dmarc=temperror; dkim=pass header.d=adobe.com": "pass",
    f"{MX}; spf=pass smtp.mailfrom=adobe.com; compauth=fail reason=001": "fail",
    f"{MX}; dkim=pass header.d=adobe.com; dmarc=pass; compauth=fail reason=601": "fail",
    f"{MX}; dkim=pass header.d=adobe.com; compauth=pass reason=100": "pass",
}


@pytest.mark.parametrize(("results", "finding"), RESULTS.items())
@pytest.mark.parametrize("authserv_id", [None, MX])
def test_what_a_server_that_gives_verdicts_does_not_vouch_for_is_refused(
    results, finding, authserv_id
):
    raw = mail(headers=[f"Authentication-Results: {results}"])
    modes = ["if_present", "require"] if authserv_id else ["if_present"]
    for mode in modes:
        if finding == "pass":
            read = read_receipt_mail(raw, authentication=mode, authserv_id=authserv_id)
            assert (read.authentication, read.doubt) == (Finding.PASS, None)
        else:
            with pytest.raises(ForgedMessage):
                read_receipt_mail(raw, authentication=mode, authserv_id=authserv_id)
    ignored = read_receipt_mail(raw, authentication="ignore", authserv_id=authserv_id)
    assert ignored.authentication == finding
    assert (ignored.doubt is None) == (finding == "pass")


@pytest.mark.parametrize(
    "headers",
    [[], *([f"Authentication-Results: {name}; {GOOD}"] for name in
           ("other.example", f'"{MX}"', f"(x) {MX}", f"{MX}.evil.example", f"x {MX}"))],
)  # fmt: skip
@pytest.mark.parametrize("authserv_id", [MX, ""])
def test_a_server_that_is_known_to_give_verdicts_gave_one(headers, authserv_id):
    with pytest.raises(ForgedMessage) as caught:
        read_receipt_mail(mail(headers=headers), authserv_id=authserv_id)
    assert str(caught.value) == (
        "message with a receipt's sender and subject is not authenticated: the mail server says "
        "nothing (authentication='if_present')"
    )


def test_mail_of_a_server_that_gives_no_verdicts_is_taken_with_a_doubt():
    read = read_receipt_mail(mail())
    assert read.receipt == SMALL
    assert read.authentication is Finding.ABSENT
    assert read.doubt == "anybody may have sent it: the mail server says nothing of the sender"


@pytest.mark.parametrize(
    ("results", "reason"),
    [("dmarc=temperror", "dmarc=temperror"), ("dkim=none; spf=neutral", "dkim=none"),
     ("dmarc=callmenow; spf=pass", "neither dkim nor dmarc of the sender's domain"),
     ("spf=fail; dkim=none", "spf=fail"), ("compauth=fail", "compauth=fail")],
)  # fmt: skip
def test_the_reason_is_the_server_s_in_words_of_the_rfc(results, reason):
    raw = mail(headers=[f"Authentication-Results: {MX}; {results}"])
    assert read_receipt_mail(raw, authentication="ignore").reason == reason


def test_a_forgery_is_told_with_the_server_s_word():
    failed = mail(headers=[f"Authentication-Results: {MX}; dmarc=fail"])
    with pytest.raises(ForgedMessage) as caught:
        read_receipt_mail(failed)
    assert str(caught.value) == (
        "message with a receipt's sender and subject is not authenticated: the mail server says "
        "dmarc=fail (authentication='if_present')"
    )
    with pytest.raises(ForgedMessage) as caught:
        read_receipt_mail(mail(), authentication=Authentication.REQUIRE, authserv_id=MX)
    assert str(caught.value) == (
        "message with a receipt's sender and subject is not authenticated: the mail server says "
        "nothing (authentication='require')"
    )


def test_only_the_mail_server_s_own_header_counts():
    good, bad = GOOD, "dkim=fail header.d=adobe.com"
    forged_below = mail(
        headers=[f"Authentication-Results: {MX}; {bad}", f"Authentication-Results: x; {good}"]
    )
    for authserv_id in (None, MX):
        with pytest.raises(ForgedMessage):
            read_receipt_mail(forged_below, authserv_id=authserv_id)
    forged_alone = mail(headers=[f"Authentication-Results: x; {good}"])
    with pytest.raises(ForgedMessage):
        read_receipt_mail(forged_alone, authentication="require", authserv_id=MX)
    relayed = mail(
        headers=["Authentication-Results: inner; none", f"Authentication-Results: {MX}; {good}"]
    )
    assert read_receipt_mail(relayed, authserv_id=MX).authentication is Finding.PASS
    with pytest.raises(ForgedMessage):
        read_receipt_mail(relayed)


def test_a_server_that_writes_no_name():
    results = "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=adobe.com; dkim=pass (signature was \
verified) header.d=adobe.com;dmarc=pass action=none header.from=adobe.com;compauth=pass reason=100"
    raw = mail(headers=[f"Authentication-Results: {results}"])
    read = read_receipt_mail(raw, authentication="require", authserv_id="")
    assert read.authentication is Finding.PASS
    with pytest.raises(ForgedMessage):
        read_receipt_mail(raw, authentication="require", authserv_id=MX)


FORWARD_HEAD = "---------- Forwarded message ---------\nFrom: Adobe <aam-noreply@adobe.com>\n\n"
PERSON = {"sender": "Jane <jane@customer.example>", "subject": f"Fwd: {SUBJECT}"}


def test_forwards_are_foreign_unless_asked_for():
    inline = mail(FORWARD_HEAD + str(SMALL), **PERSON)
    with pytest.raises(ForeignMessage):
        read_receipt_mail(inline)
    read = read_receipt_mail(inline, accept_forwarded=True)
    assert read.receipt == SMALL
    assert read.forwarded


@pytest.mark.parametrize("encoding", ["7bit", "base64"])
def test_a_receipt_forwarded_as_attachment(encoding):
    original = mail(headers=["Message-ID: <original@x>"])
    attached = (
        b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n"
        + f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        + encoded(original, encoding)
    )
    raw = b"From: jane@customer.example\r\nSubject: look\r\nMessage-ID: <outer@x>\r\n" + multipart(
        [FOOTER, attached], "mixed"
    )
    with pytest.raises(ForeignMessage):
        read_receipt_mail(raw)
    read = read_receipt_mail(raw, accept_forwarded=True)
    assert (read.receipt, read.message_id, read.forwarded) == (SMALL, "<original@x>", True)


def test_a_forward_is_judged_by_the_domain_of_who_forwards():
    results = f"Authentication-Results: {MX}; dkim=pass header.d={{}}"
    settings_ = {"authentication": "require", "authserv_id": MX, "accept_forwarded": True}
    own = mail(FORWARD_HEAD + str(SMALL), headers=[results.format("customer.example")], **PERSON)
    assert read_receipt_mail(own, **settings_).authentication is Finding.PASS
    other = mail(FORWARD_HEAD + str(SMALL), headers=[results.format("adobe.com")], **PERSON)
    with pytest.raises(ForgedMessage):
        read_receipt_mail(other, **settings_)


@pytest.mark.parametrize(
    "raw",
    [
        mail("Win now!", sender="x@evil.example", subject="Win"),
        mail("Win now!", sender="x@evil.example", subject="Win",
             headers=[f"Authentication-Results: {MX}; dmarc=fail"]),
        mail(str(SMALL), **PERSON),
        mail(FORWARD_HEAD + str(SMALL), sender="x@evil.example", subject="Fwd: Lunch"),
    ],
    ids=["spam", "forged spam", "no sign of the sender", "other subject"],
)  # fmt: skip
def test_what_is_no_forward_of_a_receipt_stays_foreign(raw):
    with pytest.raises(ForeignMessage):
        read_receipt_mail(raw, accept_forwarded=True)


UNREADABLE = {
    "nothing inside": (
        mail("Service is down."),
        "receipt: no file name under 'File name' (inbound-receipt-message.md)",
    ),
    "no text": (HEAD + PICTURE, "receipt: no part of plain text or HTML"),
    "parts that differ": (
        HEAD + multipart([
            b"Content-Type: text/plain\r\n\r\n" + str(SMALL).encode(),
            b"Content-Type: text/html\r\n\r\n"
            + as_html(str(replace(SMALL, records_received=7))).encode(),
        ]),
        "receipt: the message's parts differ in records_received",
    ),
    "other files": (
        HEAD + multipart([
            b"Content-Type: text/plain\r\n\r\n" + str(SMALL).encode(),
            b"Content-Type: text/plain\r\n\r\n" + str(replace(SMALL, paths=("x.sync",))).encode(),
        ]),
        "receipt: the message's parts differ in files",
    ),
    "too many parts": (
        HEAD + multipart([FOOTER] * 150),
        "receipt: message: more than 100 parts, or nested more than 10 deep",
    ),
    "too large": (
        mail("x" * 6_000_000),
        "message of 6,000,100 bytes; receipts are read up to 5,242,880",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_receipts_that_cannot_be_read_say_why(case):
    raw, message = UNREADABLE[case]
    with pytest.raises(UnreadableReceipt) as caught:
        read_receipt_mail(raw)
    assert str(caught.value) == message


def test_parts_that_complete_each_other_are_one_receipt():
    fuller = replace(SMALL, format_errors=3, partner_id=None)
    as_text = b"\r\n" + str(SMALL).encode()
    as_markup = b"Content-Type: text/html\r\n\r\n" + as_html(str(fuller)).encode()
    raw = HEAD + multipart([as_text, as_markup])
    assert read_receipt_mail(raw).receipt == replace(fuller, partner_id=7)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(SMALL, partner_id=8), "partner_id"),
        (replace(SMALL, partner_id=8, format_errors=1), "partner_id"),
        (replace(SMALL, job_end=datetime(2018, 5, 17, tzinfo=UTC)), "job_end"),
    ],
)
def test_parts_that_differ_beside_the_counts(other, named):
    text = replace(SMALL, job_end=datetime(2018, 5, 18, tzinfo=UTC))
    for first, second in ((text, other), (other, text)):
        raw = HEAD + multipart([b"\r\n" + str(first).encode(), b"\r\n" + str(second).encode()])
        with pytest.raises(UnreadableReceipt) as caught:
            read_receipt_mail(raw)
        assert str(caught.value) == f"receipt: the message's parts differ in {named}"


def test_deep_nesting_is_refused():
    body = part("x", charset="utf-8", label="utf-8", encoding="base64", is_html=False)
    for level in range(500):
        body = multipart([body], "mixed", boundary=f"{level}")
    with pytest.raises(UnreadableReceipt) as caught:
        read_receipt_mail(HEAD + body)
    assert str(caught.value).endswith("nested more than 10 deep")


def test_large_foreign_mail_is_foreign():
    with pytest.raises(ForeignMessage):
        read_receipt_mail(mail("x" * 6_000_000, sender="x@y.example"))
    with pytest.raises(ForeignMessage) as caught:
        read_receipt_mail(mail(headers=["X: y"] * (MAX_HEADER_BYTES // 5)))
    assert str(caught.value) == "message: headers of more than 262,144 bytes"


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"sender": "Adobe"}, "sender: 'Adobe' is not an e-mail address"),
        ({"subject_prefix": " "},
         "subject_prefix: empty; every message would be taken as a receipt"),
        ({"max_bytes": 0}, "max_bytes: 0 is not a size of at least 1 byte"),
        ({"authentication": "maybe"},
         "authentication: 'maybe' is none of 'if_present', 'require', 'ignore'"),
        ({"authentication": "require"},
         ("authserv_id: missing; with authentication 'require' it must be the name that your mail "
          "server writes first in Authentication-Results, or anybody can write that header "
          "(RFC 8601)")),
    ],
)  # fmt: skip
def test_wrong_settings(settings_, message):
    with pytest.raises(ConfigurationError) as caught:
        read_receipt_mail(mail(), **settings_)
    assert str(caught.value) == message


def test_errors_do_not_repeat_what_others_wrote():
    secret = "jane.doe@customer.example"
    for raw in (
        mail(secret, sender=secret),
        mail(secret, subject=secret),
        mail(f"File name:\n{secret}\n{secret}: 5\n"),
        mail(f"{SMALL}\n{SMALL}\n{secret}"),
        mail(headers=[f"From: {secret}"]),
        mail(headers=[f"Authentication-Results: x; dmarc=fail header.from={secret}"]),
    ):
        with pytest.raises(DataError) as caught:
            read_receipt_mail(raw)
        assert "jane" not in str(caught.value)
        assert caught.value.__cause__ is None


def read_or_refuse(raw, **settings_):
    with contextlib.suppress(*OUR_ERRORS):
        read_receipt_mail(raw, **settings_)


@given(st.binary(max_size=400), st.booleans(), st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_any_bytes_are_read_or_refused(noise, claims, forwarded):
    read_or_refuse((HEAD if claims else b"") + noise, accept_forwarded=forwarded)


RICH = (
    b"Authentication-Results: mx; dkim=pass (ok) header.d=adobe.com; dmarc=pass\r\n"
    b"Date: Thu, 17 May 2018 20:46:00 +0200\r\nMessage-ID: <1@x>\r\n"
) + HEAD + multipart(
    [
        part(str(SMALL), charset="utf-8", label="utf-8", encoding="quoted-printable",
             is_html=False),
        multipart([part(as_html(str(SMALL)), charset="utf-16", label="utf-16", encoding="base64",
                        is_html=True), PICTURE], "related", boundary="inner"),
        b"Content-Type: message/rfc822\r\n\r\n" + mail(),
    ],
    "mixed",
)  # fmt: skip
SPLICES = [b"", b"\n", b"\r\n\r\n", b"\x00", b"--", b"--=_b\r\n", b"=?utf-8?q?", b"?=", b"(", b'"',
           b"<", b"&#" + b"9" * 9_000 + b";", b"9" * 9_000, b"Content-Type: message/rfc822\r\n",
           b"boundary=", b"charset=idna", b"\xff\xfe", b"=", b"<!--", b"<script>"]  # fmt: skip


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_mutated_mail_is_read_or_refused(seed, forwarded):
    chance = random.Random(seed)
    raw = bytearray(RICH)
    for _ in range(chance.randint(1, 12)):
        start = chance.randrange(len(raw))
        splice = chance.choice([*SPLICES, bytes(raw[start : start + 80]), chance.randbytes(4)])
        raw[start : start + chance.choice([0, 0, 1, 10, 200])] = splice
    read_or_refuse(bytes(raw), accept_forwarded=forwarded)


HOSTILE = {
    "comments": (b"Content-Type: text/html\r\n\r\n", b"<!--"),
    "tags": (b"Content-Type: text/html\r\n\r\n", b"<a"),
    "closed tags": (b"Content-Type: text/html\r\n\r\n", b"<br>File name: <a.sync>"),
    "scripts": (b"Content-Type: text/html\r\n\r\n", b"<script>"),
    "references": (b"Content-Type: text/html\r\n\r\n", b"&#9"),
    "empty lines": (b"\r\n", b"\n"),
    "labels": (b"\r\n", b"Records received: "),
    "files": (b"\r\nFile name: ", b"a.sync "),
    "boundaries": (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"\n--b\n"),
    "almost boundaries": (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"\n--b "),
    "headers": (b"", b"a: b\r\n"),
    "folded headers": (b"", b" Content-Type: x;\r\n"),
    "parameters": (b"Content-Type: text/plain", b'; charset="'),
    "encoded words": (b"Subject: ", b"=?a?q?"),
    "subject tags": (b"Subject: ", b"[a]"),
    "link marks": (b"\r\nFile name: ", b"x.<" + b"://" * 1_190 + b" "),
    "results": (b"Authentication-Results: ", b'("'),
    "base64": (b"Content-Transfer-Encoding: base64\r\n\r\n", b"AAA"),
    "quoted-printable": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=\r\n=3D"),
    "utf-7": (b"Content-Type: text/plain; charset=utf-7\r\n\r\n", b"+AAA"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_mail_takes_seconds_at_most(case):
    head, unit = HOSTILE[case]
    for size in (200_000, 2_000_000):
        begin = time.process_time()
        read_or_refuse(HEAD + head + unit * (size // len(unit)), accept_forwarded=True)
        assert time.process_time() - begin < 10  # quadratic would take minutes


ENTITIES = """\
<?xml version="1.0"?>
<!DOCTYPE html [
  <!ENTITY passwd SYSTEM "file:///etc/passwd">
  <!ENTITY away SYSTEM "http://192.0.2.1/evil.dtd">
  <!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
]>
<html xmlns:xi="http://www.w3.org/2001/XInclude"><body>
<xi:include href="file:///etc/passwd" parse="text"/>
<img src="http://192.0.2.1/pixel.gif"><iframe src="file:///etc/passwd"></iframe>
<link rel="stylesheet" href="http://192.0.2.1/a.css">
&passwd;&away;&lol2;
"""


def test_markup_fetches_nothing_and_expands_no_entity(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was opened")

    raw = mail(ENTITIES + as_html(str(SMALL)), more="Content-Type: text/html\r\n")
    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    text = text_of_html(ENTITIES)
    read = read_receipt_mail(raw)
    monkeypatch.undo()
    assert read.receipt == SMALL
    assert "root:" not in text
    assert "lollol" not in text
    assert len(text) < len(ENTITIES)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=receipt.txt",
        b"Content-Type: text/html\r\nContent-Disposition: ATTACHMENT; filename=../../receipt.html",
        b"Content-Type: application/zip; name=receipt.zip",
        b"Content-Type: application/octet-stream",
        b"Content-Type: image/svg+xml",
        b"Content-Type: message/rfc822\r\n\r\n" + HEAD.strip(),
    ],
)
def test_attachments_are_not_looked_into(head):
    other = replace(SMALL, records_received=999_999)
    attached = head + b"\r\n\r\n" + str(other).encode()
    with pytest.raises(UnreadableReceipt):
        read_receipt_mail(HEAD + multipart([attached], "mixed"))
    good = b"Content-Type: text/plain\r\n\r\n" + str(SMALL).encode()
    assert read_receipt_mail(HEAD + multipart([good, attached], "mixed")).receipt == SMALL


@given(st.text(alphabet="<>!-/abps &#x;0139\n\"'", max_size=60))
def test_markup_of_any_sort_comes_off(markup):
    assert len(text_of_html(markup)) <= len(markup)


def test_what_a_browser_does_not_show_is_not_read():
    markup = "<STYLE>a</style><!-- b --><script>c < d</SCRIPT ><p>1 < 2 &amp; e<br/>f</p><![if g]>"
    assert text_of_html(markup).split() == ["1", "<", "2", "&", "e", "f"]


@pytest.mark.parametrize(
    ("upper", "lower", "finding"),
    [
        ("dkim=fail header.d=adobe.com", "dkim=pass header.d=adobe.com", "fail"),
        ("dkim=pass header.d=adobe.com", "dkim=fail header.d=adobe.com", "fail"),
        ("dkim=fail header.d=adobe.com", "dmarc=pass header.from=adobe.com", "fail"),
        # A relay's broken signature, and one message with two signatures, are no contradiction.
        ("dkim=fail header.d=relay.example", "dkim=pass header.d=adobe.com", "pass"),
        ("dkim=fail header.d=adobe.com; dkim=pass header.d=adobe.com", "spf=fail", "pass"),
        ("dmarc=pass header.from=adobe.com", "dkim=pass header.d=adobe.com", "pass"),
    ],
)
def test_headers_of_one_name_that_contradict_each_other_are_refused(upper, lower, finding):
    results = [f"mx.acme.example; {words}" for words in (upper, lower)]
    found = judge(results, domain="adobe.com", authserv_id="mx.acme.example")
    assert found.finding == finding
