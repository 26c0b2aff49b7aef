"""The road to a bucket.

Pages: inbound-s3-filenames.md, authorize-s3-inbound.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.storage.s3.access import access_of
from airflow_am_provider.storage.s3.errors import error_code, s3_errors

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.uploads.s3_destination import S3Destination
    from airflow_am_provider.hooks.roads.road import Hook
    from airflow_am_provider.storage import S3Folder


class S3Road:
    """Transport ``s3``; see :class:`~airflow_am_provider.hooks.roads.road.Road`."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    @property
    def url(self) -> str:
        """``s3://bucket/PARTNER``, or ``s3://bucket/PREFIX/PARTNER``."""
        settings = self._hook.settings
        return f"s3://{settings.destination_bucket}/{settings.destination_folder}"

    def destination(self) -> S3Destination:
        """Where deliveries are sent."""
        from airflow_am_provider.deliveries.uploads.s3_destination import S3Destination

        partner_name = self._hook.settings.partner_name or ""
        return S3Destination(folder=self.bucket(), partner_name=partner_name)

    def bucket(self) -> S3Folder:
        """The bucket that files are sent to, which this account may not be allowed to read.

        Paths in it begin with the partner's name.
        """
        from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS
        from airflow_am_provider.storage import S3Folder

        settings = self._hook.settings
        client = self._hook.s3_client(settings.aws_conn_id)
        prefix = (settings.bucket_prefix or "").strip("/")
        return S3Folder(client, settings.destination_bucket, prefix, extra_args=OBJECT_ARGS)

    def drop(self) -> None:
        """There is none."""

    def prove(self) -> str:
        """Ask for the bucket."""
        from botocore.exceptions import ClientError

        bucket = self._hook.settings.destination_bucket
        client = self._hook.s3_client(self._hook.settings.aws_conn_id)
        with s3_errors("reach", f"s3://{bucket}", access_of(client)):
            try:
                client.head_bucket(Bucket=bucket)
            except ClientError as error:
                # What an account gets that may write only: a HEAD of a bucket asks for listing.
                if error_code(error.response) in {"403", "AccessDenied"}:
                    return (
                        f"{self.url} answers, and does not let these keys list it, as is usual at "
                        f"Adobe; whether they may write shows with the first file"
                    )
                raise
        return f"{self.url} is there"
