"""Sending from a staging location in the same S3: copied by the server, checked all the same."""

from collections import Counter
from functools import partial
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads import s3_destination
from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS, S3Destination
from airflow_am_provider.storage import S3Folder
from airflow_am_provider.storage.s3 import copy as s3_copy
from demo.local.s3 import S3
from tests.deliveries.test_destinations import KEYS, LATE, objects
from tests.staged_deliveries import NAMES, content_of, send_for_real, stage
from tests.storage.test_s3 import answer, fault, quick

MIB = 1 << 20
CONTENTS = {NAMES[0]: content_of(NAMES[0], 12 * MIB), NAMES[1]: content_of(NAMES[1])}


@pytest.fixture
def to_s3(s3: S3, bucket: str) -> S3Destination:
    # With a client of its own, as an account of its own has.
    folder = S3Folder(quick(s3), bucket, extra_args=OBJECT_ARGS)
    return S3Destination(folder=folder, partner_name="acme")


@pytest.fixture
def staging(s3: S3) -> S3Folder:
    s3.create_bucket("copied-from")
    return S3Folder(s3.client(), "copied-from", "staging")


@pytest.fixture
def manifest(staging: S3Folder, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setattr(s3_copy, "_PIECE_BYTES", 5 * MIB)
    for entry in list(staging.list()):
        staging.delete(entry.path)
    return stage(staging, CONTENTS)


@pytest.fixture
def requests(to_s3: S3Destination) -> Counter[str]:
    """What the destination is asked to do."""
    counts: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        counts[event_name.rpartition(".")[2]] += 1

    to_s3.folder.client.meta.events.register_first("before-send.s3", count)
    return counts


def unfinished(destination: S3Destination) -> list[str]:
    folder = destination.folder
    listed = folder.client.list_multipart_uploads(Bucket=folder.bucket)
    return [upload["Key"] for upload in listed.get("Uploads", ())]


def test_s3_copies_and_the_copy_has_checksum_and_acl(
    manifest: Manifest, staging: S3Folder, to_s3: S3Destination, requests: Counter[str]
) -> None:
    send_for_real(to_s3, manifest, staging, clock=lambda: LATE)
    assert requests["UploadPartCopy"] == 3 + 1
    assert not requests["UploadPart"] + requests["PutObject"]
    assert objects(to_s3) == dict(zip(KEYS, CONTENTS.values(), strict=True))
    folder = to_s3.folder
    for key, part in zip(KEYS, manifest.parts, strict=True):
        assert folder.stored(key) == (part.compressed_bytes, part.sha256, None)
        acl = folder.client.get_object_acl(Bucket=folder.bucket, Key=key)
        assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]


@pytest.mark.parametrize(
    ("operation", "status", "code"),
    [
        ("GetObject", 403, "AccessDenied"),
        ("CreateMultipartUpload", 403, "AccessDenied"),
        ("UploadPartCopy", 403, "AccessDenied"),
        ("UploadPartCopy", 501, "NotImplemented"),
        ("UploadPartCopy", 412, "PreconditionFailed"),
        ("CompleteMultipartUpload", 403, "AccessDenied"),
    ],
)
def test_what_s3_refuses_to_copy_is_sent_from_here(
    manifest: Manifest,
    staging: S3Folder,
    to_s3: S3Destination,
    operation: str,
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    # Parts this small go in one request, which is not one of those.
    monkeypatch.setattr("airflow_am_provider.storage.s3.stream._PIECE_BYTES", 16 * MIB)
    whole = partial(s3_destination.ResumableObject, piece_bytes=16 * MIB)
    monkeypatch.setattr(s3_destination, "ResumableObject", whole)
    with fault(to_s3.folder.client, operation, answer(status, code)):
        send_for_real(to_s3, manifest, staging, clock=lambda: LATE)
    assert objects(to_s3) == dict(zip(KEYS, CONTENTS.values(), strict=True))
    assert "Not copied within S3, so sent from here" in caplog.text
    assert unfinished(to_s3) == []


def test_wrong_keys_of_the_destination_are_not_laid_to_staging(
    manifest: Manifest, staging: S3Folder, to_s3: S3Destination, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client, refused = to_s3.folder.client, answer(403, "InvalidAccessKeyId")
    with (
        fault(client, "GetObject", refused),
        fault(client, "PutObject", refused),
        fault(client, "CreateMultipartUpload", refused),
        pytest.raises(ConfigurationError, match="the access key is unknown") as caught,
    ):
        send_for_real(to_s3, manifest, staging, clock=lambda: LATE)
    assert to_s3.folder.url in str(caught.value)
    assert staging.url not in caplog.text + str(caught.value)
    # For the page, and whoever looks at the delivery by the command line.
    record = DeliveryRecords(Targets(staging)).find(manifest.delivery_id)
    assert record.upload_failure is not None
    assert record.upload_failure["error"] == str(caught.value)
    assert (record.state, record.to_json()["times_sent"]) == (DeliveryState.SENDING, 0)


def test_a_server_that_takes_a_copied_piece_for_an_empty_one_gets_the_bytes(
    manifest: Manifest, staging: S3Folder, to_s3: S3Destination
) -> None:
    client = to_s3.folder.client
    client.meta.events.register(
        "after-call.s3.UploadPartCopy",
        lambda parsed, **_: parsed.pop("CopyPartResult"),
    )
    send_for_real(to_s3, manifest, staging, clock=lambda: LATE)
    assert objects(to_s3) == dict(zip(KEYS, CONTENTS.values(), strict=True))


def test_a_part_that_is_not_what_the_manifest_says_never_appears(
    manifest: Manifest, staging: S3Folder, to_s3: S3Destination
) -> None:
    damaged = CONTENTS[NAMES[1]][:-1] + b"\x00"
    staging.write_bytes(manifest.parts[1].path, damaged)
    with pytest.raises(DataError, match="the manifest says"):
        send_for_real(to_s3, manifest, staging, clock=lambda: LATE)
    assert list(objects(to_s3)) == KEYS[:1]
    assert unfinished(to_s3) == []


def test_a_server_that_fails_is_tried_again_later(
    manifest: Manifest, staging: S3Folder, to_s3: S3Destination
) -> None:
    with (
        fault(to_s3.folder.client, "UploadPartCopy", answer(503, "SlowDown")),
        pytest.raises(TransientError, match="SlowDown"),
    ):
        send_for_real(to_s3, manifest, staging, clock=lambda: LATE)
    assert objects(to_s3) == {}
    assert unfinished(to_s3) == []


def test_another_s3_is_not_asked_to_copy(
    manifest: Manifest, staging: S3Folder, to_s3: S3Destination, s3: S3, requests: Counter[str]
) -> None:
    elsewhere = S3(endpoint_url=s3.endpoint_url.replace("127.0.0.1", "localhost"))
    send_for_real(
        to_s3, manifest, S3Folder(elsewhere.client(), "copied-from", "staging"), clock=lambda: LATE
    )
    assert not requests["UploadPartCopy"]
    assert objects(to_s3) == dict(zip(KEYS, CONTENTS.values(), strict=True))
