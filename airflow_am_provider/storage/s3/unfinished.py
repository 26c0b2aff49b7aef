"""Aborting uploads in pieces that broke off: their pieces cost money.

Accounts at Adobe may be allowed neither to list nor to abort: then they stay until a rule of
the bucket ends them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_logger = logging.getLogger(__name__)


def begun_uploads(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Uploads that were begun and not completed, in the words of ``list_multipart_uploads``.

    :param prefix: of their keys.
    """
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        # Not every server like S3 goes by the prefix.
        yield from (one for one in page.get("Uploads", ()) if one["Key"].startswith(prefix))


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
        begun = list(begun_uploads(client, bucket, prefix))
    except (BotoCoreError, ClientError):
        return None  # This account may not look.
    for upload in begun:
        if is_over(upload["Key"], upload["UploadId"]):
            abort_upload(client, bucket, upload["Key"], upload["UploadId"])
    return {str(upload["UploadId"]) for upload in begun}


def abort_upload(client: Any, bucket: str, key: str, upload_id: str) -> None:
    """Abort one of them, if the account may."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except (BotoCoreError, ClientError, OSError) as error:
        _logger.info("%s: could not abort an upload: %s", key, type(error).__name__)
