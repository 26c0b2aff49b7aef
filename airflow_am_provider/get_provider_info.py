"""What Airflow reads about this provider without importing its hooks.

Airflow 3.3 draws the connection form from ``conn-fields`` and ``ui-field-behaviour`` alone, and
every Airflow process calls :func:`get_provider_info` when it starts: nothing heavy here.
"""

from __future__ import annotations

from typing import Any

from airflow_am_provider import __version__

__all__ = ["get_provider_info"]


_INTEGRATION = "Adobe Audience Manager"


def _field(
    label: str,
    description: str,
    *,
    enum: list[str] | None = None,
    default: str | None = None,
    is_required: bool = False,
) -> dict[str, Any]:
    """Describe one text field of the connection form, stored under its name in the extras.

    The form marks what may not be null, and does not save without it.
    """
    schema: dict[str, Any] = {"type": "string" if is_required else ["string", "null"]}
    if is_required:
        schema["minLength"] = 1
    if enum is not None:
        schema["enum"] = enum
    if default is not None:
        schema["default"] = default
    return {"label": label, "description": description, "schema": schema}


_CONNECTION_FIELDS: dict[str, Any] = {
    "environment": _field(
        "Environment",
        "Adobe's production or beta environment (beta checks files but knows no users), or custom "
        "for a bucket of your own, such as the sandbox's.",
        enum=["production", "beta", "custom"],
        default="beta",
    ),
    "staging_location": _field(
        "Staging location",
        "Where deliveries are prepared: s3://bucket/prefix, or an absolute path that every worker "
        "shares. It must be filled in.",
        is_required=True,
    ),
    "partner_name": _field(
        "Partner name",
        "The name Adobe gave your company: the first folder of every object in the bucket.",
    ),
    "transport": _field(
        "Transport",
        "How files are sent. What Adobe calls FTP is sftp; ftps and ftp are for hosts of your own.",
        enum=["s3", "sftp", "ftps", "ftp"],
        default="s3",
    ),
    "aws_conn_id": _field(
        "AWS connection",
        "Airflow connection with the keys or the role that may write to the bucket. Transport s3.",
        default="aws_default",
    ),
    "bucket": _field(
        "Bucket",
        "Only for the environment custom; Adobe's own environments have theirs.",
    ),
    "bucket_prefix": _field(
        "Path in the bucket",
        "What stands before the partner name in AWS_directory as Adobe gave it to you, such as "
        "inbound/eu; empty for most accounts. Transport s3.",
    ),
    "ftp_conn_id": _field(
        "SFTP or FTP connection",
        "Airflow connection of the account on the host, of the type sftp, or ftp for the "
        "transports ftps and ftp.",
    ),
    "ftp_directory": _field(
        "SFTP or FTP directory",
        "Folder on that host that files are put into.",
        default="/",
    ),
    "allow_plain_ftp": _field(
        "Plain FTP to Adobe",
        "Plain FTP to a host of Adobe's is refused, since Adobe means SFTP and the password would "
        "travel readable; yes insists.",
        enum=["no", "yes"],
        default="no",
    ),
    "allowed_data_sources": _field(
        "Allowed data sources",
        "DPIDs that deliveries through this connection may be of, with commas: 478, 567. A "
        "delivery of any other is refused before anything is staged. Empty allows all.",
    ),
    "receipts_imap_conn_id": _field(
        "Receipts: IMAP connection",
        "Airflow connection of the mailbox that Adobe's receipts arrive in.",
    ),
    "receipts_location": _field(
        "Receipts: folder of raw mail",
        "Where receipts lie as raw MIME files instead: s3://bucket/prefix or an absolute path.",
    ),
    "receipts_sqs_queue": _field(
        "Receipts: SQS queue",
        "URL of the queue that gets the S3 events of that folder, so that it is not listed at each "
        "look.",
    ),
    "receipts_sender": _field(
        "Receipts: sender",
        "Mail from any other address is not taken as a receipt.",
        default="aam-noreply@adobe.com",
    ),
    "receipts_authentication": _field(
        "Receipts: authentication",
        "Whether the mail server must vouch for the sender (DKIM or DMARC in "
        "Authentication-Results). if_present: wherever the server writes that header; a mail "
        "without it counts, with a warning. require: always. ignore: never, so that anybody who "
        "can write to the mailbox can acknowledge a lost delivery.",
        enum=["ignore", "if_present", "require"],
        default="if_present",
    ),
    "receipts_authserv_id": _field(
        "Receipts: name of the mail server",
        "The name your mail server writes first in Authentication-Results, or unnamed where it "
        "writes none (Microsoft 365). Fill it in: then only this server's word counts, and mail "
        "without it is refused. While it is empty, a forger can write the header. Needed for "
        "require.",
    ),
    "receipts_partner_id": _field(
        "Receipts: partner ID",
        "The number that Adobe's receipts greet you by, as 7 in Dear Adobe Partner: (ID:7). "
        "Receipts of another partner do not count. While it is empty, receipts of any partner do.",
    ),
    "api_conn_id": _field(
        "REST API: connection",
        "Airflow connection of the type Adobe Audience Manager API. With it, format tasks write "
        "down which traits they name, and a preflight holds them against what Adobe knows.",
    ),
    "cross_device_data_sources": _field(
        "Receipts: cross-device data sources",
        "Numbers of the cross-device data sources whose IDs your files have, such as 478, 901. "
        "They store records that match no AAM ID, so receipts do not count those as lost.",
    ),
    "staging_aws_conn_id": _field(
        "Staging: AWS connection",
        "Airflow connection for the staging bucket; the AWS connection above if left empty.",
    ),
    "state_conn_id": _field(
        "Staging: SQL connection for decisions",
        "Only where the staging store keeps no conditional writes, which Test says: an Airflow "
        "connection of an SQL database. What is queued, sent and in force is kept there, in a "
        "small table; files stay in staging.",
    ),
    "staging_encryption": _field(
        "Staging: encryption",
        "How S3 encrypts what is written to staging: as the bucket says (none), with its own keys "
        "(AES256) or with a key of KMS (aws:kms).",
        enum=["none", "AES256", "aws:kms"],
        default="none",
    ),
    "staging_kms_key_id": _field(
        "Staging: KMS key",
        "ID or ARN of the key for aws:kms; the account's own key for S3 if left empty.",
    ),
    "pgp_public_key": _field(
        "PGP: public key",
        "Adobe's public key. Files are encrypted to it then. s3://bucket/key, an absolute path, or "
        "the key itself in ASCII armour, with its line ends.",
    ),
    "pgp_fingerprint": _field(
        "PGP: fingerprint",
        "The fingerprint of that key, as Adobe tells it: 40 hexadecimal digits. A key with another "
        "one is refused.",
    ),
    "suppression_source": _field(
        "Suppression list: file",
        "CSV or Parquet file, or folder of them ending in /, with IDs of users about whom nothing "
        "is ever sent. It applies to every delivery through this connection.",
    ),
    "suppression_sql": _field(
        "Suppression list: SQL",
        "One SELECT that gives the list instead, or the name of a table.",
    ),
    "suppression_conn_id": _field(
        "Suppression list: connection",
        "Airflow connection that the SQL runs on; for a file on S3, the AWS connection, if it is "
        "not that of staging.",
    ),
    "suppression_column": _field(
        "Suppression list: column",
        "The column of the IDs; may be left empty where there is only one.",
    ),
    "suppression_hashed": _field(
        "Suppression list: hashed",
        "Whether the list holds the SHA-256 of the IDs, as hexadecimal digits.",
        enum=["no", "yes"],
        default="no",
    ),
}

