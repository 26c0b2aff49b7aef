"""The hook of the connection type ``audience_manager``.

The connection holds no secret of its own: it names the environment and the Airflow connections
(AWS, FTP, mailbox) that hold them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.connection_form import FormForAirflow31
from airflow_am_provider.hooks.connections import (
    DEFAULT_CONN_ID,
    get_connection,
    without_transient,
)
from airflow_am_provider.hooks.folders import folder_of
from airflow_am_provider.hooks.roads import road_of
from airflow_am_provider.hooks.settings import (
    ARMOUR,
    CONNECTION_FIELDS,
    ConnectionSettings,
    split_location,
)
from airflow_am_provider.parameters import choice, flag

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_am_provider.audience_manager.api.inbound_history import InboundFile
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.record import DeliveryRecord
    from airflow_am_provider.deliveries.target.homes import Home
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.destination import Destination
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.hooks.mailbox import Mailbox, ReceiptFolder
    from airflow_am_provider.hooks.receipt_events import AnnouncedFolder
    from airflow_am_provider.hooks.roads.road import Road
    from airflow_am_provider.hooks.s3_clients import S3Clients
    from airflow_am_provider.storage import Drop, Folder, S3Folder

__all__ = ["AudienceManagerHook"]


class AudienceManagerHook(FormForAirflow31, BaseHook):
    """What an Audience Manager connection leads to, and what can be done with deliveries there.

    :param audience_manager_conn_id: the connection.

    Example::

        hook = AudienceManagerHook("audience_manager_default")
        hook.settings.environment
        with hook.staging().open_write("probe.txt") as file:
            file.write(b"probe")
        sent = hook.upload(manifest)
    """

    conn_name_attr = "audience_manager_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "audience_manager"
    hook_name = "Adobe Audience Manager"

    def __init__(self, audience_manager_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.audience_manager_conn_id = audience_manager_conn_id

    @cached_property
    def settings(self) -> ConnectionSettings:
        """The connection's fields, checked.

        :raises ConfigurationError: names connection, field, value and rule.
        """
        conn_id = self.audience_manager_conn_id
        connection = get_connection(conn_id, asked_by="audience_manager_conn_id")
        return ConnectionSettings.parse(connection.extra_dejson, conn_id)

    @property
    def destination_name(self) -> str:
        """What tells destinations apart: ``production/acme``, ``custom/ftp://host/in``."""
        settings = self.settings
        if settings.adobe is not None and settings.transport == "s3":
            return f"{settings.environment}/{settings.destination_folder}"
        return f"{settings.environment}/{self.destination_url}"

    @property
    def destination_url(self) -> str:
        """Where files are sent: ``s3://bucket/PARTNER`` or ``sftp://host/directory``.

        :raises ConfigurationError: when the transport may not lead there.
        """
        return self.road.url

    @property
    def road(self) -> Road:
        """The way that the field ``transport`` chooses."""
        return road_of(self)

    def staging(self) -> Folder:
        """The folder in which deliveries are prepared."""
        return folder_of(
            self.settings.staging_location,
            lambda: self.s3_client(*self._staging_aws()),
            self.settings.staging_args,
            setting=f"staging_location of connection {self.audience_manager_conn_id!r}",
        )

    def targets(self) -> Targets:
        """The targets of the staging location, each with what was decided about it."""
        from airflow_am_provider.deliveries.targets import Targets

        return Targets(self.staging(), self._decisions_home)

    def is_staged_on_amazon(self) -> bool:
        """Whether staging lies on Amazon's own S3, and not on another server that speaks S3."""
        settings = self.settings
        if split_location(settings.staging_location)[0] is None:
            return False
        client = self.s3_client(*self._staging_aws())
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def open_folder(
        self,
        url: str,
        *,
        aws_conn_id: str | None = None,
        asked_by: str = "aws_conn_id",
        extra_args: Mapping[str, str] | None = None,
    ) -> Folder:
        """Open any folder, to read sources from for instance.

        :param url: ``s3://bucket/prefix``, ``file:///path`` or an absolute path.
        :param aws_conn_id: connection for S3; by default the one for staging.
        :param asked_by: the parameter that names it, for messages.
        :param extra_args: what objects on S3 are written with.
        :raises ConfigurationError: when the URL is none of them.
        """

        def client() -> Any:
            access = (aws_conn_id, asked_by) if aws_conn_id else self._staging_aws()
            return self.s3_client(*access)

        return folder_of(url, client, extra_args)

    def destination(self) -> Destination:
        """Where deliveries are sent.

        :raises ConfigurationError: when the transport may not lead there.
        """
        return self.road.destination()

    def destination_bucket(self) -> S3Folder:
        """The bucket that files are sent to, which this account may not be allowed to read."""
        from airflow_am_provider.hooks.roads.s3 import S3Road

        return S3Road(self).bucket()

    def drop(self) -> Drop | None:
        """The directory on another host, a context manager; None where files go to a bucket.

        :raises ConfigurationError: when the transport may not lead there.
        """
        return self.road.drop()

    def upload(
        self,
        manifest: object,
        *,
        on_older: str = "refuse",
        after: object = None,
        in_order: bool | str = True,
    ) -> dict[str, Any] | None:
        """Send a staged delivery now, if it is its turn.

        It waits for nothing: what has to be processed first is an error that names it, and the
        delivery keeps its place in the queue until it is called again. What was sent already is
        not sent again. :class:`~airflow_am_provider.operators.upload.UploadOperator` calls this,
        and waits in between.

        :param manifest: what a format operator returned: plain JSON, or that as text.
        :param on_older: when newer data was sent to the same target already: ``refuse``, ``send``
            or ``replay``, as for the operator.
        :param after: what other uploads returned that must be acknowledged first: one of them,
            several, or None.
        :param in_order: whether to wait for what was sent to the same target before it.
        :return: plain JSON for :class:`~airflow_am_provider.sensors.receipt.DeliveryReceiptSensor`,
            as the operator returns it; None when the manifest has no parts, so that there is
            nothing to send.
        :raises MustWait: when something has to be processed first; a ``TransientError``.
        :raises Superseded: when another version of the same window took its place.
        :raises ConfigurationError: when the delivery is refused, was given up, or is of another
            staging location or destination, or a parameter is wrong.
        :raises DataError: when a staged part is not what the manifest says.
        :raises TransientError: when staging, destination or the line fails.

        Example::

            @task(retries=20, retry_delay=timedelta(minutes=15))
            def send(manifest: dict) -> dict | None:
                with airflow_errors():
                    return AudienceManagerHook().upload(manifest, after=None)
        """
        from airflow_am_provider.deliveries.records import DeliveryRecords
        from airflow_am_provider.deliveries.uploads.result import upload_result
        from airflow_am_provider.deliveries.uploads.sending import send_delivery

        staged = self._at_its_turn(manifest, on_older, after, in_order)
        if staged is None:
            return None
        journal = send_delivery(self, staged, in_order=flag("in_order", in_order))
        if journal.has_completed:
            metrics.sent(journal.manifest, journal.entry)
        return upload_result(DeliveryRecords(self.targets()), journal).document

    def upload_share(
        self,
        manifest: object,
        share: int,
        shares: int,
        *,
        on_older: str = "refuse",
        after: object = None,
        in_order: bool | str = True,
    ) -> list[str]:
        """Send some of a delivery's parts now, if it is its turn; :meth:`upload` completes it.

        The other parameters and errors are those of :meth:`upload`.

        :param share: which share, counted from 0.
        :param shares: into how many all parts are divided, of about the same size each.
        :return: names of the share's files; none when the manifest has no parts.
        :raises ConfigurationError: when there is no such share, and as for :meth:`upload`.

        Example::

            names = AudienceManagerHook().upload_share(manifest, 0, 3)
        """
        from airflow_am_provider.deliveries.uploads.sending import send_share

        staged = self._at_its_turn(manifest, on_older, after, in_order)
        if staged is None:
            return []
        return send_share(self, staged, share, shares, in_order=flag("in_order", in_order))

    def deliveries(
        self,
        *,
        states: Collection[str] = (),
        target: str | None = None,
        limit: int | None = None,
    ) -> list[DeliveryRecord]:
        """The records of deliveries in the staging location, the newest last.

        :param states: only those, such as ``sent`` or ``failed``; ``outstanding`` stands for
            ``sending``, ``sent`` and ``picked_up``, ``needs_attention`` for all in which nothing
            goes on before somebody has looked. By default all.
        :param target: only those whose traits are set there, such as ``"478"``.
        :param limit: at most so many of each target, the newest ones; by default all.
        :return: records; ``to_json()`` of one is what ``airflow-am deliveries list --json`` prints.
        :raises ConfigurationError: when there is no such state.
        :raises TransientError: when staging does not answer.

        Example::

            @task
            def still_on_their_way() -> list[str]:
                records = AudienceManagerHook().deliveries(states=["outstanding"])
                return [record.entry.delivery_id for record in records]
        """
        from airflow_am_provider.deliveries.records import DeliveryRecords

        return DeliveryRecords(self.targets()).matching(states=states, target=target, limit=limit)

    def resend(self, delivery_id: str, *, force: bool = False) -> DeliveryRecord:
        """Send the very same bytes again under the same names; what was begun is finished first.

        :param delivery_id: the delivery; one that was abandoned is taken up again.
        :param force: send it although newer data of its target was sent.
        :return: its record, sent. A receipt sensor waits for the last sending by itself.
        :raises ConfigurationError: when there is none, newer data would be undone, or the
            destination refuses.
        :raises DataError: when its parts are no longer in staging.
        :raises TransientError: when it is not its turn, or the destination or the line fails.

        Example::

            AudienceManagerHook().resend("0123456789abcdef0123").to_json()
        """
        from airflow_am_provider.deliveries.uploads.sending import resend_delivery

        return resend_delivery(self, delivery_id, force=force)

    def abandon(self, delivery_id: str, reason: str) -> DeliveryRecord:
        """Give a delivery up: it is neither sent nor waited for.

        What of it lies half at its destination is deleted; what Audience Manager can see already
        stays.

        :param delivery_id: the delivery.
        :param reason: why, in a sentence, for those who look later.
        :return: its record, abandoned.
        :raises ConfigurationError: when there is none, or it is acknowledged.
        :raises TransientError: when staging does not answer.

        Example::

            AudienceManagerHook().abandon("0123456789abcdef0123", "The consent list was old.")
        """
        from airflow_am_provider.deliveries.uploads.sending import abandon_delivery

        return abandon_delivery(self, delivery_id, reason)

    def inbound_history(self, dpid: int) -> list[InboundFile] | None:
        """What Adobe's REST API says became of a data source's files.

        :param dpid: the data source whose IDs are in the files.
        :return: what is known; None when the connection has no ``api_conn_id``.
        :raises ConfigurationError: when the API refuses.
        :raises TransientError: when it does not answer.
        """
        from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook

        if not self.settings.api_conn_id:
            return None
        return AudienceManagerApiHook(self.settings.api_conn_id).inbound_history(dpid)

    def _announced(self, folder: ReceiptFolder) -> AnnouncedFolder:
        from airflow_am_provider.hooks.receipt_events import AnnouncedFolder, EventQueue, region_of
        from airflow_am_provider.hooks.s3_clients import s3_client

        url = self.settings.receipts_sqs_queue or ""
        client = s3_client(*self._staging_aws(), service="sqs", region=region_of(url))
        return AnnouncedFolder(mails_in=folder, queue=EventQueue(client=client, url=url))

    def receipt_sources(self) -> list[Mailbox | ReceiptFolder | AnnouncedFolder]:
        """Where receipts come in: the mailbox, the folder of raw mails, both or none."""
        from airflow_am_provider.hooks.mailbox import Mailbox, ReceiptFolder

        settings = self.settings
        sources: list[Mailbox | ReceiptFolder | AnnouncedFolder] = []
        if settings.receipts_imap_conn_id:
            sources.append(
                Mailbox(conn_id=settings.receipts_imap_conn_id, sender=settings.receipts_sender)
            )
        if settings.receipts_location:
            folder = ReceiptFolder(folder=self.open_folder(settings.receipts_location))
            sources.append(self._announced(folder) if settings.receipts_sqs_queue else folder)
        return sources

    def pgp_recipient(self) -> Recipient | None:
        """Who can read encrypted files: the owner of the connection's public key; None without one.

        :raises ConfigurationError: when the key cannot be read, has another fingerprint than the
            one that was pinned, has expired or is no public key, or GnuPG is missing.
        :raises TransientError: when the place that it lies in does not answer.
        """
        from airflow_am_provider.audience_manager.names import printable
        from airflow_am_provider.formatting.openpgp import Recipient

        settings = self.settings
        place = settings.pgp_public_key
        if place is None:
            return None
        try:
            is_key = place.lstrip().startswith(ARMOUR)
            key = place.encode() if is_key else self._file_at(place)
            return Recipient.pinned(
                key, settings.pgp_fingerprint, place=None if is_key else printable(place)
            )
        except ConfigurationError as error:
            raise ConfigurationError(
                f"connection {self.audience_manager_conn_id!r}: {error}"
            ) from None

    def s3_client(self, aws_conn_id: str, asked_by: str = "aws_conn_id") -> Any:
        """A boto3 client for S3 by Airflow's AWS connection, made once and anew when that changes.

        :param aws_conn_id: that connection.
        :param asked_by: the field or parameter that names it, for messages.
        :raises ConfigurationError: when there is no such connection, or it makes no client.
        :raises TransientError: when the service that gives the keys of its role does not answer.
        """
        is_field = asked_by in CONNECTION_FIELDS
        of = f" of {self.audience_manager_conn_id!r}" if is_field else ""
        return self._s3_clients.get(aws_conn_id, f"{asked_by}{of}")

    def test_connection(self) -> tuple[bool, str]:
        """Prove each part without sending data; one sentence per part."""
        from airflow_am_provider.hooks.connection_test import prove_parts

        holds, said = prove_parts(self)
        return holds, without_transient(said, self.audience_manager_conn_id)

    def _at_its_turn(
        self, manifest: object, on_older: str, after: object, in_order: bool | str
    ) -> Manifest | None:
        """A delivery that may be sent now; None when it has no parts."""
        from airflow_am_provider.deliveries.manifest import Manifest
        from airflow_am_provider.deliveries.target.commands import OnOlder
        from airflow_am_provider.deliveries.uploads.sending import enter_queue

        staged = Manifest.from_json(manifest)
        order, waits = choice("on_older", on_older, OnOlder), flag("in_order", in_order)
        if not staged.parts:
            return None
        enter_queue(self, staged, on_older=order, after=after, in_order=waits)
        return staged

    @cached_property
    def _s3_clients(self) -> S3Clients:
        from airflow_am_provider.hooks.s3_clients import S3Clients

        return S3Clients()

    @cached_property
    def _decisions_home(self) -> Home | None:
        """The SQL database that keeps decisions, where the connection names one."""
        from sqlalchemy.pool import NullPool

        from airflow_am_provider.deliveries.target.homes.sql_table import SqlTableHome

        conn_id = self.settings.state_conn_id
        if not conn_id:
            return None
        connection = get_connection(conn_id, asked_by="state_conn_id")
        hook = connection.get_hook()  # type: ignore[no-untyped-call]  # Airflow's is without
        engine_of = getattr(hook, "get_sqlalchemy_engine", None)
        if engine_of is None:
            raise ConfigurationError(
                f"connection {self.audience_manager_conn_id!r}: state_conn_id: {conn_id!r} is a "
                f"connection of the type {hook.conn_type!r}, and no SQL database"
            )
        # Decisions are seconds or days apart: no connection is kept open in between.
        engine = engine_of(engine_kwargs={"poolclass": NullPool})
        return SqlTableHome(engine, self.settings.staging_location)

    def _file_at(self, url: str) -> bytes:
        """The content of the file that holds the public key."""
        folder, _, name = url.rpartition("/")
        content = self.open_folder(folder or "/").read_bytes(name)
        if content is None:
            raise ConfigurationError(f"pgp_public_key: there is no {url}")
        return content

    def _staging_aws(self) -> tuple[str, str]:
        """The AWS connection for staging, and the field that names it."""
        settings = self.settings
        if settings.staging_aws_conn_id:
            return settings.staging_aws_conn_id, "staging_aws_conn_id"
        return settings.aws_conn_id, "aws_conn_id"
