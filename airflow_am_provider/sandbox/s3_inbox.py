"""Files in an S3 bucket, under ``PARTNER/date=YYYY-MM-DD/NAME``.

Pages: inbound-s3-filenames.md, authorize-s3-inbound.md. Endpoint, region and credentials come
from boto3's usual chain (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, …).
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.processed_markers import MARK
from airflow_am_provider.sandbox.inbox import FoundFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
_KEY = re.compile(r"(?P<partner>[^/]+)/date=(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/(?P<name>[^/]+)")
_NOT_A_KEY: Final = "its key is not PARTNER/date=YYYY-MM-DD/NAME (inbound-s3-filenames.md)"
# Gone, or replaced since the bucket was listed: the next look will find what is there then.
_GONE: Final = frozenset({"NoSuchKey", "404", "PreconditionFailed", "412"})
# Servers that know no ACLs, and buckets that have them switched off: the owner reads everything.
_NO_ACLS: Final = frozenset({"NotImplemented", "MethodNotAllowed", "AccessControlListNotSupported"})
_READING: Final = frozenset({"FULL_CONTROL", "READ"})


def s3_client() -> Any:
    """A client by boto3's usual chain.

    :raises ConfigurationError: when boto3 is not installed or not set up.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ConfigurationError("s3:// needs the Python package boto3") from None
    try:
        # Paths, because a local server has no host name for each bucket.
        return boto3.client(
            "s3",
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 3},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"s3://: {error}") from error


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Cut ``s3://BUCKET/PREFIX``.

    :raises ConfigurationError: when it is no such URL.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigurationError(f"{url!r}: s3://BUCKET[/PREFIX] is needed")
    return match["bucket"], (match["prefix"] or "").strip("/")


@contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Turn what boto3 raises into errors that say what to do next."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _GONE:
            raise FileNotFoundError(what) from error
        raise TransientError(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise TransientError(f"{what}: {error}") from error


class S3Inbox:
    """A bucket that files are delivered to.

    :param url: ``s3://BUCKET``, or ``s3://BUCKET/PARTNER`` to look at one company's files;
        ``s3://BUCKET/PREFIX/PARTNER`` where a path stands before the company's name.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._bucket, prefix = bucket_and_prefix(url)
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = s3_client()
        self._owner: str | None = None

    def files(self) -> Iterator[FoundFile]:
        """What is there now, but for markers."""
        with s3_errors(self.url):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    if not item["Key"].endswith((MARK, "/")):
                        yield self._found(item)

    def refusal(self, file: FoundFile) -> str | None:
        """Why the bucket's owner may not read an object (authorize-s3-inbound.md)."""
        from botocore.exceptions import ClientError

        key = self._key(file.path)
        with s3_errors(file.path):
            try:
                if self._owner is None:
                    acl = self._client.get_bucket_acl(Bucket=self._bucket)
                    self._owner = acl["Owner"]["ID"]
                grants = self._client.get_object_acl(Bucket=self._bucket, Key=key)["Grants"]
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code in _NO_ACLS:
                    return None
                if code != "AccessDenied":
                    raise
                grants = []
        if any(
            grant["Grantee"].get("ID") == self._owner and grant["Permission"] in _READING
            for grant in grants
        ):
            return None
        return (
            "the bucket's owner may not read it: it was sent without the ACL "
            "bucket-owner-full-control (authorize-s3-inbound.md)"
        )

    @contextmanager
    def open(self, file: FoundFile) -> Iterator[BinaryIO]:
        """Open an object; it is streamed, not loaded."""
        with s3_errors(file.path):
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._key(file.path),
                IfMatch=file.version.partition(" ")[0],
            )
            with closing(answer["Body"]) as body:
                yield cast("BinaryIO", body)

    def mark(self, path: str, version: str) -> bool:
        """Put an empty object ``NAME.processed`` beside the file (aam-data-onboarding-validate)."""
        with s3_errors(path):
            self._client.put_object(Bucket=self._bucket, Key=self._key(path) + MARK, Body=b"")
        return True

    def _match(self, key: str) -> re.Match[str] | None:
        """The partner, day and name of a key."""
        # A path may stand before the partner's name; whoever names it names the partner too.
        before = self._prefix.rstrip("/").rpartition("/")[0]
        return _KEY.fullmatch(key.removeprefix(f"{before}/") if before else key)

    def _key(self, path: str) -> str:
        return path.removeprefix(f"s3://{self._bucket}/")

    def _found(self, item: dict[str, Any]) -> FoundFile:
        key: str = item["Key"]
        changed: datetime = item["LastModified"]
        match = self._match(key)
        day = _day(match["day"]) if match else None
        name = key.rpartition("/")[2]
        return FoundFile(
            path=f"s3://{self._bucket}/{key}",
            name=name,
            version=f"{item['ETag']} {item['Size']} {changed.astimezone(UTC).isoformat()}",
            byte_count=item["Size"],
            printed=f"s3n://{self._bucket}/{day}/{name}",
            partner=match["partner"] if match else "",
            place_problem="" if day else _NOT_A_KEY,
        )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
