"""``airflow-am receipt``: saved messages and texts, a delivery held against them."""

import json

import pytest

from airflow_am_provider.cli import main
from tests.audience_manager.receipts.receipt_samples import (
    PUBLISHED_FILES,
    PUBLISHED_HTML,
    PUBLISHED_JSON,
    PUBLISHED_TEXT,
    PUBLISHED_WARNING,
)

SENDER = "From: Adobe <aam-noreply@adobe.com>\n"
SUBJECT = "Subject: Adobe Audience Manager Server-To-Server Processing Result:\n"
NAME = "ftp_dpm_478_1366545717.sync.gz"
TEXT = f"File name: s3n://b/2018-05-17/{NAME}\nRecords received: {{}}\nFormat Errors: 0\n"
OTHER = "File name: ftp_dpm_7_1366545717.sync\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def manifest(folder):
    path = folder / "manifest.json"
    path.write_text(
        json.dumps(
            {
                "version": 1,
                "delivery_id": "abc",
                "kind": "data",
                "staging": str(folder),
                "location": ".",
                "rows_read": 1001,
                "rows_written": 1000,
                "rows_set_aside": 1,
                "set_aside_by_reason": {"id_colon": 1},
                "created_at": "2026-11-23T00:00:00+00:00",
                "parts": [
                    {
                        "path": NAME,
                        "file_name": NAME,
                        "lines": 1000,
                        "bytes": 9000,
                        "compressed_bytes": 3000,
                        "sha256": "0" * 64,
                    }
                ],
            }
        )
    )
    return path


def read(capsys, *argv: str) -> dict:
    assert main(["receipt", "--json", *argv]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_the_published_receipt_as_json(folder, capsys):
    (folder / "receipt.txt").write_text(PUBLISHED_TEXT)
    assert read(capsys, "receipt.txt") == {
        "receipts": [PUBLISHED_JSON],
        "reconciliation": None,
    }


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        (PUBLISHED_TEXT.encode(), []),
        (PUBLISHED_TEXT.encode("utf-16"), []),
        (b"\xef\xbb\xbf" + PUBLISHED_TEXT.replace("\n", "\r\n").encode(), []),
        (f"{SENDER}{SUBJECT}\n{PUBLISHED_TEXT}".encode(), []),
        (
            f"From: joe@example.com\nSubject: fwd\n\n{PUBLISHED_TEXT}".encode(),
            ["the message is not Adobe's own: not from aam-noreply@adobe.com"],
        ),
        (
            f"{SENDER}Subject: hello\n\n{PUBLISHED_TEXT}".encode(),
            [
                (
                    "the message is not Adobe's own: subject does not begin with 'Adobe Audience "
                    "Manager Server-To-Server Processing Result'"
                )
            ],
        ),
        (
            f"{SENDER}From: joe@example.com\n{SUBJECT}\n{PUBLISHED_TEXT}".encode(),
            [
                (
                    "the message is not Adobe's own: message from aam-noreply@adobe.com with 2 "
                    "From and 1 Subject headers; a message has one of each (RFC 5322)"
                )
            ],
        ),
        (
            (
                f"Authentication-Results: mx; dmarc=fail header.from=adobe.com\n{SENDER}{SUBJECT}"
                f"\n{PUBLISHED_TEXT}"
            ).encode(),
            ["the mail server found that the message is not from its sender"],
        ),
        (
            (
                "From: joe@example.com\nSubject: Fwd: receipt\n"
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
                f"Content-Type: message/rfc822\n\n{SENDER}{SUBJECT}\n{PUBLISHED_TEXT}\n--b--\n"
            ).encode(),
            ["the message was forwarded, so a person vouches for it, and not Adobe"],
        ),
    ],
    ids=["text", "utf-16", "windows", "mail", "sender", "subject", "two", "dmarc", "forwarded"],
)
def test_a_receipt_saved_by_hand_is_read_and_its_origin_told(folder, capsys, content, warnings):
    (folder / "saved").write_bytes(content)
    (receipt,) = read(capsys, "saved")["receipts"]
    assert receipt["files"] == list(PUBLISHED_FILES)
    assert receipt["warnings"] == [*warnings, PUBLISHED_WARNING]


