"""The sandbox between real servers: S3, FTP and IMAP."""

import email
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.environments import object_key
from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.audience_manager.processed_markers import marked
from airflow_am_provider.audience_manager.receipts.mail import ReceiptMail, read_receipt_mail
from airflow_am_provider.sandbox import Kind
from airflow_am_provider.sandbox.mailboxes import ImapMailbox, open_mailbox
from airflow_am_provider.sandbox.s3_inbox import S3Inbox
from demo.local.ftp import FtpServer
from demo.local.imap import ImapServer
from demo.local.imap import imap_server as imap_server_of
from demo.local.s3 import S3
from tests.sandbox.conftest import START, Bench, T

NAME = f"ftp_dpm_20914_478_{T}.sync"
LINES = b"e4fe9bde-caa0-47b6-908d-ffba3fa184f2\td_sid=24\n"
GAID = (20914, "e4fe9bde-caa0-47b6-908d-ffba3fa184f2")


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that boto3 finds by its usual environment variables."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = f"inbound-{uuid4().hex[:12]}"
    s3.create_bucket(name)
    return name


def send(s3: S3, bucket: str, name: str, body: bytes, **extra: Any) -> str:
    key = object_key("acme", START.date(), name)
    extra = extra or {"ACL": "bucket-owner-full-control"}
    s3.client().put_object(Bucket=bucket, Key=key, Body=body, **extra)
    return key


def keys(s3: S3, bucket: str) -> set[str]:
    listing = s3.client().list_objects_v2(Bucket=bucket)
    return {item["Key"] for item in listing.get("Contents", ())}


def test_a_file_in_a_bucket_is_taken_marked_and_answered(bench: Bench, s3: S3, bucket: str) -> None:
    key = send(s3, bucket, NAME, LINES)
    bench.configure(inboxes=(f"s3://{bucket}",))

    bench.run(at_once=True)

    assert bench.profiles().has_trait(*GAID, 24)
    assert keys(s3, bucket) == {key, f"{key}.processed"}
    assert marked([NAME], keys(s3, bucket)) == {NAME}
    (receipt,) = bench.receipts()
    assert receipt.paths == (f"s3n://{bucket}/2026-11-23/{NAME}",)
    bench.restart()
    assert bench.run() == []


def test_the_same_object_written_again_is_read_again(bench: Bench, s3: S3, bucket: str) -> None:
    send(s3, bucket, NAME, LINES)
    bench.configure(inboxes=(f"s3://{bucket}/acme",))
    bench.run()

    send(s3, bucket, NAME, LINES + b"broken\n")
    bench.run()

    assert [entry.totals.records_received for entry in bench.sandbox.ledger.files()] == [1, 2]


def test_markers_can_be_left_out(bench: Bench, s3: S3, bucket: str) -> None:
    key = send(s3, bucket, NAME, LINES)
    bench.configure(inboxes=(f"s3://{bucket}",), behaviours=["markers=false"])

    bench.run(at_once=True)

    assert keys(s3, bucket) == {key}
    assert len(bench.receipts()) == 1


def test_an_object_that_its_bucket_owner_may_not_read_is_rejected(
    bench: Bench, s3: S3, bucket: str
) -> None:
    send(s3, bucket, NAME, LINES, GrantFullControl='id="0123456789abcdef"')
    bench.configure(inboxes=(f"s3://{bucket}",))

    (event,) = bench.run(at_once=True)

    assert event.kind is Kind.FILE_REJECTED
    assert event.reason == (
        "the bucket's owner may not read it: it was sent without the ACL "
        "bucket-owner-full-control (authorize-s3-inbound.md)"
    )


def test_a_path_may_stand_before_the_partner(bench: Bench, s3: S3, bucket: str) -> None:
    key = f"inbound/eu/{object_key('acme', START.date(), NAME)}"
    acl = "bucket-owner-full-control"
    s3.client().put_object(Bucket=bucket, Key=key, Body=LINES, ACL=acl)
    bench.configure(inboxes=(f"s3://{bucket}/inbound/eu/acme",))

    bench.run(at_once=True)

    assert bench.profiles().has_trait(*GAID, 24)
    assert keys(s3, bucket) == {key, f"{key}.processed"}


