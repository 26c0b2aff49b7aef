"""Links on tasks in Airflow's UI."""

from __future__ import annotations

import pytest
from airflow.plugins_manager import AirflowPlugin

from airflow_am_provider.links import StagingLink, console_url
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.plugins.audience_manager import AudienceManagerPlugin


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


@pytest.mark.parametrize(
    "operator", [FormatDataFileOperator, IdSyncExtractOperator, UploadOperator]
)
def test_operators_that_stage_or_send_have_the_link(operator: type) -> None:
    (link,) = operator.operator_extra_links
    assert isinstance(link, StagingLink)


def test_the_plugin_makes_the_link_known() -> None:
    assert issubclass(AudienceManagerPlugin, AirflowPlugin)
    assert [type(link) for link in AudienceManagerPlugin.operator_extra_links] == [StagingLink]
