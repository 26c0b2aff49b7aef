"""What deliveries need of an Audience Manager connection; the hook has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from datetime import datetime

    from airflow_am_provider.audience_manager.api.inbound_history import InboundFile
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.destination import Destination
    from airflow_am_provider.storage import Drop, Folder, S3Folder

#: What to do where a connection leads elsewhere than when a delivery was made.
MAKE_ANEW: Final = (
    "Where the connection was changed on purpose, clear the task that formatted it, with all that "
    "is after it: the rows are formatted and sent anew. Otherwise change it back, or give each of "
    "the tasks the same connection"
)


class Mail(Protocol):
    """A message that may be a receipt."""

    @property
    def identity(self) -> str:
        """Where it lies, the same each time."""
        ...

    @property
    def raw(self) -> bytes:
        """Its bytes, headers and all."""
        ...


class ReceiptSource(Protocol):
    """Where receipts come in: a mailbox, or a folder of raw mails."""

    @property
    def place(self) -> str:
        """Where it is, in words."""
        ...

    def mails(self, since: datetime, *, seen: Container[str] = ()) -> Iterable[Mail]:
        """Messages that came since a moment, but for those that were seen."""
        ...


class Settings(Protocol):
    """What a connection says; each field is described in its form."""

    @property
    def allowed_dpids(self) -> frozenset[int] | None:
        """The data sources that deliveries may be of; None for all."""
        ...

    @property
    def environment(self) -> str:
        """``production``, ``beta`` or ``custom``."""
        ...

    @property
    def transport(self) -> str:
        """``s3``, ``sftp`` or ``ftp``."""
        ...

    @property
    def partner_name(self) -> str | None:
        """The name that Adobe gave the company."""
        ...

    @property
    def partner_id(self) -> int | None:
        """The number that receipts greet; None when nothing is known."""
        ...

    @property
    def api_conn_id(self) -> str | None:
        """The connection of Adobe's REST API; None where there is none."""
        ...

    @property
    def receipts_sender(self) -> str:
        """The only address receipts come from."""
        ...

    @property
    def receipts_authentication(self) -> str:
        """``ignore``, ``if_present`` or ``require``."""
        ...

    @property
    def cross_device(self) -> frozenset[int]:
        """Numbers of the data sources that are known to be cross-device."""
        ...

    @property
    def authserv_id(self) -> str | None:
        """The mail server's name; empty for one that writes none, None when nothing is known."""
        ...


class Connection(Protocol):
    """What a connection leads to: staging, destination, receipts."""

    @property
    def audience_manager_conn_id(self) -> str:
        """Its ID, for messages."""
        ...

    @property
    def settings(self) -> Settings:
        """What it says."""
        ...

    @property
    def destination_name(self) -> str:
        """What tells destinations apart, such as ``production/acme``."""
        ...

    @property
    def destination_url(self) -> str:
        """Where files are sent: ``s3://bucket/PARTNER`` or ``sftp://host/directory``."""
        ...

    def staging(self) -> Folder:
        """The folder in which deliveries are prepared."""
        ...

    def targets(self) -> Targets:
        """The targets of the staging location, each with what was decided about it."""
        ...

    def destination(self) -> Destination:
        """Where deliveries are sent."""
        ...

    def destination_bucket(self) -> S3Folder:
        """The bucket that files are sent to."""
        ...

    def inbound_history(self, dpid: int) -> Sequence[InboundFile] | None:
        """What the REST API says became of a data source's files; None where no API is named."""
        ...

    def drop(self) -> Drop | None:
        """The directory on another host, a context manager; None where files go to a bucket."""
        ...

    def receipt_sources(self) -> Sequence[ReceiptSource]:
        """Where receipts come in."""
        ...
