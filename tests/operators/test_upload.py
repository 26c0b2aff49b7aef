"""The upload operator on real servers, as Airflow runs it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow_am_provider.deliveries.connection import MAKE_ANEW
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.storage import LocalFolder
from demo.local.ftp import FtpServer
from demo.local.s3 import S3
from tests.connections import Connect
from tests.staged_deliveries import NAMES, content_of, stage

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.manifest import Manifest


def upload(manifest: object, conn_id: str) -> dict[str, Any]:
    operator = UploadOperator(task_id="upload", manifest=manifest, audience_manager_conn_id=conn_id)
    return operator.execute({})


def test_a_delivery_is_sent_and_described_for_the_sensor(
    s3: S3,
    bucket: str,
    staging: LocalFolder,
    conn_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    manifest = stage(staging, conn_id=conn_id)
    sent = upload(manifest.to_json(), conn_id)
    assert json.loads(json.dumps(sent)) == {
        "delivery_id": manifest.delivery_id,
        "kind": "data",
        "files": dict.fromkeys(NAMES, 1000),
        "rows_read": 2005,
        "rows_written": 2000,
        "rows_set_aside": 5,
        "destination": f"s3://{bucket}/acme",
        "destination_name": f"custom/s3://{bucket}/acme",
        "target": "478",
        "day": sent["day"],
        "begun_at": sent["begun_at"],
        "sending": 1,
        "counted": [],
        "sent_at": sent["sent_at"],
        "staging": staging.url,
        "location": "deliveries/data/0123456789abcdef0123",
        "manifest": "deliveries/data/0123456789abcdef0123/manifest.json",
        "window": {
            "start": "2026-11-04T00:00:00+00:00",
            "end": "2026-11-05T00:00:00+00:00",
        },
    }
    for name in NAMES:
        key = f"acme/date={sent['day']}/{name}"
        body = s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        assert body == content_of(name)
        assert f"s3://{bucket}/{key}: 0.2 MB in " in caplog.text
    road = f"environment custom, transport s3, connection {conn_id}"
    assert f"Sending 2 files, 0.4 MB, to s3://{bucket}/acme ({road})" in caplog.text
    assert (
        f"Sent delivery {manifest.delivery_id}: 2 files, 2,000 lines, 0.4 MB, to "
        f"s3://{bucket}/acme ({road}) at {sent['sent_at']}; this task took " in caplog.text
    )
    assert "2,005 rows read = 2,000 rows written + 5 rows set aside" in caplog.text
    assert caplog.messages[-1] == (
        f"Delivery {manifest.delivery_id} is sent: 2 files to s3://{bucket}/acme, 2,000 lines "
        f"(2,005 rows read = 2,000 rows written + 5 rows set aside). Next: nothing, this is the "
        f"last task."
    )


def test_a_cleared_task_gives_the_same_answer_and_sends_nothing(
    s3: S3,
    bucket: str,
    staging: LocalFolder,
    conn_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    manifest = stage(staging, conn_id=conn_id)
    first = upload(manifest.to_json(), conn_id)
    client = s3.client()
    for name in NAMES:
        client.delete_object(Bucket=bucket, Key=f"acme/date={first['day']}/{name}")
    caplog.clear()
    assert upload(json.dumps(manifest.to_json()), conn_id) == first
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    assert "nothing is left to send" in caplog.text
    assert "Sending" not in caplog.text


def test_ftp_when_the_connection_says_so(
    ftp_server: FtpServer,
    staging: LocalFolder,
    tmp_path: Path,
    connect: Connect,
    audience_manager: Connect,
) -> None:
    directory = ftp_server.root / tmp_path.name
    directory.mkdir()
    conn_id = audience_manager(
        environment="custom",
        transport="ftp",
        ftp_conn_id=connect(ftp_server.airflow_connection()),
        ftp_directory=f"/{directory.name}",
        staging_location=staging.url,
    )
    sent = upload(stage(staging, conn_id=conn_id).to_json(), conn_id)
    assert sent["destination"] == f"ftp://127.0.0.1/{directory.name}"
    found = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert found == {name: content_of(name) for name in NAMES}


def test_nothing_to_send_is_a_skip(staging: LocalFolder, conn_id: str) -> None:
    manifest = stage(staging, conn_id=conn_id).to_json()
    empty = manifest | {
        "parts": [],
        "rows_read": 5,
        "rows_written": 0,
    }
    with pytest.raises(AirflowSkipException) as caught:
        upload(empty, conn_id)
    assert str(caught.value) == (
        "Delivery 0123456789abcdef0123 has no parts: of 5 rows read none was written and 5 were "
        "set aside, so there is nothing to send"
    )


def test_a_damaged_part_fails_without_a_retry(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    manifest = stage(staging, conn_id=conn_id)
    for part in manifest.parts:
        staging.write_bytes(part.path, b"\x00" * part.compressed_bytes)
    with pytest.raises(AirflowFailException, match="nothing of it was sent under its name"):
        upload(manifest.to_json(), conn_id)
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)


def test_a_silent_server_fails_with_a_retry(
    staging: LocalFolder, connect: Connect, audience_manager: Connect
) -> None:
    aws = connect(
        {
            "conn_type": "aws",
            "login": "planted-key",
            "password": "planted-secret",
            "extra": {
                "endpoint_url": "http://127.0.0.1:9",
                "config_kwargs": {"retries": {"max_attempts": 0}},
            },
        }
    )
    conn_id = audience_manager(
        environment="custom",
        bucket="sandbox",
        partner_name="acme",
        aws_conn_id=aws,
        staging_location=staging.url,
    )
    with pytest.raises(AirflowException) as caught:
        upload(stage(staging, conn_id=conn_id).to_json(), conn_id)
    assert not isinstance(caught.value, AirflowFailException)
    assert f"with connection {aws!r} (aws_conn_id of {conn_id!r}): no answer from " in str(
        caught.value
    )
    assert str(caught.value).endswith(
        "http://127.0.0.1:9 (EndpointConnectionError); is endpoint_url in its extra right, and "
        "does the server there run?"
    )
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("manifest", [None, "", "{}", {"version": 1}, []])
def test_something_else_than_a_manifest(manifest: object, conn_id: str) -> None:
    with pytest.raises(AirflowFailException, match=r"^manifest: "):
        upload(manifest, conn_id)


def test_a_manifest_of_another_staging(staging: LocalFolder, tmp_path: Path, conn_id: str) -> None:
    elsewhere: Manifest = stage(LocalFolder(tmp_path / "elsewhere"))
    with pytest.raises(AirflowFailException) as caught:
        upload(elsewhere.to_json(), conn_id)
    assert str(caught.value) == (
        f"manifest 0123456789abcdef0123 was staged at {tmp_path}/elsewhere, but the connection "
        f"{conn_id!r} has the staging location {staging.url}. {MAKE_ANEW}"
    )


def test_a_wrong_bucket_is_mended_by_formatting_anew(
    s3: S3,
    bucket: str,
    staging: LocalFolder,
    tmp_path: Path,
    connect: Connect,
    audience_manager: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "crm.csv").write_text("customer,traits\nann,24\n")
    fields = {
        "environment": "custom",
        "bucket": f"{bucket}-mistyped",
        "partner_name": "acme",
        "aws_conn_id": connect(s3.airflow_connection()),
        "staging_location": staging.url,
    }
    conn_id = audience_manager(**fields)
    format_data = FormatDataFileOperator(
        task_id="format",
        audience_manager_conn_id=conn_id,
        source=str(tmp_path / "crm.csv"),
        dpid=478,
        id_column="customer",
        traits_column="traits",
        window_start="2026-11-04",
        window_end="2026-11-05",
    )
    context: Any = {"dag_run": SimpleNamespace(dag_id="am"), "run_id": "manual__1"}
    made = format_data.execute(context)
    with pytest.raises(AirflowFailException, match="there is no such bucket"):
        upload(made, conn_id)
    mended = json.dumps({"conn_type": "audience_manager", "extra": {**fields, "bucket": bucket}})
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", mended)
    with pytest.raises(AirflowFailException) as caught:
        upload(made, conn_id)
    assert str(caught.value) == (
        f"manifest {made['delivery_id']} was made for 'custom/s3://{bucket}-mistyped/acme', but "
        f"the connection {conn_id!r} leads to 'custom/s3://{bucket}/acme' now. {MAKE_ANEW}. "
        f"am/format formatted it. The old delivery is given up by airflow-am deliveries abandon "
        f"{made['delivery_id']} --reason 'wrong destination' --conn-id {conn_id}"
    )
    assert "clear the task that formatted it instead" in UploadOperator.next_after_failure
    assert "clear the task that formatted it" in MAKE_ANEW
    assert upload(format_data.execute(context), conn_id)["destination"] == f"s3://{bucket}/acme"
