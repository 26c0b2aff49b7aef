"""What a road has to offer, and what it is told of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.uploads.destination import Destination
    from airflow_am_provider.hooks.settings import ConnectionSettings
    from airflow_am_provider.storage import Drop


class Hook(Protocol):
    """The connection that chooses a road."""

    @property
    def audience_manager_conn_id(self) -> str:
        """Its ID, for messages."""
        ...

    @property
    def settings(self) -> ConnectionSettings:
        """What it says."""
        ...

    def s3_client(self, aws_conn_id: str, asked_by: str = "aws_conn_id") -> Any:
        """A boto3 client for S3."""
        ...


class Road(Protocol):
    """A way to Audience Manager."""

    @property
    def url(self) -> str:
        """Where files are sent, such as ``s3://bucket/PARTNER`` or ``sftp://host/directory``.

        :raises ConfigurationError: when nothing may be sent there.
        """
        ...

    def destination(self) -> Destination:
        """Where deliveries are sent.

        :raises ConfigurationError: when nothing may be sent there.
        """
        ...

    def drop(self) -> Drop | None:
        """The directory on another host, a context manager; None where files go to a bucket.

        :raises ConfigurationError: when nothing may be sent there.
        """
        ...

    def prove(self) -> str:
        """Try what can be tried without sending, and say in a sentence what holds.

        :raises ConfigurationError: when a person has to correct something.
        :raises TransientError: when the other side does not answer.
        """
        ...
