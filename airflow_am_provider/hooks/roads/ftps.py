"""The road by FTPS, for hosts of one's own that have neither S3 nor SFTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.hooks.roads.drop import DropRoad

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.environments import Environment
    from airflow_am_provider.storage.drops import Session


class FtpsRoad(DropRoad):
    """Transport ``ftps``."""

    protocol = "FTPS"

    def adobes_hosts(self, environment: Environment) -> tuple[str, ...]:
        """The older host."""
        return (environment.ftp_host,)

    def open_session(self, directory: str) -> Session:
        """Connect, check the certificate, log in and enter the directory."""
        from airflow_am_provider.hooks.ftps import open_ftps

        return open_ftps(self.conn_id, directory)
