"""What an Airflow connection of the type ``audience_manager`` says, checked as a whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.environments import (
    ENVIRONMENTS,
    Environment,
    object_key,
)
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.receipts.mail import is_sender
from airflow_am_provider.formatting.openpgp import parsed_fingerprint
from airflow_am_provider.get_provider_info import get_provider_info
from airflow_am_provider.storage.paths import is_safe_path
from airflow_am_provider.suppression.source import SuppressionSource

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a public key as text begins with (RFC 9580, 6.2.1).
ARMOUR: Final = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

# The fields, their choices and defaults: one home for the form and for this.
CONNECTION_FIELDS: Final[dict[str, Any]] = get_provider_info()["connection-types"][0]["conn-fields"]

# What stands in receipts_authserv_id for a server that writes no name, as Microsoft 365 does: an
# empty field says that nothing is known. RFC 8601 asks for the name, so no server is called this.
UNNAMED_MAIL_SERVER: Final = "unnamed"

# As many digits as are read of a greeting (inbound-receipt-message.md).
_PARTNER_ID = re.compile("[0-9]{1,18}")

_DPIDS = re.compile("[ ]*[0-9]{1,18}[ ]*(,[ ]*[0-9]{1,18}[ ]*)*")

# docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionSettings:
    """One Audience Manager connection. Each field is described in the connection form.

    :param environment: ``production``, ``beta`` or ``custom``.
    :param transport: ``s3``, ``sftp``, ``ftps`` or ``ftp``.
    :param partner_name: the name Adobe gave the company; needed for ``s3``.
    :param aws_conn_id: connection for the destination bucket.
    :param bucket: the destination bucket, where the environment is ``custom``.
    :param bucket_prefix: path in the destination bucket before the partner's name, in every
        environment.
    :param ftp_conn_id: connection of the account on another host; needed for all but ``s3``.
    :param ftp_directory: folder on that host.
    :param allowed_data_sources: DPIDs that deliveries may be of, with commas; all when empty.
    :param allow_plain_ftp: ``yes`` where plain FTP to a host of Adobe's is insisted on.
    :param receipts_imap_conn_id: connection of the mailbox with receipts.
    :param receipts_location: folder of raw mails, ``s3://bucket/prefix`` or a path.
    :param receipts_sqs_queue: URL of the SQS queue with that folder's S3 events.
    :param receipts_sender: the only address receipts come from.
    :param receipts_authentication: ``ignore``, ``if_present`` or ``require``.
    :param receipts_authserv_id: the name the mail server gives itself, or ``unnamed``; needed for
        ``require``.
    :param receipts_partner_id: the number that receipts greet; those of others do not count.
    :param cross_device_data_sources: DPIDs of cross-device data sources, with commas.
    :param staging_location: ``s3://bucket/prefix`` or a path.
    :param staging_aws_conn_id: connection for the staging bucket, if it is another.
    :param state_conn_id: SQL database that keeps decisions, where the staging store has no
        conditional writes.
    :param api_conn_id: connection of Adobe's REST API.
    :param staging_encryption: ``none``, ``AES256`` or ``aws:kms``.
    :param staging_kms_key_id: the key for ``aws:kms``, if it is not the account's own.
    :param pgp_public_key: the key that files are encrypted to: where it lies, or itself in ASCII
        armour.
    :param pgp_fingerprint: the fingerprint that it must have; needed for ``pgp_public_key``.
    :param suppression_source: file or folder of the suppression list.
    :param suppression_sql: query or table of it, instead.
    :param suppression_conn_id: the connection for either.
    :param suppression_column: the column of the IDs.
    :param suppression_hashed: ``yes`` where they are SHA-256 hashes.
    """

    environment: str
    transport: str
    staging_location: str
    ftp_directory: str
    receipts_sender: str
    receipts_authentication: str
    aws_conn_id: str
    staging_encryption: str
    suppression_hashed: str
    allow_plain_ftp: str
    allowed_data_sources: str | None = None
    partner_name: str | None = None
    bucket: str | None = None
    bucket_prefix: str | None = None
    ftp_conn_id: str | None = None
    receipts_imap_conn_id: str | None = None
    receipts_location: str | None = None
    receipts_sqs_queue: str | None = None
    receipts_authserv_id: str | None = None
    receipts_partner_id: str | None = None
    cross_device_data_sources: str | None = None
    staging_aws_conn_id: str | None = None
    staging_kms_key_id: str | None = None
    state_conn_id: str | None = None
    api_conn_id: str | None = None
    pgp_public_key: str | None = None
    pgp_fingerprint: str | None = None
    suppression_source: str | None = None
    suppression_sql: str | None = None
    suppression_conn_id: str | None = None
    suppression_column: str | None = None

    @property
    def adobe(self) -> Environment | None:
        """Adobe's environment, or None for a custom one."""
        return ENVIRONMENTS.get(self.environment)

    @property
    def destination_bucket(self) -> str:
        """The bucket that files are sent to."""
        return self.adobe.bucket if self.adobe else self.bucket or ""

    @property
    def destination_folder(self) -> str:
        """The folder in that bucket: ``PARTNER``, or ``PREFIX/PARTNER``."""
        prefix = (self.bucket_prefix or "").strip("/")
        return f"{prefix}/{self.partner_name}" if prefix else f"{self.partner_name}"

    @property
    def authserv_id(self) -> str | None:
        """The mail server's name; empty for one that writes none, None when nothing is known."""
        return "" if self.receipts_authserv_id == UNNAMED_MAIL_SERVER else self.receipts_authserv_id

    @property
    def partner_id(self) -> int | None:
        """The number that receipts greet, or None when nothing is known."""
        return None if self.receipts_partner_id is None else int(self.receipts_partner_id)

    @property
    def allowed_dpids(self) -> frozenset[int] | None:
        """The data sources that deliveries may be of; None for all."""
        if self.allowed_data_sources is None:
            return None
        return frozenset(int(dpid) for dpid in self.allowed_data_sources.split(","))

    @property
    def cross_device(self) -> frozenset[int]:
        """Numbers of the data sources that are known to be cross-device."""
        named = self.cross_device_data_sources
        return frozenset() if named is None else frozenset(map(int, named.split(",")))

    @property
    def staging_args(self) -> dict[str, str]:
        """What every object in staging is written with, in the words of boto3's ``ExtraArgs``."""
        if self.staging_encryption == "none":
            return {}
        key = {"SSEKMSKeyId": self.staging_kms_key_id} if self.staging_kms_key_id else {}
        return {"ServerSideEncryption": self.staging_encryption, **key}

    @property
    def suppression(self) -> SuppressionSource | None:
        """The suppression list of every delivery, if there is one."""
        return SuppressionSource.named(
            "suppression list of the connection",
            sql=self.suppression_sql,
            source=self.suppression_source,
            conn_id=self.suppression_conn_id,
            column=self.suppression_column,
            hashed=self.suppression_hashed == "yes",
        )

    @classmethod
    def parse(cls, extra: Mapping[str, object], conn_id: str) -> ConnectionSettings:
        """Check a connection's extra.

        :param extra: the fields; an empty one means its default.
        :param conn_id: the connection's ID, for messages.
        :raises ConfigurationError: names connection, field, value and rule.

        >>> settings = ConnectionSettings.parse(
        ...     {"partner_name": "acme", "staging_location": "s3://crm/staging"}, "am")
        >>> settings.environment, settings.destination_bucket
        ('beta', 'demdex-s2s-clients-sandbox-us-east-1')
        """
        check = _Check(conn_id)
        values: dict[str, str] = {}
        for name, value in extra.items():
            check.that(
                name in CONNECTION_FIELDS,
                name,
                f"there is no such field; there are {', '.join(CONNECTION_FIELDS)}",
            )
            check.that(value is None or isinstance(value, str), name, f"{value!r} is no text")
            if value:
                values[name] = str(value)
        for name, field in CONNECTION_FIELDS.items():
            schema = field["schema"]
            if "default" in schema:
                values.setdefault(name, schema["default"])
            if "enum" in schema and values.get(name) not in schema["enum"]:
                choices = ", ".join(schema["enum"])
                check.fail(name, f"{printable(values[name])!r} is none of {choices}")
        check.that("staging_location" in values, "staging_location", _NO_STAGING)
        if values["ftp_directory"].startswith("/"):
            # One folder is one destination, however it is written.
            values["ftp_directory"] = f"/{values['ftp_directory'].strip('/')}"
        settings = cls(**{field.name: values[field.name] for field in _present(values)})
        check.whole(settings)
        return settings


