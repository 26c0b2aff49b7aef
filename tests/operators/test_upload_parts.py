"""Several tasks send a delivery's parts, each part once, and one completes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.airflow_compat import AirflowException, AirflowFailException
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.s3_destination import S3Destination
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.operators.upload_parts import UploadPartsOperator
from tests.staged_deliveries import content_of, stage

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.storage import LocalFolder
    from demo.local.ftp import FtpServer
    from demo.local.s3 import S3
    from tests.connections import Connect

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

SHARES = 3
NAMES = [f"ftp_dpm_478_1366545717.sync.{number}.gz" for number in range(1, 6)]


@pytest.fixture
def manifest(staging: LocalFolder, conn_id: str) -> Manifest:
    return stage(staging, {name: content_of(name) for name in NAMES}, conn_id=conn_id)


def send_share(manifest: Manifest, conn_id: str, share: int) -> list[str]:
    operator = UploadPartsOperator(
        task_id="parts",
        manifest=manifest.to_json(),
        audience_manager_conn_id=conn_id,
        share=share,
        shares=SHARES,
    )
    files: list[str] = operator.execute({})["files"]
    return files


def complete(manifest: Manifest, conn_id: str) -> dict[str, Any]:
    operator = UploadOperator(
        task_id="upload", manifest=manifest.to_json(), audience_manager_conn_id=conn_id
    )
    return operator.execute({})


def arrived(s3: S3, bucket: str) -> dict[str, str]:
    """Each object, and when it was written."""
    found = s3.client().list_objects_v2(Bucket=bucket).get("Contents", ())
    return {item["Key"].rpartition("/")[2]: str(item["LastModified"]) for item in found}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that are sent from now on."""
    sent: list[str] = []
    upload = S3Destination._upload

    def counting(self: S3Destination, part: Any, *arguments: Any, **options: Any) -> None:
        sent.append(part.file_name)
        upload(self, part, *arguments, **options)

    monkeypatch.setattr(S3Destination, "_upload", counting)
    return sent


def test_shares_send_all_parts_at_the_same_time_each_once(
    s3: S3,
    bucket: str,
    staging: LocalFolder,
    conn_id: str,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = counted(monkeypatch)
    with ThreadPoolExecutor(SHARES) as pool:
        files = list(pool.map(lambda share: send_share(manifest, conn_id, share), range(SHARES)))
    assert sorted(name for share in files for name in share) == NAMES
    assert {len(share) for share in files} == {1, 2}
    assert DeliveryRecords(Targets(staging)).find(manifest.delivery_id).state == "sending"
    delivery = complete(manifest, conn_id)
    assert sorted(sent) == NAMES
    assert list(delivery["files"]) == NAMES
    record = DeliveryRecords(Targets(staging)).find(manifest.delivery_id)
    assert record.state == "sent"
    assert record.sent is not None
    assert sorted(record.sent.parts) == NAMES
    day = record.sent.day
    for name in NAMES:
        body = s3.client().get_object(Bucket=bucket, Key=f"acme/date={day}/{name}")["Body"]
        assert body.read() == content_of(name)


def test_a_share_again_sends_what_is_missing_of_it_and_nothing_when_all_was_sent(
    s3: S3, bucket: str, conn_id: str, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = counted(monkeypatch)
    first = send_share(manifest, conn_id, 0)
    assert send_share(manifest, conn_id, 0) == first
    assert sorted(sent) == first
    # What a share did not send, the last task does.
    complete(manifest, conn_id)
    assert sorted(sent) == NAMES
    send_share(manifest, conn_id, 1)
    assert sorted(sent) == NAMES
    assert sorted(arrived(s3, bucket)) == NAMES


def test_nothing_is_sent_before_all_of_it_is_staged(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str, manifest: Manifest
) -> None:
    mine = send_share(manifest, conn_id, 0)
    others = [part for part in manifest.parts if part.file_name not in mine]
    staging.delete(others[-1].path)
    with pytest.raises(AirflowFailException, match="is not there, and nothing was sent now"):
        send_share(manifest, conn_id, 1)
    assert sorted(arrived(s3, bucket)) == mine


def test_over_ftp_parts_have_no_names_before_the_last_task(
    ftp_server: FtpServer,
    staging: LocalFolder,
    connect: Connect,
    audience_manager: Connect,
) -> None:
    folder = ftp_server.root / "shares"
    folder.mkdir()
    ftp_server.faults.unlink(missing_ok=True)
    conn_id = audience_manager(
        environment="custom",
        transport="ftp",
        partner_name="acme",
        ftp_conn_id=connect(ftp_server.airflow_connection()),
        ftp_directory="/shares",
        staging_location=staging.url,
    )
    manifest = stage(staging, {name: content_of(name) for name in NAMES}, conn_id=conn_id)
    for share in range(SHARES):
        send_share(manifest, conn_id, share)
    temporary = sorted(path.name for path in folder.iterdir())
    assert [name.rsplit(".", 2)[0] for name in temporary] == NAMES
    assert all(name.endswith(".part") for name in temporary)
    complete(manifest, conn_id)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: content_of(name) for name in NAMES
    }


def test_a_share_waits_for_the_turn_of_the_whole(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    before, after = (
        stage(
            staging,
            {name.replace("1366545717", second): content_of(name) for name in NAMES},
            delivery_id=second,
            removes=True,
            window=window,
            conn_id=conn_id,
        )
        for second, window in (
            ("1366545719", ("2026-11-03T00:00:00+00:00", "2026-11-04T00:00:00+00:00")),
            ("1366545721", ("2026-11-04T00:00:00+00:00", "2026-11-05T00:00:00+00:00")),
        )
    )
    send_share(before, conn_id, 0)
    operator = UploadPartsOperator(
        task_id="parts",
        manifest=after.to_json(),
        audience_manager_conn_id=conn_id,
        share=0,
        shares=SHARES,
        order_timeout=0,
    )
    with pytest.raises(AirflowException, match="Nothing was sent: its turn did not come"):
        operator.execute({})
    assert not any("1366545721" in name for name in arrived(s3, bucket))


def test_a_share_that_there_is_not_is_refused(conn_id: str, manifest: Manifest) -> None:
    with pytest.raises(AirflowFailException, match="share: 3 is none of 3"):
        send_share(manifest, conn_id, SHARES)
