"""Upload and deferred sensor in a real Airflow whose connections are in its database.

That is where a trigger asks for connections from within a thread, which tests with connections in
the environment never do.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.storage import LocalFolder
from demo.local.airflow import Airflow
from demo.local.imap import ImapServer
from demo.local.s3 import S3
from tests.staged_deliveries import NAMES, stage

pytestmark = pytest.mark.slow


def lineage_event(path: Path, job: str) -> dict[str, Any]:
    """What OpenLineage was told when a task had ended: perhaps a moment after its state."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for line in path.read_text().splitlines():
            event: dict[str, Any] = json.loads(line)
            if (event["eventType"], event["job"]["name"]) == ("COMPLETE", job):
                return event
        time.sleep(0.5)
    raise AssertionError(f"nothing was told of {job}")


def wait_for_state(running: Airflow, run_id: str, state: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        tasks = running.api.task_instances("receipt", run_id)
        (found,) = (task["state"] for task in tasks if task["task_id"] == "receipt")
        if found == state:
            return
        assert found != "failed", running.api.task_log("receipt", run_id, "receipt")
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_a_receipt_ends_the_wait_in_the_triggerer(
    local_airflow: Airflow,
    s3: S3,
    bucket: str,
    imap_server: ImapServer,
    lineage_file: Path,
    tmp_path: Path,
) -> None:
    staging = LocalFolder(tmp_path / "staging")
    sender = "in-airflow@adobe.example"
    local_airflow.api.add_connection("local_s3", s3.airflow_connection())
    local_airflow.api.add_connection("local_imap", imap_server.airflow_connection())
    extra = {
        "environment": "custom",
        "bucket": bucket,
        "partner_name": "acme",
        "aws_conn_id": "local_s3",
        "staging_location": staging.url,
        "receipts_imap_conn_id": "local_imap",
        "receipts_sender": sender,
    }
    local_airflow.api.add_connection("am", {"conn_type": "audience_manager", "extra": extra})
    manifest = stage(staging, destination=f"custom/s3://{bucket}/acme")

    run_id = local_airflow.api.trigger("receipt", conf={"manifest": manifest.to_json()})
    wait_for_state(local_airflow, run_id, "deferred")
    receipt = Receipt(paths=NAMES, records_received=2000)
    imap_server.append(
        f"From: {sender}\r\nSubject: Adobe Audience Manager Server-To-Server Processing Result:"
        f"\r\n\r\n{receipt}".encode()
    )
    assert local_airflow.api.wait_for_run("receipt", run_id) == "success"
    result = local_airflow.api.xcom("receipt", run_id, "receipt")
    assert (result["verdict"], result["lines_sent"]) == ("reconciled", 2000)
    log = local_airflow.api.task_log("receipt", run_id, "receipt")
    assert "receipts: 2 of 2 files counted; markers: none of 2 files; acknowledged" in log
    # Lines sent, records received, records stored, no match, match rate, verdict.
    assert "2,000 2,000 not known not known - reconciled" in " ".join(log.split())
    for secret in (s3.secret_key, imap_server.password):
        assert secret not in log
        assert secret not in local_airflow.api.task_log("receipt", run_id, "upload")
    for task in ("upload", "receipt"):
        event = lineage_event(lineage_file, f"receipt.{task}")
        assert [one["name"].rpartition("/")[2] for one in event["inputs"]] == ["ftp_dpm_478.sync"]
        assert [one["name"] for one in event["outputs"]] == ["478"]
        (counts,) = event["run"]["facets"]["audience_manager"]["deliveries"]
        assert counts["rows_written"] == 2000
