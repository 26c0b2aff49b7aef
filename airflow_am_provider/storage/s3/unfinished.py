"""Beginning to write an object in pieces, and aborting what broke off: its pieces cost money.

Accounts at Adobe may be allowed neither to list nor to abort: then it stays until a rule of the
bucket ends it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_logger = logging.getLogger(__name__)


def begin_upload(client: Any, bucket: str, key: str, args: Mapping[str, Any]) -> str:
    """Begin to write an object in pieces; its ID.

    :param client: boto3's S3 client, which asks again when an answer gets lost.
    :param args: what the object is written with, in the words of boto3's ``ExtraArgs``.
    """
    answer = client.create_multipart_upload(Bucket=bucket, Key=key, **args)
    begun = str(answer["UploadId"])
    if answer["ResponseMetadata"].get("RetryAttempts"):
        # The server may have begun another one each time.
        abort_uploads(client, bucket, key, lambda of, upload: of == key and upload != begun)
    return begun


def abort_uploads(
    client: Any, bucket: str, prefix: str, is_over: Callable[[str, str], bool]
) -> set[str] | None:
    """Abort uploads that were begun and not completed, as far as the account may.

    :param prefix: of their keys.
    :param is_over: told the key and the ID of each, says whether to abort it.
    :return: the IDs of all that were there, or None when that is not known.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix)
    except (BotoCoreError, ClientError):
        return None  # This account may not look.
    for upload in answer.get("Uploads", ()):
        if is_over(upload["Key"], upload["UploadId"]):
            abort_upload(client, bucket, upload["Key"], upload["UploadId"])
    if answer.get("IsTruncated"):
        return None
    return {str(upload["UploadId"]) for upload in answer.get("Uploads", ())}


def abort_upload(client: Any, bucket: str, key: str, upload_id: str) -> None:
    """Abort one of them, if the account may."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except (BotoCoreError, ClientError, OSError) as error:
        _logger.info("%s: could not abort an upload: %s", key, type(error).__name__)
