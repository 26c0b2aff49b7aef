"""Objects in pieces: what arrived is not sent again, and nothing is seen before all is there."""

import hashlib
import io
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.storage.s3.multipart import MultipartWriter
from airflow_am_provider.storage.s3.resumable import ResumableObject
from airflow_am_provider.storage.verified_read import VerifiedReader
from demo.local.s3 import S3
from tests.faults.line import Line
from tests.faults.s3_line import s3_line
from tests.faults.trouble import Fault

KEY = "acme/date=2026-11-05/ftp_dpm_478_1366545717.sync.gz"
PIECE = 5 << 20
CONTENT = random.Random(1).randbytes(3 * PIECE + 12_345)


class Kept:
    """A note in memory."""

    def __init__(self) -> None:
        self.content: bytes | None = None

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content

    def forget(self) -> None:
        self.content = None


@pytest.fixture
def client(s3: S3) -> Any:
    return s3.client()


@pytest.fixture
def asked(client: Any) -> list[str]:
    """Every request that is made from now on."""
    found: list[str] = []
    client.meta.events.register("before-call.s3", lambda model, **_: found.append(model.name))
    return found


def write(
    client: Any,
    bucket: str,
    note: Kept,
    *,
    content: bytes = CONTENT,
    check: Callable[[VerifiedReader], None] = lambda reader: None,
) -> None:
    reader = VerifiedReader(io.BytesIO(content))
    target(client, bucket, note).write(reader, lambda: check(reader))


def target(client: Any, bucket: str, note: Kept) -> ResumableObject:
    writer = MultipartWriter(
        client=client,
        bucket=bucket,
        key=KEY,
        args={"ACL": "bucket-owner-full-control", "Metadata": {"sha256": "0"}},
    )
    return ResumableObject(writer=writer, note=note, piece_bytes=PIECE)


def fail_at(client: Any, operation: str, at: int, error: BaseException) -> None:
    """Let the ``at``-th request of a kind fail before it is made."""
    count = 0

    def fail(**_: object) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise error

    client.meta.events.register(f"before-call.s3.{operation}", fail)


def break_off(client: Any, bucket: str, note: Kept) -> None:
    """Write two pieces and fail."""
    fail_at(client, "UploadPart", 3, OSError("the line broke"))
    with pytest.raises(TransientError):
        write(client, bucket, note)


def stored(client: Any, bucket: str) -> bytes | None:
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    if not keys:
        return None
    content: bytes = client.get_object(Bucket=bucket, Key=KEY)["Body"].read()
    return content


def uploads(client: Any, bucket: str) -> int:
    return len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


def test_an_object_in_pieces_is_what_was_read(client: Any, bucket: str) -> None:
    seen: list[str] = []
    write(client, bucket, Kept(), check=lambda reader: seen.append(reader.sha256))
    assert stored(client, bucket) == CONTENT
    assert seen == [hashlib.sha256(CONTENT).hexdigest()]
    assert client.head_object(Bucket=bucket, Key=KEY)["Metadata"] == {"sha256": "0"}


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_any_size(client: Any, bucket: str, size: int) -> None:
    write(client, bucket, Kept(), content=CONTENT[:size])
    assert stored(client, bucket) == CONTENT[:size]
    assert uploads(client, bucket) == 0


@pytest.mark.parametrize("at", [2, 3, 4])
def test_the_next_attempt_sends_the_pieces_that_are_missing(
    client: Any, bucket: str, at: int, s3: S3
) -> None:
    note = Kept()
    fail_at(client, "UploadPart", at, OSError("the line broke"))
    with pytest.raises(TransientError):
        write(client, bucket, note)
    assert stored(client, bucket) is None
    other, sent = s3.client(), []
    other.meta.events.register("before-call.s3.UploadPart", lambda **_: sent.append(1))
    write(other, bucket, note)
    assert stored(client, bucket) == CONTENT
    # At most the pieces that were on their way are sent twice.
    assert 1 <= len(sent) <= 4 - (at - 1) + 2
    assert (uploads(client, bucket), note.content) == (0, None)


def test_an_account_that_may_only_write(client: Any, bucket: str, asked: list[str]) -> None:
    note = Kept()

    def refuse(model: Any, **_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, model.name)

    for operation in ("ListMultipartUploads", "AbortMultipartUpload", "ListParts", "HeadObject"):
        client.meta.events.register(f"before-call.s3.{operation}", refuse)
    fail_at(client, "CompleteMultipartUpload", 1, OSError("the line broke"))
    with pytest.raises(TransientError):
        write(client, bucket, note)
    del asked[:]
    write(client, bucket, note)
    assert asked.count("UploadPart") == 0
    assert stored(client, bucket) == CONTENT


def test_what_is_not_as_it_should_be_never_appears(client: Any, bucket: str) -> None:
    note = Kept()

    def refuse(reader: VerifiedReader) -> None:
        raise DataError(f"{reader.size} bytes")

    for content in (CONTENT, b"small"):
        with pytest.raises(DataError, match=f"{len(content)} bytes"):
            write(client, bucket, note, content=content, check=refuse)
    assert stored(client, bucket) is None
    assert (uploads(client, bucket), note.content) == (0, None)


def test_an_upload_that_nobody_noted_is_aborted(client: Any, bucket: str) -> None:
    note = Kept()
    break_off(client, bucket, note)
    for key in (KEY, f"{KEY}.other"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    target(client, bucket, note).abort_others()
    write(client, bucket, note)
    assert stored(client, bucket) == CONTENT
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [one["Key"] for one in left] == [f"{KEY}.other"]


def test_pieces_that_are_gone_are_written_anew_by_the_next_attempt(
    client: Any, bucket: str, s3: S3
) -> None:
    note = Kept()
    fail_at(client, "CompleteMultipartUpload", 1, OSError("the line broke"))
    with pytest.raises(TransientError):
        write(client, bucket, note)
    # As if somebody else had completed it meanwhile.
    gone = ClientError({"Error": {"Code": "NoSuchUpload"}}, "CompleteMultipartUpload")
    fail_at(client, "CompleteMultipartUpload", 1, gone)
    with pytest.raises(TransientError, match="the next attempt writes it anew"):
        write(client, bucket, note)
    write(s3.client(), bucket, note)
    assert stored(client, bucket) == CONTENT


def test_a_refusal_says_so(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="there is no such bucket"):
        write(client, "no-such-bucket", Kept())


def test_pieces_that_another_attempt_aborted_are_sent_anew(
    client: Any, bucket: str, s3: S3
) -> None:
    note = Kept()
    break_off(client, bucket, note)
    # It knows nothing of the note.
    target(s3.client(), bucket, Kept()).abort_others()
    assert (uploads(client, bucket), note.content is None) == (0, False)
    target(s3.client(), bucket, note).abort_others()
    write(s3.client(), bucket, note)
    assert (stored(client, bucket), uploads(client, bucket)) == (CONTENT, 0)


def test_an_upload_whose_answer_got_lost_does_not_stay(client: Any, bucket: str, s3: S3) -> None:
    lost = Fault(line="s3", what="answer", at=1, after=True, status=503, code="SlowDown")
    with s3_line(Line("s3"), int(s3.endpoint_url.rpartition(":")[2])) as line:
        line.arm((lost,))
        over_line = replace(s3, endpoint_url=f"http://127.0.0.1:{line.port}").client()
        write(over_line, bucket, Kept())
    assert line.happened == {"s3 SlowDown": 1}
    assert (stored(client, bucket), uploads(client, bucket)) == (CONTENT, 0)
