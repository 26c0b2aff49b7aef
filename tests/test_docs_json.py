"""The documentation: every field of every JSON document stands there."""

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime

import pytest

from airflow_am_provider.audience_manager.names import parse_file_name
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.audience_manager.receipts.reconciliation import reconcile
from airflow_am_provider.cli.sources import Source
from airflow_am_provider.cli.verdict import Verdict as FileVerdict
from airflow_am_provider.cli.verdict import name_elements
from airflow_am_provider.deliveries.acknowledgement import AcknowledgementStatus
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.receipt_report import ReceiptReport
from airflow_am_provider.deliveries.signs import AcknowledgedBy
from airflow_am_provider.deliveries.target.document import to_text
from airflow_am_provider.deliveries.target.state import (
    DeliveryEntry,
    Extract,
    Sending,
    SnapshotSeries,
    TargetState,
)
from airflow_am_provider.deliveries.uploads.record import UploadedPart, UploadRecord
from airflow_am_provider.deliveries.uploads.result import UploadResult, upload_json
from airflow_am_provider.snapshots.comparison import Counts
from airflow_am_provider.snapshots.snapshot_file import LISTS
from tests.docs_pages import (
    codes,
    first_codes,
    page,
    rows,
    section,
)

NAME = "ftp_dpm_478_1366545717.sync"


@pytest.fixture
def manifest():
    part = Part(path="p", file_name=NAME, lines=2, bytes=9, compressed_bytes=9, sha256="0" * 64)
    return Manifest(
        delivery_id="0a1b", kind="data", staging="/staging", location="deliveries/data/0a1b",
        destination="production/acme", removes=False,
        rows_read=2, rows_written=2, rows_set_aside=0, created_at="2026-11-24T00:00:00+00:00",
        parts=(part,),
    )  # fmt: skip


@pytest.fixture
def sent(manifest):
    moment = "2026-11-24T00:00:00+00:00"
    sending = Sending(
        number=1, url="s3://b/acme", day="2026-11-24", begun=2, begun_at=moment, sent_at=moment
    )
    return upload_json(manifest, UploadRecord(delivery_id="0a1b", sending=sending))


def test_fields_of_the_manifest_stand_there(manifest):
    told = rows(section(page("manifest.md"), "## manifest.json"), "field")
    names = [name for row in told for name in codes(row["field"])]
    assert set(names) == set(manifest.to_json())
    of_parts = next(row["meaning"] for row in told if codes(row["field"]) == ["parts"])
    assert set(codes(of_parts)) == set(manifest.to_json()["parts"][0])


def test_fields_that_the_upload_returns_stand_there(sent):
    told = rows(section(page("operators.md"), "## UploadOperator"), "field")
    assert {name for row in told for name in codes(row["field"])} == set(sent)


def test_fields_of_the_reconciliation_stand_there(sent):
    delivery = UploadResult.from_json(sent)
    found = reconcile(delivery.files, [], rows_read=2, rows_written=2, rows_set_aside=0)
    status = AcknowledgementStatus(
        delivery=delivery, reconciliation=found, signs=(), acknowledged_by=AcknowledgedBy.COUNTED
    )
    heading = "## The reconciliation, field by field"
    told = first_codes(section(page("receipts.md"), heading), "field")
    assert set(told) == set(ReceiptReport.of(status, {}).to_json())


def test_json_fields_of_the_command_line_stand_there():
    text = page("cli.md")
    source = Source(path=NAME, file_name=NAME, size=0, open=lambda: pytest.fail("not read"))
    verdict = FileVerdict(source=source)
    told = first_codes(section(text, "### JSON of check"), "field")
    assert set(told) == set(verdict.to_json())
    for name, row in zip(
        (NAME, "adobe_id_0_12345_1476312152.sync", "ftp_dpm_odc_21_1234567890.sync"),
        rows(text, "`name` of"),
        strict=True,
    ):
        elements = name_elements(parse_file_name(name))
        assert set(codes(row["elements"])) - {"odc"} == set(elements), name
    mail = Receipt(paths=(NAME,), records_received=1, job_start=datetime(2026, 11, 24, tzinfo=UTC))
    told = first_codes(section(text, "### JSON of receipt"), "field")
    assert told == list(mail.to_json())


def test_fields_of_a_profile_stand_there():
    printed = next(
        line
        for line in page("sandbox.md").splitlines()
        if line.startswith('{"dpid": 478, "id": "bob"')
    )
    assert first_codes(section(page("sandbox.md"), "## Options"), "field") == list(
        json.loads(printed)
    )


def told_fields(heading):
    return [name for row in rows(section(page("manifest.md"), heading), "field")
            for name in codes(row["field"])]  # fmt: skip


def test_fields_of_a_targets_document_stand_there():
    entry = DeliveryEntry(
        delivery_id="0a1b", content_id="0a1b", location="", name="ftp_dpm_478", timestamp=1,
        mode=None, removes=False, series="", subject="", staged=1,
    )  # fmt: skip
    state = TargetState().with_entry(entry)
    document = json.loads(to_text(state, "production/acme", "478"))
    assert told_fields("### What stands in it") == list(document)
    assert told_fields("### A delivery's entry") == list(document["entries"][0])
    for heading, described in (
        ("### A sending", Sending),
        ("### A series of snapshots", SnapshotSeries),
        ("### An extract", Extract),
        ("### The note of a part", UploadedPart),
    ):
        assert told_fields(heading) == [field.name for field in fields(described)], heading


def test_columns_of_a_snapshot_and_its_counts_stand_there():
    told = section(page("manifest.md"), "## Snapshots")
    assert first_codes(told, "column") == ["id", *LISTS]
    extract = section(page("manifest.md"), "### An extract")
    counts = next(
        row["meaning"] for row in rows(extract, "field") if codes(row["field"]) == ["counts"]
    )
    numbers = [name for name, count in asdict(Counts()).items() if isinstance(count, int)]
    assert codes(counts) == numbers
