"""S3 events by SQS: a real queue of a real server, which the bucket itself writes to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks import receipt_events
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.receipt_events import AnnouncedFolder, objects_in, region_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.local.s3 import S3
    from tests.connections import Connect

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are left can be had again at once, and nobody waits for others."""
    monkeypatch.setattr(receipt_events, "_HIDDEN_S", 0)
    monkeypatch.setattr(receipt_events, "_WAIT_S", 0)


class Post:
    """A bucket whose events go to a queue."""

    def __init__(self, s3: S3, bucket: str) -> None:
        self.bucket = bucket
        self.s3 = s3.client()
        keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
        self.sqs = boto3.client("sqs", endpoint_url=s3.endpoint_url, region_name=s3.region, **keys)
        self.url = self.sqs.create_queue(QueueName=uuid4().hex)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        queue = {"QueueArn": found["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
        self.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )
        # S3 begins with a message of its own, s3:TestEvent.
        self.sqs.purge_queue(QueueUrl=self.url)

    def put(self, key: str, content: bytes = b"mail") -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def messages(self) -> int:
        name = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return int(found["Attributes"][name])


@pytest.fixture
def post(s3: S3, bucket: str) -> Post:
    return Post(s3, bucket)


@pytest.fixture
def sensor(
    s3: S3, post: Post, connect: Connect, audience_manager: Connect, tmp_path: Any
) -> Callable[..., AnnouncedFolder]:
    def make(**changes: str) -> AnnouncedFolder:
        fields = {
            "environment": "custom",
            "bucket": "inbound",
            "partner_name": "acme",
            "staging_location": str(tmp_path),
            "aws_conn_id": connect(s3.airflow_connection()),
            "receipts_location": f"s3://{post.bucket}/mail in",
            "receipts_sqs_queue": post.url,
        }
        (found,) = AudienceManagerHook(audience_manager(**{**fields, **changes})).receipt_sources()
        assert isinstance(found, AnnouncedFolder)
        return found

    return make


def looked(folder: AnnouncedFolder, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """How many mails a look gives; None where the folder was not listed."""
    listed = False
    inner = folder.folder.list

    def watched(*args: Any, **more: Any) -> Any:
        nonlocal listed
        listed = True
        return inner(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(folder.folder, "list", watched)
        count = len(list(folder.mails(LONG_AGO)))
    return count if listed else None


def test_the_folder_is_listed_at_first_and_then_when_something_has_come(
    post: Post, sensor: Callable[..., AnnouncedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    post.put("mail in/1")
    folder = sensor()
    assert looked(folder, monkeypatch) == 1
    # The event of what was read already.
    assert looked(folder, monkeypatch) == 1
    assert [looked(folder, monkeypatch) for _ in range(3)] == [None] * 3
    post.put("mail in/2")
    assert looked(folder, monkeypatch) == 2
    assert looked(folder, monkeypatch) is None


def test_one_message_wakes_all_and_goes_when_it_has_been_read_and_is_old(
    post: Post, sensor: Callable[..., AnnouncedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = sensor(), sensor()
    assert (looked(one, monkeypatch), looked(other, monkeypatch)) == (0, 0)
    post.put("mail in/1")
    assert (looked(one, monkeypatch), looked(other, monkeypatch)) == (1, 1)
    assert looked(one, monkeypatch) is None
    assert post.messages() == 1
    monkeypatch.setattr(receipt_events, "_FOR_OTHERS_S", -1.0)
    # Who has not read what it tells of does so before it goes.
    late = sensor()
    late._listed_at = one._listed_at
    assert looked(late, monkeypatch) == 1
    assert post.messages() == 1
    assert looked(late, monkeypatch) is None
    assert post.messages() == 0


def test_a_reading_that_breaks_off_leaves_the_message_new(
    post: Post, sensor: Callable[..., AnnouncedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_events, "_FOR_OTHERS_S", -1.0)
    folder = sensor()
    assert looked(folder, monkeypatch) == 0
    post.put("mail in/1")
    next(folder.mails(LONG_AGO))  # and no further
    assert post.messages() == 1
    assert looked(folder, monkeypatch) == 1


def test_messages_of_others_are_left_and_wake_nobody(
    post: Post, sensor: Callable[..., AnnouncedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_events, "_FOR_OTHERS_S", -1.0)
    folder = sensor()
    assert looked(folder, monkeypatch) == 0
    post.put("mail in elsewhere/1")
    for body in ("Hello", "[]", json.dumps({"Event": "s3:TestEvent"}), '{"Records": [{}]}'):
        post.sqs.send_message(QueueUrl=post.url, MessageBody=body)
    assert [looked(folder, monkeypatch) for _ in range(2)] == [None, None]
    assert post.messages() == 5


def test_after_an_hour_without_events_the_folder_is_listed(
    post: Post, sensor: Callable[..., AnnouncedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sensor()
    assert looked(folder, monkeypatch) == 0
    post.s3.put_bucket_notification_configuration(Bucket=post.bucket, NotificationConfiguration={})
    post.put("mail in/1")
    assert looked(folder, monkeypatch) is None
    assert folder._listed_at is not None
    folder._listed_at -= 3600
    assert looked(folder, monkeypatch) == 1


def test_a_queue_that_is_gone_costs_a_listing_and_the_test_of_the_connection_says_so(
    post: Post,
    sensor: Callable[..., AnnouncedFolder],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = sensor()
    folder.check()
    assert looked(folder, monkeypatch) == 0
    post.sqs.delete_queue(QueueUrl=post.url)
    post.put("mail in/1")
    assert looked(folder, monkeypatch) == 1
    assert "as its events cannot be had: cannot receive from" in caplog.text
    with pytest.raises(ConfigurationError, match="there is no such queue; check its URL"):
        folder.check()


def test_a_setting_that_is_no_queue_or_has_no_folder_is_refused(
    sensor: Callable[..., AnnouncedFolder], tmp_path: Any
) -> None:
    with pytest.raises(ConfigurationError, match="receipts_sqs_queue: 'receipts' is not the URL"):
        sensor(receipts_sqs_queue="receipts")
    with pytest.raises(ConfigurationError, match="which must be s3://bucket/prefix"):
        sensor(receipts_location=str(tmp_path))


def test_events_come_directly_by_sns_and_by_eventbridge() -> None:
    place = {"bucket": {"name": "mail"}, "object": {"key": "in/a%2Bb+c"}}
    direct = json.dumps({"Records": [{"eventSource": "aws:s3", "s3": place}]})
    assert list(objects_in(direct)) == [("mail", "in/a+b c")]
    assert list(objects_in(json.dumps({"Type": "Notification", "Message": direct}))) == [
        ("mail", "in/a+b c")
    ]
    by_bridge = json.dumps({"detail-type": "Object Created", "detail": place})
    assert list(objects_in(by_bridge)) == [("mail", "in/a%2Bb+c")]
    assert region_of("https://sqs.cn-north-1.amazonaws.com.cn/1/q") == "cn-north-1"
    assert region_of("http://127.0.0.1:5000/1/q") is None
