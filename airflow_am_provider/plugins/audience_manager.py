"""The plugin that Airflow loads through the ``airflow.plugins`` entry point."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_am_provider.links import StagingLink


class AudienceManagerPlugin(AirflowPlugin):
    """Makes the provider's links known to Airflow's API server."""

    name = "audience_manager"
    operator_extra_links: list[Any] = [StagingLink()]  # typed so by Airflow
