"""What the hook does with deliveries, called from plain functions, as those of ``@task`` are."""

from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.uploads.journal import MustWait
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.storage import LocalFolder
from demo.local.s3 import S3
from tests.staged_deliveries import NAMES, content_of, stage

CONTEXT: Any = {}


def sent_files(s3: S3, bucket: str) -> dict[str, bytes]:
    client = s3.client()
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    return {
        key.rpartition("/")[2]: client.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in keys
    }


def clear(s3: S3, bucket: str) -> None:
    client = s3.client()
    for one in client.list_objects_v2(Bucket=bucket)["Contents"]:
        client.delete_object(Bucket=bucket, Key=one["Key"])


def states(hook: AudienceManagerHook) -> dict[str, str]:
    return {record.entry.delivery_id: str(record.state) for record in hook.deliveries()}


def overwrite(staging: LocalFolder, conn_id: str, day: int) -> Manifest:
    """A day's data, which takes away what was there before."""
    return stage(
        staging,
        {f"ftp_dpm_478_136654571{day}.overwrite.gz": content_of(f"day {day}")},
        delivery_id=f"day{day}",
        removes=True,
        conn_id=conn_id,
        window=(f"2026-11-0{day}T00:00:00+00:00", f"2026-11-0{day + 1}T00:00:00+00:00"),
        created_at=f"2026-11-0{day + 1}T01:00:00+00:00",
    )


