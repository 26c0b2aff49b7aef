"""What is particular to S3, on a real server."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.storage import S3Folder
from demo.local.s3 import S3
from tests.storage.test_folders import give_up

MEGABYTE = b"x" * (1 << 20)


@contextmanager
def fault(client: Any, operation: str, respond: Callable[..., Any]):
    """Let a client's calls of one operation get an answer that no server sent."""
    event = f"before-send.s3.{operation}"
    client.meta.events.register(event, respond)
    try:
        yield
    finally:
        client.meta.events.unregister(event, respond)


def answer(status: int, code: str) -> Callable[..., Any]:
    from botocore.awsrequest import AWSResponse

    class Raw:
        def stream(self, *_: object, **__: object) -> list[bytes]:
            return [f"<Error><Code>{code}</Code><Message>secret words</Message></Error>".encode()]

        def read(self, *_: object) -> bytes:
            return b""

    return lambda request, **_: AWSResponse(request.url, status, {}, Raw())


def quick(s3: S3, **config: Any) -> Any:
    """A client that does not wait between attempts."""
    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        aws_access_key_id="planted-key",
        aws_secret_access_key="planted-secret",
        region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"},
            retries={"max_attempts": 0},
            connect_timeout=2,
            **config,
        ),
    )


def uploads(folder: S3Folder) -> list[Any]:
    found: list[Any] = folder.client.list_multipart_uploads(Bucket=folder.bucket).get("Uploads", [])
    return found


def test_objects_get_what_the_folder_says(s3_folder: S3Folder) -> None:
    folder = S3Folder(
        s3_folder.client,
        s3_folder.bucket,
        extra_args={"ACL": "bucket-owner-full-control", "ServerSideEncryption": "AES256"},
    )
    with folder.open_write("small") as file:
        file.write(b"1")
    with folder.open_write("large") as file:
        for _ in range(20):
            file.write(MEGABYTE)
    folder.write_bytes("bytes", b"1")
    for key in ("small", "large", "bytes"):
        head = folder.client.head_object(Bucket=folder.bucket, Key=key)
        assert head["ServerSideEncryption"] == "AES256"
        acl = folder.client.get_object_acl(Bucket=folder.bucket, Key=key)
        assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]


def test_a_large_object_that_is_given_up_leaves_nothing(s3_folder: S3Folder) -> None:
    with pytest.raises(RuntimeError, match="given up"):
        give_up(s3_folder, "large", blocks=40)
    assert not s3_folder.exists("large")
    assert uploads(s3_folder) == []


def test_what_waits_in_the_buffer_of_a_file_that_is_given_up_is_not_sent(
    s3_folder: S3Folder,
) -> None:
    asked: list[str] = []
    s3_folder.client.meta.events.register(
        "before-call.s3", lambda model, **_: asked.append(model.name)
    )

    def write_and_give_up() -> None:
        with s3_folder.open_write("file") as file:
            # A piece of 8 MiB, the last one of which is still in the buffer.
            file.write(bytes(15 << 19))
            file.write(bytes(1 << 19))
            raise RuntimeError("given up")

    with pytest.raises(RuntimeError, match="given up"):
        write_and_give_up()
    assert asked == []


def test_a_failing_upload_stops_the_writer(s3: S3, s3_folder: S3Folder) -> None:
    folder = S3Folder(quick(s3), s3_folder.bucket, "some/prefix")
    with (
        fault(folder.client, "UploadPart", answer(503, "SlowDown")),
        pytest.raises(TransientError) as caught,
    ):
        give_up(folder, "large", blocks=500)
    url = f"{folder.url}/large"
    assert str(caught.value) == f"cannot write {url!r}: S3 answered SlowDown"
    assert not s3_folder.exists("large")
    assert uploads(s3_folder) == []


@pytest.mark.parametrize(
    ("status", "code", "error", "says"),
    [
        (403, "AccessDenied", ConfigurationError, "lack the right to do this"),
        (403, "InvalidAccessKeyId", ConfigurationError, "disables keys unused for 100 days"),
        (403, "SignatureDoesNotMatch", ConfigurationError, "does not belong to the access key"),
        (301, "PermanentRedirect", ConfigurationError, "set region_name in its extra"),
        (400, "ExpiredToken", TransientError, "S3 answered ExpiredToken"),
        (500, "InternalError", TransientError, "S3 answered InternalError"),
        (503, "SlowDown", TransientError, "S3 answered SlowDown"),
    ],
)
def test_refusals_say_what_to_do_and_no_secret(
    s3: S3, s3_folder: S3Folder, status: int, code: str, error: type[Exception], says: str
) -> None:
    folder = S3Folder(quick(s3), s3_folder.bucket)
    with (
        fault(folder.client, "PutObject", answer(status, code)),
        pytest.raises(error, match=says) as caught,
    ):
        folder.write_bytes("a", b"1")
    assert "secret words" not in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_head_by_expired_keys_may_go_better_by_new_ones(s3: S3, s3_folder: S3Folder) -> None:
    folder = S3Folder(quick(s3), s3_folder.bucket)

    def expired(request: Any, **_: object) -> Any:
        response = answer(400, "ExpiredToken")(request)
        response.raw.stream = lambda *_, **__: []  # an answer to HEAD has no body
        return response

    with (
        fault(folder.client, "HeadObject", expired),
        pytest.raises(TransientError, match="S3 answered 400"),
    ):
        folder.exists("a")


