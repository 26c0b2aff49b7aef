"""S3 events that tell by SQS when a folder of raw mails has something new.

An event is only a reason to list the folder. What counts is what lies there. One queue serves all
sensors, and a message goes to one of them, so none may take it for its own: a receipt often lists
files of several deliveries, and a sensor cannot know what the others wait for. So nothing rests on
a message. One that is lost, late, doubled or taken by another sensor costs at most an hour, after
which the folder is listed anyway; and whoever begins to wait lists it first.
"""

from __future__ import annotations

import json
import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus, urlsplit

from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import error_code, s3_errors

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_am_provider.hooks.mailbox import Mail, ReceiptFolder
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)

#: The folder is listed after so long in any case, in seconds.
LISTED_EVERY_S: Final = 3600.0
# So long a message is left for the other sensors; each has looked by then. It is told by SQS's time
# and this worker's clock, and if that is wrong, others are woken late or too often.
_FOR_OTHERS_S: Final = 600.0
# With a wait SQS asks all of its servers, and not some. The triggerer has few threads to wait in.
_WAIT_S: Final = 2
_MOST_AT_ONCE: Final = 10
# What is left is there for others again after so many seconds.
_HIDDEN_S: Final = 30
_NO_QUEUE: Final = "there is no such queue; check its URL"
_NO_RIGHT: Final = (
    "these keys lack the right; sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes "
    "are needed"
)
_REFUSALS: Final = {
    "AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE,
    "QueueDoesNotExist": _NO_QUEUE,
    "AccessDenied": _NO_RIGHT,
    "AccessDeniedException": _NO_RIGHT,
}
# Each region has a server of its own, and the connection may name another region.
_HOST: Final = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


@dataclass(frozen=True, kw_only=True)
class Event:
    """A message.

    :param identity: SQS's own ID of it.
    :param handle: what it is deleted by.
    :param age_s: how long ago it was sent, in seconds.
    :param objects: bucket and key of the objects that it tells of; none of a message that is no
        S3 event.
    """

    identity: str
    handle: str
    age_s: float
    objects: frozenset[tuple[str, str]]

    def is_about(self, folder: Folder) -> bool:
        """Whether it tells of an object in a folder."""
        parts = urlsplit(folder.url)
        prefix = f"{parts.path.strip('/')}/".lstrip("/")
        return any(
            bucket == parts.netloc and key.startswith(prefix) for bucket, key in self.objects
        )


@dataclass(frozen=True, kw_only=True)
class EventQueue:
    """A queue of S3 events, directly, by SNS or by EventBridge.

    :param client: a boto3 client for SQS.
    :param url: the queue's URL.
    """

    client: Any
    url: str

    def check(self) -> None:
        """Ask for the queue, and take nothing.

        :raises ConfigurationError: when it may not be asked, or there is none.
        """
        with self._errors("ask for"):
            self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])

    def receive(self) -> list[Event]:
        """Some of the messages that are there.

        :raises ConfigurationError: when they may not be received.
        :raises TransientError: when SQS does not answer.
        """
        with self._errors("receive from"):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_MOST_AT_ONCE,
                WaitTimeSeconds=_WAIT_S,
                VisibilityTimeout=_HIDDEN_S,
                AttributeNames=["SentTimestamp"],
            )
        now = time.time()
        return [
            Event(
                identity=one["MessageId"],
                handle=one["ReceiptHandle"],
                age_s=now - int(one["Attributes"]["SentTimestamp"]) / 1000,
                objects=frozenset(objects_in(one["Body"])),
            )
            for one in answer.get("Messages", ())
        ]

    def delete(self, events: Iterable[Event]) -> None:
        """Delete messages; one that stays is deleted another time.

        :raises ConfigurationError: when they may not be deleted.
        :raises TransientError: when SQS does not answer.
        """
        entries = [
            {"Id": str(number), "ReceiptHandle": event.handle}
            for number, event in enumerate(events)
        ]
        if entries:
            with self._errors("delete from"):
                self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        from botocore.exceptions import ClientError

        access = access_of(self.client)
        with s3_errors(action, self.url, access):
            try:
                yield
            except ClientError as error:
                code = error_code(error.response)
                if code not in _REFUSALS:
                    raise
                raise ConfigurationError(
                    f"cannot {action} {printable(self.url)!r} with {access.who}: SQS answered "
                    f"{printable(code)}: {_REFUSALS[code]}"
                ) from None


@dataclass(kw_only=True)
class AnnouncedFolder:
    """A folder of raw mails that is listed when an event says that something has come.

    :param mails_in: the folder.
    :param queue: where events about it come in.
    """

    mails_in: ReceiptFolder
    queue: EventQueue
    _listed_at: float | None = field(default=None, init=False, repr=False)
    _known: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def folder(self) -> Folder:
        """The folder."""
        return self.mails_in.folder

    @property
    def place(self) -> str:
        """Which folder it is, and what tells that something has come."""
        return f"{self.mails_in.place}, by its event queue"

    def check(self) -> None:
        """List the folder, ask for the queue, and read nothing.

        :raises ConfigurationError: when one of them may not be had.
        """
        self.mails_in.check()
        self.queue.check()

    def mails(self, since: datetime, *, seen: Container[str] = ()) -> Iterator[Mail]:
        """The new mails, where there may be some; otherwise the folder is not even listed."""
        events = self._events()
        if events is not None and not any(event.identity not in self._known for event in events):
            return
        now = time.monotonic()
        yield from self.mails_in.mails(since, seen=seen)
        # Only here has all been taken that there was.
        self._listed_at = now
        self._known.update(event.identity for event in events or ())

    def _events(self) -> Sequence[Event] | None:
        """Events about the folder; None where it is to be listed whatever they say."""
        if self._listed_at is None or time.monotonic() - self._listed_at >= LISTED_EVERY_S:
            return None
        try:
            events = [one for one in self.queue.receive() if one.is_about(self.folder)]
            # What they tell of was read by now.
            read = [one for one in events if one.identity in self._known]
            done = [one for one in read if one.age_s >= _FOR_OTHERS_S]
            self.queue.delete(done)
        except AudienceManagerError as error:
            _logger.warning("Listing %s, as its events cannot be had: %s", self.folder.url, error)
            return None
        self._known.difference_update(one.identity for one in done)
        return [one for one in events if one not in done]


def objects_in(body: str) -> Iterator[tuple[str, str]]:
    """Bucket and key of each object that a message's body tells of; nothing of other messages.

    >>> list(objects_in('{"detail": {"bucket": {"name": "mail"}, "object": {"key": "in/1"}}}'))
    [('mail', 'in/1')]
    >>> list(objects_in('{"Event": "s3:TestEvent"}')), list(objects_in("Hello"))
    ([], [])
    """
    try:
        document = json.loads(body)
        if "Message" in document:
            # SNS wraps the text of the event.
            document = json.loads(document["Message"])
        if "detail" in document:
            # EventBridge writes keys as they are.
            told = document["detail"]
            yield told["bucket"]["name"], told["object"]["key"]
        for record in document.get("Records", ()):
            told = record["s3"]
            yield told["bucket"]["name"], unquote_plus(told["object"]["key"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return


def region_of(url: str) -> str | None:
    """The region of a queue of Amazon's; None of other servers.

    >>> region_of("https://sqs.eu-west-1.amazonaws.com/123456789012/receipts")
    'eu-west-1'
    """
    found = _HOST.search(urlsplit(url).hostname or "")
    return None if found is None else found[1]