@pytest.mark.parametrize(
    "key", [NAME, f"acme/{NAME}", f"acme/date=2026-02-30/{NAME}", f"acme/date=2026-11-23/x/{NAME}"]
)
def test_a_key_that_adobe_does_not_look_at_is_ignored(
    bench: Bench, s3: S3, bucket: str, key: str
) -> None:
    s3.client().put_object(Bucket=bucket, Key=key, Body=LINES)
    bench.configure(inboxes=(f"s3://{bucket}",))

    (event,) = bench.run(at_once=True)

    assert event.kind is Kind.FILE_IGNORED
    assert event.reason == "its key is not PARTNER/date=YYYY-MM-DD/NAME (inbound-s3-filenames.md)"


def test_an_object_replaced_since_the_listing_is_left_for_the_next_look(
    s3: S3, bucket: str
) -> None:
    send(s3, bucket, NAME, LINES)
    inbox = S3Inbox(f"s3://{bucket}")
    (found,) = inbox.files()
    send(s3, bucket, NAME, LINES * 2)

    with pytest.raises(FileNotFoundError), inbox.open(found):
        pass


def test_a_bucket_that_is_not_there_is_trouble_and_no_end(
    bench: Bench, s3: S3, bucket: str
) -> None:
    bench.configure(inboxes=("s3://not-there-yet", str(bench.inbox)))
    bench.put(NAME, LINES)

    assert [event.kind for event in bench.run()] == [Kind.TROUBLE, Kind.FILE_TAKEN]
    s3.create_bucket("not-there-yet")
    send(s3, "not-there-yet", f"{NAME}.2", LINES)
    assert Kind.FILE_TAKEN in [event.kind for event in bench.run()]


def test_files_from_ftp_are_renamed_when_read(bench: Bench, ftp_server: FtpServer) -> None:
    folder = ftp_server.root / uuid4().hex
    folder.mkdir()
    bench.configure(inboxes=(f"ftp-folder:{folder}",))
    with ftp_server.connect() as client:
        client.cwd(folder.name)
        for name in (f"{NAME}.1", f"ftp_dpm_20914_478_{T}.overwrite.2", f"{NAME}.3.tmp"):
            client.storbinary(f"STOR {name}", io.BytesIO(LINES))
        bench.run()
        client.rename(f"{NAME}.3.tmp", f"{NAME}.3")
        bench.run(at_once=True)
        listing = sorted(client.nlst())

    assert listing == [f"ftp_dpm_20914_478_{T}.processed.{split}" for split in (1, 2, 3)]
    assert marked([f"{NAME}.1", f"{NAME}.3"], listing) == {f"{NAME}.1", f"{NAME}.3"}
    assert bench.run(after_s=60) == []
    assert sorted(len(receipt.files) for receipt in bench.receipts()) == [1, 2]


def test_a_file_written_anew_before_it_was_renamed_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.configure(inboxes=(f"ftp-folder:{bench.inbox}",))
    bench.put(NAME, LINES)
    with monkeypatch.context() as patch:
        patch.setattr(type(bench.sandbox.ledger), "unmarked", lambda ledger: [])
        bench.run()
    bench.restart()
    bench.put(NAME, LINES * 2)

    bench.run()

    assert [entry.totals.records_received for entry in bench.sandbox.ledger.files()] == [1, 2]
    assert [path.name for path in bench.inbox.iterdir()] == [f"{NAME[:-4]}processed"]


@pytest.fixture
def mailbox(imap_server: ImapServer) -> str:
    """A mailbox of the test's own."""
    name = f"receipts {uuid4().hex[:8]}"
    with imap_server.connect() as client:
        client.create(f'"{name}"')
    return name