_API_FIELDS: dict[str, Any] = {
    "scope": _field(
        "Scope",
        "The scopes of the credential, as its page in Adobe's Developer Console shows them.",
    ),
    "token_url": _field(
        "Token URL",
        "Where Adobe's identity service gives tokens.",
        default="https://ims-na1.adobelogin.com/ims/token/v3",
    ),
}


def _modules(room: str, *names: str) -> list[dict[str, Any]]:
    """Modules of one folder, as Airflow lists them."""
    modules = [f"airflow_am_provider.{room}.{name}" for name in names]
    return [{"integration-name": _INTEGRATION, "python-modules": modules}]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-am-provider",
        "name": "Adobe Audience Manager",
        "description": "Delivers CRM data to Adobe Audience Manager and proves that it arrived.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": (
                    "https://experienceleague.adobe.com/docs/audience-manager/user-guide/home.html"
                ),
                "tags": ["service"],
            }
        ],
        "operators": _modules(
            "operators",
            "clean_staging",
            "combine_partitions",
            "data_file",
            "event_feed",
            "guard",
            "id_sync",
            "outbound_load",
            "preflight",
            "snapshot_diff",
            "suppression_removal",
            "upload",
            "upload_parts",
        ),
        "sensors": _modules("sensors", "outbound_files", "receipt", "replay"),
        "hooks": _modules("hooks", "audience_manager", "audience_manager_api"),
        "triggers": _modules("triggers", "outbound", "outbound_arrival", "queue", "receipt"),
        "connection-types": [
            {
                "hook-class-name": (
                    "airflow_am_provider.hooks.audience_manager.AudienceManagerHook"
                ),
                "hook-name": "Adobe Audience Manager",
                "connection-type": "audience_manager",
                "conn-fields": _CONNECTION_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "login", "password"],
                    # Nothing goes by the port. But the Test button of Airflow 3.3 sends 0 where
                    # none is stored, and the API refuses what differs from what is stored.
                    "relabeling": {"port": "Port: 0"},
                    "placeholders": {"port": "0, or the Test button of Airflow 3.3 is refused"},
                },
            },
            {
                "hook-class-name": (
                    "airflow_am_provider.hooks.audience_manager_api.AudienceManagerApiHook"
                ),
                "hook-name": "Adobe Audience Manager API",
                "connection-type": "audience_manager_api",
                "conn-fields": _API_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "API URL",
                        "login": "Client ID",
                        "password": "Client secret",
                        "port": "Port: 0",
                    },
                    "placeholders": {
                        "host": "https://aam.adobe.io/v1/",
                        "port": "0, or the Test button of Airflow 3.3 is refused",
                    },
                },
            },
        ],
        "notifications": ["airflow_am_provider.notifications.delivery.DeliveryNotifier"],
        "asset-uris": [
            {
                "schemes": ["audience-manager"],
                "handler": "airflow_am_provider.hooks.asset_uris.sanitize_uri",
                "factory": "airflow_am_provider.hooks.asset_uris.create_asset",
                "to_openlineage_converter": (
                    "airflow_am_provider.hooks.asset_uris.convert_asset_to_openlineage"
                ),
            }
        ],
        "extra-links": [
            "airflow_am_provider.links.StagingLink",
            "airflow_am_provider.links.DeliveryLink",
        ],
        "config": {
            "audience_manager": {
                "description": "Settings of the Adobe Audience Manager provider.",
                "options": {
                    "receipt_poke_interval_s": {
                        "description": (
                            "Seconds between two looks of a DeliveryReceiptSensor that sets no "
                            "poke_interval of its own."
                        ),
                        "type": "float",
                        "version_added": "0.1.0",
                        "example": "60",
                        "default": "300",
                    },
                    "page_connections": {
                        "description": (
                            "Connections whose deliveries the page in the UI shows beside those "
                            "of Airflow's database, with commas: those of the environment and of "
                            "secrets backends, which cannot be listed."
                        ),
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "audience_manager_default, audience_manager_beta",
                        "default": "",
                    },
                    "page_refresh_interval_s": {
                        "description": (
                            "Seconds between two looks of the page's server into staging, while "
                            "somebody looks at the page."
                        ),
                        "type": "float",
                        "version_added": "0.1.0",
                        "example": "60",
                        "default": "30",
                    },
                    "page_index_folder": {
                        "description": (
                            "Folder of the page's index, on the API server's own disk. By default "
                            "one in its folder for temporary files."
                        ),
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "/var/lib/airflow/audience-manager-page",
                        "default": "",
                    },
                },
            }
        },
    }
