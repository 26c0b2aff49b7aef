"""The plugin that Airflow loads through the ``airflow.plugins`` entry point."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_am_provider.audience_manager.id_sync_urls import declared_id_url, id_sync_url
from airflow_am_provider.links import StagingLink


class AudienceManagerPlugin(AirflowPlugin):
    """Makes the provider's links known to Airflow's API server, and macros to templates."""

    name = "audience_manager"
    macros: list[Any] = [id_sync_url, declared_id_url]  # typed so by Airflow
    operator_extra_links: list[Any] = [StagingLink()]  # typed so by Airflow