def test_a_bucket_that_is_not_there(s3: S3) -> None:
    folder = S3Folder(quick(s3), f"absent-{uuid4().hex}")
    with pytest.raises(ConfigurationError, match="there is no such bucket; check its name"):
        folder.write_bytes("a", b"1")
    with pytest.raises(ConfigurationError, match="there is no such bucket"):
        list(folder.list())
    with (
        pytest.raises(ConfigurationError, match="there is no such bucket"),
        folder.open_write("a") as file,
    ):
        file.write(b"1")


def test_no_server(s3: S3) -> None:
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="planted-key",
        aws_secret_access_key="planted-secret",
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}),
    )
    with pytest.raises(TransientError) as caught:
        S3Folder(client, "bucket").write_bytes("a", b"1")
    assert str(caught.value) == (
        "cannot write 's3://bucket/a': no answer from http://127.0.0.1:9 "
        "(EndpointConnectionError); is endpoint_url in its extra right, and does the server there "
        "run?"
    )


def test_a_replaced_object_is_an_error_not_a_mixture(s3_folder: S3Folder) -> None:
    s3_folder.write_bytes("source", b"a" * (9 << 20))
    with s3_folder.open_read("source") as reader:
        assert reader.read(10) == b"a" * 10
        s3_folder.write_bytes("source", b"b" * (9 << 20))
        reader.seek(-10, 2)
        with pytest.raises(TransientError, match="was replaced while it was being read"):
            reader.read(10)


def test_a_broken_answer_is_asked_for_again(s3_folder: S3Folder) -> None:
    s3_folder.write_bytes("source", b"0123456789")
    asked: list[str] = []

    def break_once(request: Any, **_: object) -> Any:
        asked.append(request.headers["Range"].decode())
        if len(asked) == 1:
            response = answer(206, "")(request)
            response.raw.stream = lambda *_, **__: [b"0123"]
            return response
        return None

    with s3_folder.open_read("source") as reader, fault(s3_folder.client, "GetObject", break_once):
        assert reader.read() == b"0123456789"
    assert asked == ["bytes=0-9", "bytes=0-9"]


def test_names_that_are_not_safe_are_not_listed(s3_folder: S3Folder) -> None:
    s3_folder.write_bytes("good", b"1")
    hostile = ("folder/", "a/../../b", "line\nbreak", "//double", "", "\x00", "x" * 300)

    def add_names(parsed: Any, **_: object) -> None:
        listed = parsed["Contents"][0]
        parsed["Contents"] += [{**listed, "Key": f"some/prefix/{name}"} for name in hostile]

    s3_folder.client.meta.events.register("after-call.s3.ListObjectsV2", add_names)
    assert [entry.path for entry in s3_folder.list()] == ["good"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(507, "InsufficientStorage"), (507, ""), (503, "ServiceUnavailable"), (503, "SlowDown"),
     (500, "XStorageFull"), (507, "XMinioStorageFull")],
)  # fmt: skip
def test_a_server_that_is_full_or_busy_may_be_better_later(
    s3: S3, s3_folder: S3Folder, status: int, code: str
) -> None:
    folder = S3Folder(quick(s3), s3_folder.bucket, "full")
    with fault(folder.client, "PutObject", answer(status, code)):
        for _ in range(3):
            with pytest.raises(TransientError, match=f"S3 answered {code or status}$"):
                folder.write_bytes("a.gz", b"x")
    assert not folder.exists("a.gz")
    folder.write_bytes("a.gz", b"x")
    assert folder.read_bytes("a.gz") == b"x"


def test_a_large_object_on_a_server_that_becomes_full_leaves_no_pieces(
    s3: S3, s3_folder: S3Folder
) -> None:
    folder = S3Folder(quick(s3), s3_folder.bucket, "full")

    def write() -> None:
        with folder.open_write("a.gz") as file:
            for _ in range(20):
                file.write(MEGABYTE)

    full = fault(folder.client, "UploadPart", answer(507, "InsufficientStorage"))
    with full, pytest.raises(TransientError):
        write()
    assert not folder.exists("a.gz")
    assert uploads(folder) == []
