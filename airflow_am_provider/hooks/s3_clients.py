"""S3 clients by Airflow's AWS connections, and what is wrong with such a connection."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_am_provider.airflow_compat import AirflowException
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.connections import get_connection
from airflow_am_provider.hooks.quiet_aws import said_once
from airflow_am_provider.storage.s3.access import Access, remember
from airflow_am_provider.storage.s3.errors import s3_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a client is made by.
_content: Final = attrgetter("host", "schema", "login", "password", "port", "extra")


class S3Clients:
    """S3 clients that are made once for each connection: that takes a tenth of a second and more.

    A role's keys are asked for once as well; boto3 renews them. A connection that was changed
    meanwhile gives a new client, so that who waits for days goes on with new keys.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[object, Any]] = {}

    def get(self, conn_id: str, field: str) -> Any:
        """A client; parameters and errors are those of :func:`s3_client`."""
        content = _content(get_connection(conn_id, asked_by=field))
        known, client = self._kept.get((conn_id, field), (None, None))
        if known != content:
            client = s3_client(conn_id, field)
            self._kept[conn_id, field] = content, client
        return client


def s3_client(conn_id: str, field: str, *, service: str = "s3", region: str | None = None) -> Any:
    """A boto3 client for S3, or another service.

    :param conn_id: the AWS connection.
    :param field: the field or parameter that names it, for messages.
    :param service: what boto3 calls the service.
    :param region: the region, where it is not the connection's.
    :raises ConfigurationError: when there is no such connection, or it makes no client.
    :raises TransientError: when the service that gives the keys of its role does not answer.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.exceptions import BotoCoreError

    # The AWS hook falls back to the worker's own keys when there is no such connection.
    extra = get_connection(conn_id, asked_by=field).extra_dejson
    access = Access.of_connection(conn_id, field)
    _check_endpoint(extra, access)
    with s3_errors("use", "", access), said_once():
        try:
            client = AwsBaseHook(
                aws_conn_id=conn_id, client_type=service, region_name=region
            ).get_conn()
        except BotoCoreError:
            # The service that gives the keys of a role, or a setting that botocore checks; some of
            # them are a ValueError as well.
            raise
        except (AirflowException, KeyError, NotImplementedError, TypeError, ValueError) as error:
            # What a setting that is missing, unknown or no good comes to:
            #   AirflowException     a federation that the hook does not know
            #   KeyError             a setting of assume_role_with_saml is missing
            #   NotImplementedError  an assume_role_method or idp_auth_method it does not know
            #   TypeError            no JSON object, or an argument that botocore does not know
            #   ValueError           a value of the wrong form, such as an endpoint or a region
            # Their texts may hold values, and so secrets.
            name = f" {printable(str(error))}" if isinstance(error, KeyError) else ""
            raise ConfigurationError(
                f"cannot use {access.who}: {type(error).__name__}{name}; check its extra: "
                f"{', '.join(map(printable, sorted(extra))) or 'it is empty'}"
            ) from None
    return remember(client, access)


def _check_endpoint(extra: Mapping[str, Any], access: Access) -> None:
    url = extra.get("endpoint_url")
    if not url:
        return
    try:
        parts = urlsplit(str(url))
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        shown = printable(str(url).rpartition("@")[2])
        raise ConfigurationError(
            f"{access.who}: endpoint_url: {shown!r} is no URL of a server; http://host:port or "
            f"https://host is expected"
        )
