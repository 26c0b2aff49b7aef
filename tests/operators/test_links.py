"""Links on tasks in Airflow's UI."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from airflow.plugins_manager import AirflowPlugin

from airflow_am_provider import links
from airflow_am_provider.links import DeliveryLink, StagingLink, console_url, staging_url
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.plugins.audience_manager import AudienceManagerPlugin
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor

if TYPE_CHECKING:
    from demo.local.s3 import S3


@pytest.mark.parametrize(
    ("staging", "location", "url"),
    [
        ("s3://b", "d/1", "https://s3.console.aws.amazon.com/s3/buckets/b?prefix=d/1/"),
        ("s3://b/p/q", "d", "https://s3.console.aws.amazon.com/s3/buckets/b?prefix=p/q/d/"),
        ("s3://b/a b", "d", "https://s3.console.aws.amazon.com/s3/buckets/b?prefix=a%20b/d/"),
        ("/shared/staging", "d/1", ""),
        ("s3://b", "", ""),
    ],
)
def test_the_link_leads_to_the_deliverys_folder(staging: str, location: str, url: str) -> None:
    assert console_url(staging, location) == url


def test_only_amazons_own_s3_has_a_page_to_lead_to(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "environment": "beta",
        "partner_name": "acme",
        "staging_location": "s3://company-staging/am",
    }
    connection = {"conn_type": "audience_manager", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AM", json.dumps(connection))
    returned = {"staging": "s3://company-staging/am", "location": "deliveries/data/1"}

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(s3.airflow_connection()))
    assert staging_url(returned, "am") == ""

    amazons = {"conn_type": "aws", "login": "key", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(amazons))
    assert staging_url(returned, "am").endswith("company-staging?prefix=am/deliveries/data/1/")


def test_what_returned_no_delivery_has_no_link() -> None:
    assert staging_url(None, "am") == ""


@pytest.mark.parametrize(
    "operator",
    [FormatDataFileOperator, IdSyncExtractOperator, UploadOperator, GuardOperator],
)
def test_operators_that_stage_or_send_have_the_link(operator: type) -> None:
    staging, delivery = operator.operator_extra_links
    assert isinstance(staging, StagingLink)
    assert isinstance(delivery, DeliveryLink)


class Returned:
    """The database of what tasks returned."""

    value: object = None

    @classmethod
    def get_value(cls, *, key: str, ti_key: object) -> object:
        assert key == "return_value"
        return cls.value


TASK = SimpleNamespace(dag_id="crm daily", run_id="manual__1", task_id="any")


@pytest.mark.parametrize(
    ("returned", "given", "link"),
    [
        ({"delivery_id": "0a1b", "parts": [{}]}, {}, "#/deliveries/0a1b"),
        ({"delivery_id": "0a1b", "files": {"a": 1}}, {}, "#/deliveries/0a1b"),
        ([{"delivery_id": "0a1b"}, {"delivery_id": "0a1b"}], {}, "#/deliveries/0a1b"),
        ([{"delivery_id": "1"}, {"delivery_id": "2"}], {}, "?dag_id=crm+daily&run_id=manual__1"),
        # A guard that stopped it, an upload and a sensor that failed have returned nothing.
        (None, {"manifest": {"delivery_id": "0a1b"}}, "#/deliveries/0a1b"),
        (None, {"manifest": '{"delivery_id": "0a1b"}'}, "#/deliveries/0a1b"),
        (None, {"delivery": [{"delivery_id": "0a1b"}, None]}, "#/deliveries/0a1b"),
        (None, {"manifest": "{{ a template }}"}, None),
        ({"delivery_id": "0a1b", "parts": []}, {}, None),
        (["ftp_dpm_478_1366545717.sync.gz"], {}, None),
        (None, {}, None),
    ],
)
def test_the_link_leads_to_the_delivery_on_the_page(
    returned: object, given: dict[str, object], link: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "XCom", Returned)
    monkeypatch.setattr(Returned, "value", returned)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://crm.example/airflow/")
    found = DeliveryLink().get_link(SimpleNamespace(**given), ti_key=TASK)
    assert found == ("" if link is None else f"/airflow/audience-manager/{link}")


@pytest.mark.parametrize("operator", [DeliveryReceiptSensor, ReplayNewerSensor])
def test_what_stages_nothing_has_the_pages_link_alone(operator: type) -> None:
    (link,) = operator.operator_extra_links
    assert isinstance(link, DeliveryLink)


def test_the_plugin_makes_the_link_known() -> None:
    assert issubclass(AudienceManagerPlugin, AirflowPlugin)
    assert [type(link) for link in AudienceManagerPlugin.operator_extra_links] == [
        StagingLink,
        DeliveryLink,
    ]
