"""Links on tasks in Airflow's UI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

from airflow_am_provider.airflow_compat import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["DeliveryLink", "StagingLink"]

#: Where the page is mounted, below Airflow's own path.
PAGE_PREFIX: Final = "/audience-manager"
#: Parameters that name the deliveries of a task which failed, and so returned nothing.
NAMED_BY: Final = ("manifest", "delivery", "deliveries")


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


class DeliveryLink(BaseOperatorLink):
    """Leads to the delivery on the page *Audience Manager*; of several, to those of the run.

    A task that failed has the link as well, where it was given the delivery.
    """

    name = "Audience Manager"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, from what the task returned or was given.

        :param operator: the task's operator.
        :param ti_key: the task instance.
        """
        found = delivery_ids(XCom.get_value(key="return_value", ti_key=ti_key))
        for name in NAMED_BY:
            found = found or delivery_ids(getattr(operator, name, None))
        if len(found) == 1:
            return f"{page_path()}#/deliveries/{quote(found[0], safe='')}"
        run = urlencode({"dag_id": ti_key.dag_id, "run_id": ti_key.run_id})
        return f"{page_path()}?{run}" if found else ""


def page_path() -> str:
    """The page's path, below the one that Airflow itself is served under."""
    return f"{airflow_path()}{PAGE_PREFIX}/"


def airflow_path() -> str:
    """The path that Airflow itself is served under; empty where it is the root."""
    return urlsplit(_base_url()).path


def page_url() -> str:
    """The page's whole address, for messages; its path where ``[api] base_url`` is not set."""
    return f"{_base_url()}{PAGE_PREFIX}/"


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def delivery_ids(given: object) -> list[str]:
    """The deliveries that a task returned or was given, each once.

    :param given: a manifest, what an upload or a receipt sensor returned, such as JSON text, or
        several of them; anything else has none.

    >>> delivery_ids([{"delivery_id": "0a1b"}, None, {"delivery_id": "0a1b", "files": {}}])
    ['0a1b']
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return []
    if isinstance(given, dict):
        # What has no parts is no delivery.
        is_empty = given.get("parts") == []
        return [] if is_empty or "delivery_id" not in given else [str(given["delivery_id"])]
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        return []
    return list(dict.fromkeys(one for each in given for one in delivery_ids(each)))


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
