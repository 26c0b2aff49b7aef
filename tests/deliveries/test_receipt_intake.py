"""Which messages count for a delivery: whose partner, whose word, and how much of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.deliveries import receipt_intake
from airflow_am_provider.deliveries.receipt_intake import MAX_TOLD, ReceiptIntake
from airflow_am_provider.deliveries.uploads.result import UploadResult
from airflow_am_provider.hooks.mailbox import Mail
from airflow_am_provider.hooks.settings import ConnectionSettings
from tests.own_log import own_messages

NAME = "ftp_dpm_7_1366545717.sync.gz"
OTHER = "ftp_dpm_7_1366545718.sync.gz"
SUBJECT = "Adobe Audience Manager Server-To-Server Processing Result:"
NOW = datetime(2026, 11, 5, tzinfo=UTC)
PASS = "Authentication-Results: mx.acme.example; dkim=pass header.d=adobe.com\r\n"


def delivery(name: str = NAME) -> UploadResult:
    return UploadResult(
        delivery_id=f"d-{name}",
        files={name: 5},
        rows_read=5,
        rows_written=5,
        rows_set_aside=0,
        destination="s3://b/acme",
        destination_name="production/acme",
        target="478",
        day=NOW.date(),
        begun_at=NOW,
        sent_at=NOW,
        staging="/s",
        location="l",
        document={},
    )


def intake(*deliveries: UploadResult, **extra: str) -> ReceiptIntake:
    settings = ConnectionSettings.parse(
        {"partner_name": "acme", "staging_location": "/s", **extra}, "am"
    )
    return ReceiptIntake(settings, deliveries or (delivery(),))


def mail(*names: str, headers: str = "", partner: int | None = 7, **counts: int) -> Mail:
    counts = counts or {"records_received": 5}
    receipt = Receipt(paths=names or (NAME,), partner_id=partner, **counts)
    raw = f"{headers}From: aam-noreply@adobe.com\r\nSubject: {SUBJECT}\r\n\r\n{receipt}"
    return Mail(f"imap:{id(raw)}", raw.encode())


def partners(found: ReceiptIntake) -> list[int | None]:
    return [receipt.partner_id for receipt in found.receipts_of(delivery())]


def test_a_receipt_of_another_partner_never_counts(caplog: pytest.LogCaptureFixture) -> None:
    found = intake(receipts_partner_id="7")
    found.take(mail(partner=8))
    assert partners(found) == []
    assert "receipt of partner 8; receipts_partner_id is 7" in caplog.text
    assert found.refusals == (
        "1 message not taken as a receipt, at last: receipt of partner 8; receipts_partner_id is 7"
    )
    found.take(mail(partner=7))
    assert partners(found) == [7]


def test_leading_zeros_make_no_other_partner() -> None:
    found = intake(receipts_partner_id="007")
    found.take(mail(partner=7))
    assert partners(found) == [7]


def test_a_receipt_that_greets_nobody_counts_and_says_so() -> None:
    found = intake(receipts_partner_id="7", receipts_authserv_id="mx.acme.example")
    found.take(mail(partner=None, headers=PASS))
    (receipt,) = found.receipts_of(delivery())
    assert receipt.warnings == ("it greets no partner, and receipts_partner_id is 7",)


def test_without_the_setting_receipts_that_greet_different_partners_do_not_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = intake()
    found.take(mail(partner=7))
    assert partners(found) == [7]
    assert "receipts of any partner count; this one greets 7" in caplog.text
    found.take(mail(partner=8))
    assert partners(found) == []
    assert "greet different partners, 7, 8, so none of them counts" in caplog.text
    assert "fill in receipts_partner_id" in caplog.text


def test_partners_of_other_deliveries_do_not_matter() -> None:
    found = intake(delivery(), delivery(OTHER))
    found.take(mail(NAME, partner=7))
    found.take(mail(OTHER, partner=8))
    assert partners(found) == [7]


def test_receipts_of_other_deliveries_are_neither_kept_nor_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = intake()
    found.take(mail(OTHER))
    assert found._receipts == {}
    assert own_messages(caplog) == []


def test_mail_that_nobody_vouches_for_is_taken_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = intake()
    found.take(mail())
    found.take(mail())
    (first, _) = found.receipts_of(delivery())
    doubt = "anybody may have sent it: the mail server says nothing of the sender"
    assert first.warnings == (doubt,)
    assert caplog.text.count(f"Taken as a receipt, but {doubt}") == 1
    assert caplog.text.count("receipts_authserv_id of the connection is empty") == 1


@pytest.mark.parametrize("results", ["spf=fail", "dmarc=temperror", "compauth=fail", "dkim=none"])
def test_by_default_a_server_that_gives_verdicts_must_vouch(results: str) -> None:
    found = intake()
    found.take(mail(headers=f"Authentication-Results: mx.acme.example; {results}\r\n"))
    assert partners(found) == []
    assert found.refusals.startswith("1 message not taken as a receipt, at last: message with a ")
    assert results in found.refusals


def test_once_the_server_has_a_name_mail_without_its_word_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = intake(receipts_authserv_id="mx.acme.example", receipts_partner_id="7")
    found.take(mail())
    assert partners(found) == []
    caplog.clear()
    found.take(mail(headers=PASS))
    assert partners(found) == [7]
    assert own_messages(caplog) == []


def test_what_is_ignored_is_told() -> None:
    found = intake(receipts_authentication="ignore")
    found.take(mail(headers="Authentication-Results: mx.acme.example; dmarc=fail\r\n"))
    (receipt,) = found.receipts_of(delivery())
    assert receipt.warnings == (
        "anybody may have sent it: the mail server says dmarc=fail of the sender",
    )


def test_many_forged_messages_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    found = intake(receipts_partner_id="7")
    for number in range(1_000):
        found.take(mail(partner=1_000 + number))
    assert caplog.text.count("Not taken as a receipt") == MAX_TOLD
    assert found.refused_count == 1_000
    assert "1,000 messages not taken" in found.refusals


def test_receipts_of_many_names_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipt_intake, "MAX_LISTED_NAMES", 100)
    names = [f"ftp_dpm_7_{number}.sync" for number in range(1_000_000_000, 1_000_000_059)]
    found = intake()
    found.take(mail(NAME, *names))
    found.take(mail(NAME, *names, records_received=6))
    assert len(found.receipts_of(delivery())) == 1
    assert found.refusals.endswith("receipts list more than 100 files in all")


def test_who_waits_learns_what_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    found: Any = intake(receipts_partner_id="7")
    assert found.refusals == ""
    found.take(Mail("a", b"From: a@b\r\nSubject: x\r\n\r\n"))
    assert found.refusals == ""
    assert own_messages(caplog) == []


@pytest.mark.parametrize(("end", "is_told"), [(NOW.replace(year=2020), True), (NOW, False)])
def test_a_job_that_ended_before_the_sending_is_told(
    caplog: pytest.LogCaptureFixture, end: datetime, is_told: bool
) -> None:
    found = intake()
    times: Any = {"job_end": end, "records_received": 5}
    found.take(mail(**times))
    (receipt,) = found.receipts_of(delivery())
    sentence = f"its job ended at {end:%Y-%m-%d %H:%M} UTC, before sending began"
    assert (sentence in receipt.warnings, sentence in caplog.text) == (is_told, is_told)