def url(server: ImapServer, mailbox: str) -> str:
    return f"imap://{server.user}@{server.host}:{server.port}/{mailbox}"


def fetch(server: ImapServer, mailbox: str) -> list[ReceiptMail]:
    with server.connect() as client:
        client.select(f'"{mailbox}"', readonly=True)
        numbers = client.search(None, "UNSEEN")[1][0].split()
        raws = [client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1] for number in numbers]
    return [read_receipt_mail(raw) for raw in raws]


def test_receipts_lie_unread_in_the_mailbox(
    bench: Bench, imap_server: ImapServer, mailbox: str
) -> None:
    bench.configure(mailboxes=(url(imap_server, mailbox),), mail_password=imap_server.password)
    bench.put(NAME, LINES)

    bench.run(at_once=True)

    (mail,) = fetch(imap_server, mailbox)
    assert mail.receipt.files == (NAME,)
    assert mail.receipt.stored_records == 1
    (sent,) = bench.sandbox.ledger.mails()
    assert mail.message_id == sent.message_id


def test_a_mail_sent_just_before_the_end_is_not_sent_again(
    bench: Bench, imap_server: ImapServer, mailbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    bench.configure(mailboxes=(url(imap_server, mailbox),), mail_password=imap_server.password)
    bench.put(NAME, LINES)
    with monkeypatch.context() as patch:
        patch.setattr(type(bench.sandbox.ledger), "set_sent", killed)
        with pytest.raises(Killed):
            bench.run(at_once=True)
    bench.restart()

    bench.run(after_s=60)

    assert len(fetch(imap_server, mailbox)) == 1
    assert [mail.sent_at is not None for mail in bench.sandbox.ledger.mails()] == [True]


def test_a_mail_that_never_went_out_goes_out_after_a_restart(
    bench: Bench, imap_server: ImapServer, mailbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError("connection refused")

    bench.configure(mailboxes=(url(imap_server, mailbox),), mail_password=imap_server.password)
    bench.put(NAME, LINES)
    with monkeypatch.context() as patch:
        patch.setattr(ImapMailbox, "put", away)
        assert bench.run(at_once=True)[-1].kind is Kind.TROUBLE
    bench.restart()

    bench.run(after_s=60)

    assert len(fetch(imap_server, mailbox)) == 1


def test_a_wrong_password_is_trouble_and_no_end(bench: Bench, imap_server: ImapServer) -> None:
    bench.configure(mailboxes=(url(imap_server, "INBOX"),), mail_password="wrong-password")
    bench.put(NAME, LINES)

    event = bench.run(at_once=True)[-1]

    assert event.kind is Kind.TROUBLE
    assert "wrong-password" not in str(event)


def test_receipts_can_be_raw_messages_in_a_bucket(bench: Bench, s3: S3, bucket: str) -> None:
    bench.configure(mailboxes=(f"s3://{bucket}/mail/raw", str(bench.mail)))
    bench.put(NAME, LINES)

    bench.run(at_once=True)

    (key,) = keys(s3, bucket)
    assert key.startswith("mail/raw/")
    raw = s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    assert read_receipt_mail(raw).receipt.files == (NAME,)
    assert bench.messages() == [raw]
    assert email.message_from_bytes(raw)["From"] == "aam-noreply@adobe.com"


def test_a_folder_for_mails_is_made(tmp_path: Path) -> None:
    mailbox = open_mailbox(str(tmp_path / "a" / "b"))

    mailbox.put("<../../etc/passwd@x>", b"raw", maybe_there=False)

    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [".._.._etc_passwd@x.eml"]


def test_a_mailbox_whose_password_is_not_ascii(tmp_path: Path) -> None:
    with imap_server_of(
        tmp_path, user="r\u00e9ception@acme.example", password="p\u00e4ss"
    ) as server:
        url = f"imap://{quote(server.user)}@{server.host}:{server.port}/INBOX"
        open_mailbox(url, password=server.password).put("<1@a>", b"a: b\r\n\r\n", maybe_there=False)
        assert server.count() == 1