def test_a_function_uploads_what_the_operator_would(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    manifest = stage(staging, conn_id=conn_id).to_json()

    def send() -> dict[str, Any] | None:
        return AudienceManagerHook(conn_id).upload(manifest)

    sent = send()
    assert sent_files(s3, bucket) == {name: content_of(name) for name in NAMES}
    assert states(AudienceManagerHook(conn_id)) == {manifest["delivery_id"]: "sent"}
    clear(s3, bucket)
    operator = UploadOperator(task_id="upload", manifest=manifest, audience_manager_conn_id=conn_id)
    assert operator.execute(CONTEXT) == sent == send()
    assert sent_files(s3, bucket) == {}


def test_what_has_to_be_processed_first_is_named_and_the_place_is_kept(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    hook = AudienceManagerHook(conn_id)
    before, after = overwrite(staging, conn_id, 4), overwrite(staging, conn_id, 5)
    hook.upload(before.to_json())
    clear(s3, bucket)
    with pytest.raises(MustWait, match="day4") as caught:
        hook.upload(after.to_json())
    assert isinstance(caught.value, TransientError)
    assert states(hook) == {"day4": "sent", "day5": "queued"}
    assert sent_files(s3, bucket) == {}
    given_up = hook.abandon("day4", "Its receipt never came.")
    assert (str(given_up.state), given_up.reason) == ("abandoned", "Its receipt never came.")
    hook.upload(after.to_json())
    assert states(hook) == {"day4": "abandoned", "day5": "sent"}
    assert [*sent_files(s3, bucket)] == [after.parts[0].file_name]


def test_what_goes_before_it_is_waited_for(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    hook = AudienceManagerHook(conn_id)
    ids = hook.upload(
        stage(
            staging,
            {"ftp_dpm_478_567_1366545719.sync.gz": content_of("ids")},
            delivery_id="ids",
            conn_id=conn_id,
        ).to_json()
    )
    manifest = stage(staging, conn_id=conn_id).to_json()
    clear(s3, bucket)
    with pytest.raises(MustWait, match="delivery ids, which goes before it, is not acknowledged"):
        hook.upload(manifest, after=ids)
    assert sent_files(s3, bucket) == {}


def test_the_same_bytes_go_again_and_older_ones_by_force_only(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    hook = AudienceManagerHook(conn_id)
    for day in (4, 5):
        hook.upload(overwrite(staging, conn_id, day).to_json(), in_order=False)
    before = sent_files(s3, bucket)
    clear(s3, bucket)
    with pytest.raises(ConfigurationError, match="day5"):
        hook.resend("day4")
    assert sent_files(s3, bucket) == {}
    hook.abandon("day4", "Not needed any more.")
    record = hook.resend("day5")
    assert (str(record.state), record.to_json()["sending"]) == ("sent", 2)
    name = record.manifest.parts[0].file_name
    assert sent_files(s3, bucket) == {name: before[name]}


def test_shares_are_sent_one_by_one_and_completed_by_the_upload(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    hook = AudienceManagerHook(conn_id)
    manifest = stage(staging, conn_id=conn_id).to_json()
    names = hook.upload_share(manifest, 0, 2)
    assert [*sent_files(s3, bucket)] == names
    assert len(names) == 1
    assert sorted([*names, *hook.upload_share(manifest, 1, 2)]) == sorted(NAMES)
    assert states(hook) == {manifest["delivery_id"]: "sending"}
    hook.upload(manifest)
    assert states(hook) == {manifest["delivery_id"]: "sent"}
    with pytest.raises(ConfigurationError, match="share: 2 is none of 2"):
        hook.upload_share(manifest, 2, 2)


def test_deliveries_are_asked_for_by_state_target_and_number(
    staging: LocalFolder, conn_id: str
) -> None:
    hook = AudienceManagerHook(conn_id)
    days = [overwrite(staging, conn_id, day) for day in (3, 4, 5)]
    hook.upload(days[0].to_json())
    stage(
        staging,
        {"ftp_dpm_900_1366545719.sync.gz": content_of("other")},
        delivery_id="other",
        conn_id=conn_id,
        created_at="2026-11-05T00:00:00+00:00",
    )

    def ids(**wanted: Any) -> list[str]:
        return [record.entry.delivery_id for record in hook.deliveries(**wanted)]

    assert ids() == ["day3", "other", "day4", "day5"]
    assert ids(states=["outstanding"]) == ids(states=("sent",)) == ["day3"]
    assert ids(states={"staged"}, target="478") == ["day4", "day5"]
    assert ids(limit=1) == ["other", "day5"]
    assert ids(target="12") == []


@pytest.mark.parametrize("wanted", ["sent", ["sent", "lost"]])
def test_states_that_there_are_not(conn_id: str, wanted: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AudienceManagerHook(conn_id).deliveries(states=wanted)
    given = "sent" if wanted == "sent" else "lost"
    assert str(caught.value) == (
        f"states: {given!r}: a list of some of staged, queued, sending, sent, picked_up, "
        f"assumed, acknowledged, reconciled, failed, superseded, abandoned, outstanding, "
        f"sending_failed, file_in_doubt, approval_waiting, stopped_by_guard, no_answer_in_time, "
        f"looking_failed, rejected, needs_attention is expected"
    )


def test_nothing_to_send_is_none(staging: LocalFolder, conn_id: str) -> None:
    hook = AudienceManagerHook(conn_id)
    empty = stage(staging, conn_id=conn_id).to_json() | {"parts": []}
    assert hook.upload(empty) is None
    assert hook.upload_share(empty, 0, 2) == []
    assert states(hook) == {empty["delivery_id"]: "staged"}


def test_wrong_parameters_and_damaged_parts_send_nothing(
    s3: S3, bucket: str, staging: LocalFolder, conn_id: str
) -> None:
    hook = AudienceManagerHook(conn_id)
    manifest = stage(staging, conn_id=conn_id)
    with pytest.raises(ConfigurationError, match="on_older: 'maybe'"):
        hook.upload(manifest.to_json(), on_older="maybe")
    with pytest.raises(ConfigurationError, match="in_order: 'perhaps'"):
        hook.upload(manifest.to_json(), in_order="perhaps")
    for verb in (hook.resend, lambda delivery_id: hook.abandon(delivery_id, "a reason")):
        with pytest.raises(ConfigurationError, match="delivery 'nobody': there is none"):
            verb("nobody")
    staging.write_bytes(manifest.parts[0].path, b"\x00" * manifest.parts[0].compressed_bytes)
    with pytest.raises(DataError):
        hook.upload(manifest.to_json())
    assert manifest.parts[0].file_name not in sent_files(s3, bucket)
