"""Links on tasks in Airflow's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["StagingLink"]


class StagingLink(BaseOperatorLink):
    """Leads to the delivery's folder in the S3 console: manifest, record and reconciliation.

    Deliveries that are staged elsewhere than on Amazon's S3 have no page to lead to, so no link.
    """

    name = "Staged delivery"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, from what the task returned.

        :param operator: the task's operator.
        :param ti_key: the task instance.
        """
        returned = XCom.get_value(key="return_value", ti_key=ti_key)
        return staging_url(returned, getattr(operator, "audience_manager_conn_id", ""))


def staging_url(returned: object, conn_id: str) -> str:
    """The page of a delivery's folder; empty when there is none.

    :param returned: what the task returned.
    :param conn_id: the Audience Manager connection that the delivery was staged by.
    """
    if not isinstance(returned, dict):
        return ""
    url = console_url(str(returned.get("staging", "")), str(returned.get("location", "")))
    if not url:
        return ""
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

    return url if AudienceManagerHook(conn_id).is_staged_on_amazon() else ""


def console_url(staging: str, location: str) -> str:
    """The S3 console's page of a folder; empty when it does not lie on S3.

    :param staging: the staging location, ``s3://bucket/prefix``.
    :param location: the folder, relative to it.

    >>> console_url("s3://crm-staging/am", "deliveries/data/0a1b")
    'https://s3.console.aws.amazon.com/s3/buckets/crm-staging?prefix=am/deliveries/data/0a1b/'
    """
    scheme, _, path = staging.partition("://")
    bucket, _, prefix = path.partition("/")
    if scheme != "s3" or not bucket or not location:
        return ""
    folder = "/".join(part for part in (prefix, location) if part)
    return f"https://s3.console.aws.amazon.com/s3/buckets/{quote(bucket)}?prefix={quote(folder)}/"
