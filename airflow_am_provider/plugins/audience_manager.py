"""The plugin that Airflow loads through the ``airflow.plugins`` entry point."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_am_provider.audience_manager.id_sync_urls import declared_id_url, id_sync_url
from airflow_am_provider.links import DeliveryLink, StagingLink
from airflow_am_provider.plugins.page_mount import external_views, fastapi_apps


class AudienceManagerPlugin(AirflowPlugin):
    """The page, links that Airflow's API server has to know, and macros for templates."""

    name = "audience_manager"
    macros: list[Any] = [id_sync_url, declared_id_url]  # typed so by Airflow
    operator_extra_links: list[Any] = [StagingLink(), DeliveryLink()]  # typed so by Airflow
    fastapi_apps: list[Any] = fastapi_apps()
    external_views: list[Any] = external_views()
