"""By whose settings an S3 client works, so that an error can say what to mend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final
from weakref import WeakKeyDictionary


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Where a client's keys, region and server come from, in words for a message.

    :param who: what to look at: ``connection 'adobe_aws' (aws_conn_id of 'adobe')``.
    :param keys: what to do where there are no keys.
    :param region: the setting that names the region.
    :param endpoint: the setting that leads to a server other than Amazon's.
    :param server: the server's URL; empty as long as there is no client.
    """

    who: str
    keys: str
    region: str
    endpoint: str
    server: str = ""

    @classmethod
    def of_connection(cls, conn_id: str, field: str) -> Access:
        """By an Airflow connection.

        :param conn_id: its ID.
        :param field: the field or parameter that names it.

        >>> Access.of_connection("adobe_aws", "aws_conn_id of 'adobe'").who
        "connection 'adobe_aws' (aws_conn_id of 'adobe')"
        """
        return cls(
            who=f"connection {conn_id!r} ({field})",
            keys="fill in its login and password, or the role_arn in its extra",
            region="region_name in its extra",
            endpoint="endpoint_url in its extra",
        )


UNKNOWN: Final = Access(
    who="the AWS connection",
    keys="fill in its login and password, or the role_arn in its extra",
    region="region_name in its extra",
    endpoint="endpoint_url in its extra",
)
#: What boto3 finds by itself: the command line has no Airflow connection.
COMMAND_LINE: Final = Access(
    who="this machine's AWS settings",
    keys="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    region="AWS_DEFAULT_REGION",
    endpoint="AWS_ENDPOINT_URL",
)
# Beside the clients, since boto3 makes their classes.
_known: WeakKeyDictionary[Any, Access] = WeakKeyDictionary()


def remember(client: Any, access: Access) -> Any:
    """Keep whose settings a client works by; gives the client back."""
    _known[client] = replace(access, server=str(client.meta.endpoint_url))
    return client


def access_of(client: Any) -> Access:
    """Whose settings a client works by."""
    return _known.get(client, UNKNOWN)