_QUEUE: Final = re.compile(r"https?://[^/?#@\s]+/[^?#@\s]+")
_NO_STAGING: Final = (
    "missing; it says where deliveries are prepared: s3://bucket/prefix, or an absolute path that "
    "every worker shares"
)


def _present(values: Mapping[str, str]) -> list[Any]:
    return [field for field in fields(ConnectionSettings) if field.name in values]


@dataclass(frozen=True)
class _Check:
    conn_id: str

    def fail(self, field: str, rule: str) -> None:
        raise ConfigurationError(f"connection {self.conn_id!r}: {printable(field)}: {rule}")

    def that(self, holds: bool, field: str, rule: str) -> None:
        if not holds:
            self.fail(field, rule)

    def whole(self, settings: ConnectionSettings) -> None:
        """Check what fields say together."""
        if settings.transport == "s3":
            self.that(
                settings.partner_name is not None,
                "partner_name",
                "missing; transport s3 puts every file under PARTNER_NAME/ "
                "(inbound-s3-filenames.md)",
            )
        if settings.partner_name is not None:
            try:
                object_key(settings.partner_name, date(2000, 1, 1), "name")
            except ConfigurationError as error:
                self.fail("partner_name", str(error))
        if settings.transport != "s3":
            self.that(
                settings.ftp_conn_id is not None,
                "ftp_conn_id",
                f"missing; transport {settings.transport} needs the Airflow connection of the "
                f"account on the host",
            )
        self._bucket(settings)
        prefix = (settings.bucket_prefix or "").strip("/")
        self.that(
            settings.bucket_prefix is None or is_safe_path(prefix),
            "bucket_prefix",
            f"{printable(settings.bucket_prefix or '')!r} is no path in a bucket; it is what "
            f"stands before the partner name in AWS_directory, such as 'inbound/eu'",
        )
        self.that(
            prefix.rpartition("/")[2] != settings.partner_name or not prefix,
            "bucket_prefix",
            f"{printable(prefix)!r} ends in the partner name, which follows it by itself; leave "
            f"that out",
        )
        inside = settings.ftp_directory.strip("/")
        absolute = f"; write {printable('/' + inside)!r}" if is_safe_path(inside) else ""
        self.that(
            settings.ftp_directory.startswith("/") and (not inside or is_safe_path(inside)),
            "ftp_directory",
            f"{printable(settings.ftp_directory)!r} is not an absolute path without '..'{absolute}",
        )
        for name in ("staging_location", "receipts_location", "suppression_source"):
            value = getattr(settings, name)
            self.that(
                value is None or _is_location(value),
                name,
                f"{printable(value or '')!r} is neither s3://bucket/prefix nor an absolute path",
            )
        queue = settings.receipts_sqs_queue or ""
        self.that(
            not queue or _QUEUE.fullmatch(queue) is not None,
            "receipts_sqs_queue",
            f"{printable(queue)!r} is not the URL of a queue, such as "
            f"https://sqs.eu-west-1.amazonaws.com/123456789012/receipts",
        )
        self.that(
            not queue or (settings.receipts_location or "").startswith("s3://"),
            "receipts_sqs_queue",
            "it tells of new objects in receipts_location, which must be s3://bucket/prefix",
        )
        self.that(
            is_sender(settings.receipts_sender),
            "receipts_sender",
            f"{printable(settings.receipts_sender)!r} is not an e-mail address",
        )
        self.that(
            settings.receipts_authentication != "require" or bool(settings.receipts_authserv_id),
            "receipts_authserv_id",
            "missing; with receipts_authentication 'require' it must be the name that your mail "
            f"server writes first in Authentication-Results, or {UNNAMED_MAIL_SERVER!r} where it "
            "writes none (Microsoft 365); anybody can write that header (RFC 8601)",
        )
        self.that(
            settings.receipts_partner_id is None
            or _PARTNER_ID.fullmatch(settings.receipts_partner_id) is not None,
            "receipts_partner_id",
            f"{printable(settings.receipts_partner_id or '')!r} is not a number; it is the one "
            f"that receipts greet, as 7 in 'Dear Adobe Partner: (ID:7)'",
        )
        self.that(
            settings.allowed_data_sources is None
            or _DPIDS.fullmatch(settings.allowed_data_sources) is not None,
            "allowed_data_sources",
            f"{printable(settings.allowed_data_sources or '')!r} is no list of numbers with commas "
            f"between them, such as '478, 567'",
        )
        self.that(
            settings.cross_device_data_sources is None
            or _DPIDS.fullmatch(settings.cross_device_data_sources) is not None,
            "cross_device_data_sources",
            f"{printable(settings.cross_device_data_sources or '')!r} is no list of numbers with "
            f"commas between them, such as '478, 567'",
        )
        self._staging(settings)
        self._pgp(settings)
        try:
            _ = settings.suppression
        except ConfigurationError as error:
            raise ConfigurationError(f"connection {self.conn_id!r}: {error}") from None

    def _staging(self, settings: ConnectionSettings) -> None:
        self.that(
            settings.staging_encryption == "none" or settings.staging_location.startswith("s3://"),
            "staging_encryption",
            f"{settings.staging_encryption} is done by S3, and the staging location "
            f"{printable(settings.staging_location)!r} is a directory; encrypt its disk, or stage "
            f"in a bucket",
        )
        self.that(
            settings.staging_encryption == "aws:kms" or settings.staging_kms_key_id is None,
            "staging_kms_key_id",
            f"a key of KMS, but staging_encryption is {settings.staging_encryption}; choose "
            f"aws:kms, or leave it empty",
        )

    def _pgp(self, settings: ConnectionSettings) -> None:
        key = settings.pgp_public_key
        self.that(
            key is not None or settings.pgp_fingerprint is None,
            "pgp_public_key",
            "missing, so that nothing would be encrypted, although pgp_fingerprint names a key",
        )
        if key is None:
            return
        self.that(
            "PGP PRIVATE KEY" not in key,
            "pgp_public_key",
            "a secret key, which its owner alone may have; give the public one, and let its owner "
            "take this one for known to others",
        )
        self.that(
            key.lstrip().startswith(ARMOUR) or _is_location(key),
            "pgp_public_key",
            f"neither s3://bucket/key, nor an absolute path, nor a key that begins with {ARMOUR}",
        )
        self.that(
            "\n" in key.strip() or not key.lstrip().startswith(ARMOUR),
            "pgp_public_key",
            "a key that has lost its line ends, as in a field of one line; put it into a file and "
            "name that, or write \\n for each line end in the extra's JSON",
        )
        try:
            parsed_fingerprint(settings.pgp_fingerprint, "pgp_fingerprint")
        except ConfigurationError as error:
            raise ConfigurationError(f"connection {self.conn_id!r}: {error}") from None

    def _bucket(self, settings: ConnectionSettings) -> None:
        if settings.adobe is not None:
            self.that(
                settings.bucket is None,
                "bucket",
                f"{printable(settings.bucket or '')!r}: the environment {settings.environment} has "
                f"its own, {settings.adobe.bucket}; leave it empty or choose custom",
            )
        elif settings.transport == "s3":
            self.that(
                settings.bucket is not None and _BUCKET.fullmatch(settings.bucket) is not None,
                "bucket",
                f"{printable(settings.bucket or '')!r} is not the name of a bucket; the "
                f"environment custom needs one",
            )


def _is_location(value: str) -> bool:
    try:
        split_location(value)
    except ConfigurationError:
        return False
    return True


def split_location(url: str) -> tuple[str | None, str]:
    """Take a location apart: ``(bucket, prefix)``, or ``(None, path)`` on a file system.

    :param url: ``s3://bucket/prefix``, ``file:///path`` or an absolute path.
    :raises ConfigurationError: when it is none of them.

    >>> split_location("s3://crm/staging/"), split_location("file:///data")
    (('crm', 'staging'), (None, '/data'))
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        if _BUCKET.fullmatch(bucket) and (not prefix or is_safe_path(prefix)):
            return bucket, prefix
    else:
        path = url.removeprefix("file://")
        inside = path.strip("/")
        if path.startswith("/") and (not inside or is_safe_path(inside)):
            return None, path
    raise ConfigurationError(
        f"location {printable(url)!r}: s3://bucket/prefix, file:///path or an absolute path is "
        f"expected"
    )