def test_saved_html_is_read(folder, capsys):
    (folder / "receipt.html").write_text(PUBLISHED_HTML)
    (receipt,) = read(capsys, "receipt.html")["receipts"]
    assert (receipt["files"], receipt["records_received"]) == (list(PUBLISHED_FILES[:2]), 40669900)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "no file name under 'File name' (inbound-receipt-message.md)"),
        (b"", "no file name under 'File name' (inbound-receipt-message.md)"),
        (
            f"{SENDER}{SUBJECT}\nhello".encode(),
            "no file name under 'File name' (inbound-receipt-message.md)",
        ),
        (bytes(6_000_000), "more than 5,242,880 bytes; a receipt has a few thousand"),
    ],
    ids=["text", "empty", "mail", "large"],
)
def test_a_file_without_a_receipt_is_said_and_exits_1(folder, capsys, content, reason):
    (folder / "other").write_bytes(content)
    (folder / "receipt.txt").write_text(PUBLISHED_TEXT)
    assert main(["receipt", "--json", "other", "receipt.txt"]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"airflow-am: 'other' holds no receipt: {reason}\n"
    assert len(json.loads(printed.out)["receipts"]) == 1


@pytest.mark.parametrize(
    ("text", "code", "verdict"),
    [
        (TEXT.format(1000), 0, "reconciled"),
        (TEXT.format(999), 1, "discrepant"),
        (TEXT.format(1001), 1, "discrepant"),
        (TEXT.format(1000).replace("_478_", "_479_"), 1, "pending"),
        (f"{OTHER}{TEXT.format(5000)}", 0, "shared"),
        (f"File name: {NAME}\nFormat Errors: 0\n", 1, "uncounted"),
    ],
)  # fmt: skip
def test_a_delivery_is_held_against_receipts(manifest, folder, capsys, text, code, verdict):
    (folder / "receipt.txt").write_text(text)
    result = main(["receipt", "receipt.txt", "--manifest", str(manifest), "--json"])
    reconciliation = json.loads(capsys.readouterr().out)["reconciliation"]
    assert (reconciliation["verdict"], result) == (verdict, code)
    assert reconciliation["rows_read"] == 1001


def test_a_report_for_people(manifest, folder, capsys):
    (folder / "receipt.txt").write_text(f"Dear Adobe Partner: (ID:7)\n{TEXT.format(1000)}")
    assert main(["receipt", "receipt.txt", "--manifest", str(manifest)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Receipt of partner 7",
        f"  s3n://b/2018-05-17/{NAME}",
        "  Records received  1,000",
        "  Format Errors         0",
        "",
        "Delivery of 1 file, 1,000 lines: reconciled",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("hello", "manifest: not JSON: Expecting value: line 1 column 1 (char 0)"),
        (
            "[]",
            "manifest: an object was expected, not list; pass what a format operator returned",
        ),
    ],
)
def test_another_file_than_a_manifest_is_wrong_use(folder, capsys, content, sentence):
    (folder / "receipt.txt").write_text(PUBLISHED_TEXT)
    (folder / "m.json").write_text(content)
    assert main(["receipt", "receipt.txt", "--manifest", "m.json"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"airflow-am: {sentence}\n")


def test_the_table_says_how_no_match_is_read(folder, capsys):
    (folder / "receipt.txt").write_text(
        f"File name: {NAME}\nRecords received: 9\nNo Matching AAM ID: 4\n"
    )
    for arguments, said in ([], "4  unknown"), (["--cross-device", "478"], "4  stored"):
        assert main(["receipt", *arguments, "receipt.txt"]) == 0
        assert f"No Matching AAM ID      {said}\n" in capsys.readouterr().out
