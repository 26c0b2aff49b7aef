"""Documents in a bucket, by conditional writes: ``If-None-Match`` and ``If-Match``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.homes import Loaded
from airflow_am_provider.storage.s3.errors import NO_SUCH_REQUEST, error_code, s3_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.storage.s3.folder import S3Folder

_DOCUMENT: Final = ".json"
# A condition that does not hold; another write of the same key at the same moment.
_QUICKER: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_MISSING: Final = frozenset({"NoSuchKey", "404"})

#: What to do about a store that keeps no conditions.
NO_CONDITIONS: Final = (
    "keeps no conditional writes, so two tasks could both be told that they decided. Give the "
    "connection a state_conn_id, an Airflow connection to an SQL database, which will keep the "
    "decisions; files may stay where they are"
)


class ObjectStorageHome:
    """Documents as objects under a prefix of a bucket.

    :param folder: the prefix.
    """

    def __init__(self, folder: S3Folder) -> None:
        self._folder = folder

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return self._folder.url

    def load(self, key: str) -> Loaded | None:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        from botocore.exceptions import ClientError

        folder, path = self._folder, key + _DOCUMENT
        with s3_errors("read", f"{folder.url}/{path}"):
            try:
                answer = folder.client.get_object(Bucket=folder.bucket, Key=folder.key(path))
                return Loaded(answer["Body"].read(), str(answer["ETag"]))
            except ClientError as error:
                if error_code(error.response) in _MISSING:
                    return None
                raise

    def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        from botocore.exceptions import ClientError

        folder, path = self._folder, key + _DOCUMENT
        condition = {"IfNoneMatch": "*"} if if_version is None else {"IfMatch": if_version}
        with s3_errors("write", f"{folder.url}/{path}"):
            try:
                folder.client.put_object(
                    Bucket=folder.bucket,
                    Key=folder.key(path),
                    Body=content,
                    **condition,
                    **folder.extra_args,
                )
            except ClientError as error:
                code = error_code(error.response)
                # A document that is gone since it was read is changed, too.
                if code in _QUICKER or (if_version is not None and code in _MISSING):
                    return False
                if code in NO_SUCH_REQUEST:
                    raise ConfigurationError(f"{folder.url} {NO_CONDITIONS}") from None
                raise
        return True

    def discard(self, key: str) -> None:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        self._folder.delete(key + _DOCUMENT)

    def keys(self, prefix: str) -> Iterator[str]:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        for entry in self._folder.list(prefix):
            if entry.path.endswith(_DOCUMENT):
                yield entry.path.removesuffix(_DOCUMENT)
