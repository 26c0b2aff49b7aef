"""``airflow-am deliveries``: the record, as a person and as a machine reads it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_am_provider.cli import main
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.storage import LocalFolder
from demo.local.airflow import Airflow
from demo.local.s3 import S3
from tests.staged_deliveries import NAMES, content_of, send, stage

CONTEXT: Any = {}
FIRST = "0123456789abcdef0123"


@pytest.fixture
def sent(staging: LocalFolder, conn_id: str) -> None:
    destination = AudienceManagerHook(conn_id).destination_name
    for delivery_id in (FIRST, "aaaa"):
        names = NAMES if delivery_id == FIRST else ["ftp_dpm_478_567_1366545719.sync.gz"]
        manifest = stage(
            staging,
            {name: content_of(name) for name in names},
            delivery_id=delivery_id,
            destination=destination,
        )
    UploadOperator(
        task_id="upload",
        manifest=staging.read_bytes(f"deliveries/data/{FIRST}/manifest.json"),
        audience_manager_conn_id=conn_id,
    ).execute(CONTEXT)
    assert manifest.delivery_id == "aaaa"


def out(capsys: pytest.CaptureFixture[str], *argv: str, exit_code: int = 0) -> str:
    assert main(["deliveries", *argv]) == exit_code
    captured = capsys.readouterr()
    return captured.out if exit_code == 0 else captured.err


@pytest.mark.usefixtures("sent")
def test_a_list_says_how_far_each_came(
    staging: LocalFolder, conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for where in (["--staging", staging.url], ["--conn-id", conn_id]):
        printed = out(capsys, "list", *where)
        first, second, total = printed.splitlines()[1:]
        assert first.split()[:6] == [FIRST, "478", "2026-11-04", "to", "2026-11-05", "sent"]
        rows, lines, records = ["2,005", "2,000", "5"], ["-"], ["-", "-"]
        assert first.split()[-8:] == [*rows, *lines, *records, "-", "1"]
        assert second.split()[-1] == "0"
        assert second.split()[:2] + second.split()[5:6] == ["aaaa", "567", "staged"]
        assert total == "2 in all, 1 outstanding"


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--state", "outstanding"], [FIRST]),
        (["--state", "staged", "--state", "sent"], [FIRST, "aaaa"]),
        (["--target", "567"], ["aaaa"]),
        (["--state", "failed"], []),
        (["--dag", "daily"], [FIRST, "aaaa"]),
        (["--dag", "dail"], []),
        (["--since", "2026-11-05"], [FIRST, "aaaa"]),
        (["--since", "2026-11-05T01:00:00+00:00"], [FIRST, "aaaa"]),
        (["--since", "2026-11-06"], []),
    ],
)
def test_a_list_can_be_narrowed(
    staging: LocalFolder,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    found: list[str],
) -> None:
    document = json.loads(out(capsys, "list", "--json", "--staging", staging.url, *options))
    assert [one["delivery_id"] for one in document["deliveries"]] == found


@pytest.mark.parametrize("action", [["list"], ["list", "--json"], ["clean", "--retention", "P30D"]])
def test_a_location_where_nothing_was_ever_staged_is_not_one_without_deliveries(
    s3: S3,
    bucket: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    action: list[str],
) -> None:
    aws = {"ENDPOINT_URL": s3.endpoint_url, "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
    for name, value in aws.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for url in (f"s3://{bucket}/audience-manger", str(tmp_path)):
        assert out(capsys, *action, "--staging", url, exit_code=2) == (
            f"airflow-am: '{url}': no delivery was ever staged there; the staging location is the "
            f"folder in which deliveries/ lies\n"
        )


def test_the_command_lines_own_keys_are_not_those_of_a_connection(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert out(capsys, "list", "--staging", "s3://crm/am", exit_code=2) == (
        "airflow-am: cannot list 's3://crm/am/deliveries/' with this machine's AWS settings: there "
        "are no keys and no role; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert "AWS_ENDPOINT_URL is no URL" in out(
        capsys, "list", "--staging", "s3://crm/am", exit_code=2
    )


@pytest.mark.slow
def test_a_connection_in_airflows_database_is_found(
    local_airflow: Airflow, staging: LocalFolder
) -> None:
    stage(staging, {NAMES[0]: content_of(NAMES[0])}, delivery_id=FIRST)

    def listed(conn_id: str) -> subprocess.CompletedProcess[str]:
        lister = ("airflow_am_provider.cli", "deliveries", "list", "--json", "--conn-id", conn_id)
        return subprocess.run(
            [sys.executable, "-m", *lister],
            env={**os.environ, **local_airflow.environment},
            capture_output=True,
            text=True,
            check=False,
        )

    fields = {"partner_name": "acme", "staging_location": staging.url}
    connection = {"conn_type": "audience_manager", "extra": fields}
    local_airflow.api.add_connection("in_database", connection)
    done = listed("in_database")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["deliveries"]
    assert found["delivery_id"] == FIRST
    absent = listed("in_no_database")
    assert absent.returncode == 2
    assert absent.stderr.splitlines()[-1] == (
        "airflow-am: --conn-id: Airflow has no connection 'in_no_database'; create it or name "
        f"another. AIRFLOW_HOME is {local_airflow.home}: is that your Airflow, and is its "
        "database to be reached from here?"
    )


@pytest.mark.usefixtures("sent")
def test_a_delivery_is_shown_with_its_place_in_the_queue(
    staging: LocalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(out(capsys, "show", FIRST, "--json", "--staging", staging.url))
    assert document["files"] == dict.fromkeys(NAMES, 1000)
    assert (document["state"], document["sending"], document["reason"]) == ("sent", 1, None)
    (place,) = document["queue"]
    assert (place["number"], place["delivery_id"], place["state"]) == (1, FIRST, "sent")
    printed = out(capsys, "show", FIRST, "--staging", staging.url)
    assert re.search(rf"file: s3://.*/acme/date=.*/{NAMES[0]}, 1,000 lines\n", printed)
    assert "rows: 2,005 rows read = 2,000 rows written + 5 rows set aside; 2,000 lines\n" in printed
    assert "set aside: 5 rows set aside: no e-mail address or phone number is sent" in printed
    assert (
        "place 1 of 1 in the queue of target 478: this delivery, sent, 2026-11-04T00:00:00+00:00 to"
    ) in printed


@pytest.mark.usefixtures("sent")
def test_the_very_same_bytes_are_sent_again_under_the_same_names(
    s3: S3, bucket: str, conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = s3.client()
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
    for key in keys:
        client.delete_object(Bucket=bucket, Key=key)
    document = json.loads(out(capsys, "resend", FIRST, "--json", "--conn-id", conn_id))
    assert (document["state"], document["sending"]) == ("sent", 2)
    for key, name in zip(keys, NAMES, strict=True):
        assert key.endswith(name)
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == content_of(name)


def test_older_data_is_sent_again_by_force_only(
    staging: LocalFolder, conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (4, 5):
        manifest = stage(
            staging,
            {f"ftp_dpm_478_136654571{day}.overwrite.gz": content_of("any")},
            delivery_id=f"day{day}",
            removes=True,
            destination=AudienceManagerHook(conn_id).destination_name,
            window=(f"2026-11-0{day}T00:00:00+00:00", f"2026-11-0{day + 1}T00:00:00+00:00"),
        )
        UploadOperator(
            task_id="upload",
            manifest=manifest.to_json(),
            audience_manager_conn_id=conn_id,
        ).execute(CONTEXT)
        if day == 4:
            records = DeliveryRecords(Targets(staging))
            records.record_reconciliation(records.find("day4"), 1, {"acknowledged": True})
    said = out(capsys, "resend", "day4", "--conn-id", conn_id, exit_code=2)
    assert "(delivery day5). It would put old data in force" in said
    assert "Nothing was sent. To send it all the same: --force" in said
    # Nothing but the receipt of the newer one is in its way now.
    said = out(capsys, "resend", "day4", "--force", "--conn-id", conn_id, exit_code=1)
    assert "delivery day4: not its turn yet: .overwrite of ftp_dpm_478 for the window" in said


@pytest.mark.usefixtures("sent")
def test_a_delivery_given_up_says_why_and_can_be_taken_up_again(
    staging: LocalFolder, conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out(capsys, "abandon", "aaaa", "--reason", "the CRM was wrong", "--staging", staging.url)
    assert "reason: the CRM was wrong" in out(capsys, "show", "aaaa", "--staging", staging.url)
    document = json.loads(out(capsys, "resend", "aaaa", "--json", "--conn-id", conn_id))
    assert (document["state"], document["sending"], document["reason"]) == ("sent", 1, None)


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show", "bbbb"], "airflow-am: delivery 'bbbb': there is none in {staging}"),
        (["show", "../names"], "airflow-am: delivery '../names': there is none in {staging}"),
    ],
)
def test_a_delivery_that_is_not_there(
    staging: LocalFolder, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    printed = out(capsys, *argv, "--staging", staging.url, exit_code=2)
    assert printed == f"{message.format(staging=staging.url)}\n"


def test_a_staging_location_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "nothing")
    assert "there is no such folder" in out(capsys, "list", "--staging", missing, exit_code=2)


def test_cleaning_says_what_it_deletes(
    staging: LocalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = stage(staging)
    send(staging, manifest)
    report = {"acknowledged": True, "concluded_at": "2026-01-01T00:00:00+00:00"}
    records = DeliveryRecords(Targets(staging))
    records.record_reconciliation(records.find(manifest.delivery_id), 1, report)
    clean = ["clean", "--staging", staging.url, "--retention", "P30D"]
    would = json.loads(out(capsys, *clean, "--dry-run", "--json"))
    assert (would["deliveries"], would["files"], would["bytes"]) == (1, 2, 400_000)
    assert staging.exists(manifest.parts[0].path)
    assert out(capsys, *clean).startswith("2 files, 0.4 MB, of 1 acknowledged deliveries")
    assert not staging.exists(manifest.parts[0].path)
    assert "--retention: 'x' is no time" in out(capsys, *clean[:-1], "x", exit_code=2)


@pytest.mark.usefixtures("sent")
def test_a_delivery_is_shown_with_who_decided_about_it(
    staging: LocalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    note = {"version": 1, "breaches": ["10 rows, 1 % of 1,000"]}
    decision = {
        "by": "ben",
        "at": "2026-11-05T01:00:00+00:00",
        "approved": True,
        "note": "Seen.",
    }
    staging.write_bytes(
        f"deliveries/data/{FIRST}/guard.json", json.dumps({**note, "decision": decision}).encode()
    )
    document = json.loads(out(capsys, "show", FIRST, "--json", "--staging", staging.url))
    assert document["guard"]["decision"] == decision
    printed = out(capsys, "show", FIRST, "--staging", staging.url)
    assert (
        "guard: over its limit: 10 rows, 1 % of 1,000\n"
        "guard: approved by ben at 2026-11-05T01:00:00+00:00: Seen.\n"
    ) in printed
