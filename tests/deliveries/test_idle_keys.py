"""Keys that Adobe will switch off: who is warned, when, and by what it goes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.uploads.idle_keys import idle_warning, note_use
from airflow_am_provider.deliveries.uploads.sending import enter_queue, send_delivery
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.storage import LocalFolder
from demo.local.s3 import S3
from tests.connections import Connect
from tests.staged_deliveries import stage

USED = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def hook(
    s3: S3, connect: Connect, audience_manager: Connect, staging: LocalFolder
) -> AudienceManagerHook:
    """Adobe's beta bucket, as far as that server knows."""
    s3.create_bucket("demdex-s2s-clients-sandbox-us-east-1")
    aws = connect(s3.airflow_connection())
    return AudienceManagerHook(
        audience_manager(partner_name="acme", aws_conn_id=aws, staging_location=staging.url)
    )


def notes(staging: LocalFolder) -> list[Any]:
    paths = [entry.path for entry in staging.list("destinations/")]
    return [json.loads(staging.read_bytes(path) or b"") for path in paths]


def upload(hook: AudienceManagerHook, staging: LocalFolder, name: str, at: datetime) -> None:
    content = {f"ftp_dpm_478_{name}.sync.gz": name.encode()}
    manifest = stage(staging, content, delivery_id=name * 2, conn_id=hook.audience_manager_conn_id)
    enter_queue(hook, manifest, in_order=False)
    send_delivery(hook, manifest, in_order=False, clock=lambda: at)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (79, None),
        (80, "on 2026-06-09 Adobe disables them (faq/faq-data-collection.md); send a delivery"),
        (99, "on 2026-06-09 Adobe disables them (faq/faq-data-collection.md); send a delivery"),
        (100, "which was on 2026-06-09; ask Adobe for new ones if they are refused"),
    ],
)
def test_the_warning_names_the_day(hook: AudienceManagerHook, days: int, said: str | None) -> None:
    assert idle_warning(hook, USED) is None
    note_use(hook, USED)
    warning = idle_warning(hook, USED + timedelta(days=days))
    assert (warning is None) == (said is None)
    if warning is not None and said is not None:
        assert said in warning
        assert f"beta/acme from here for {days} days, since 2026-03-01" in warning


def test_an_upload_warns_and_notes_that_it_used_them(
    hook: AudienceManagerHook, staging: LocalFolder, caplog: pytest.LogCaptureFixture
) -> None:
    upload(hook, staging, "1366545717", USED)
    assert "Keys:" not in caplog.text
    assert notes(staging) == [{"destination": "beta/acme", "keys_last_used_on": "2026-03-01"}]
    later = USED + timedelta(days=85)
    upload(hook, staging, "1366545718", later)
    assert "Keys: nothing was sent to beta/acme from here for 85 days" in caplog.text
    # One note a destination, however many deliveries.
    assert notes(staging) == [{"destination": "beta/acme", "keys_last_used_on": "2026-05-25"}]
    assert idle_warning(hook, later) is None


def test_a_test_of_the_connection_warns(hook: AudienceManagerHook) -> None:
    note_use(hook, datetime.now(UTC) - timedelta(days=90))
    holds, said = hook.test_connection()
    assert holds, said
    assert "is there. Keys: nothing was sent to beta/acme from here for 90 days" in said


def test_a_note_that_cannot_be_written_fails_nothing(
    hook: AudienceManagerHook,
    staging: LocalFolder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write_bytes(*_: object) -> None:
        raise TransientError("the disk is full")

    monkeypatch.setattr(LocalFolder, "write_bytes", write_bytes)
    note_use(hook, USED)
    assert "the disk is full" in caplog.text


def test_a_bucket_of_ones_own_has_no_such_keys(conn_id: str, staging: LocalFolder) -> None:
    upload(AudienceManagerHook(conn_id), staging, "1366545717", USED)
    assert notes(staging) == []
