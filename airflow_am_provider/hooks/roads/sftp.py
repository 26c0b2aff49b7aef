"""The road by SFTP: what Adobe's pages call FTP is this.

Page: faq/faq-data-collection.md: new accounts use the gateway, with OpenSSH keys only; the older
hosts are deprecated, and go on for those who have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.hooks.roads.drop import DropRoad

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.environments import Environment
    from airflow_am_provider.storage.drops import Session


class SftpRoad(DropRoad):
    """Transport ``sftp``."""

    protocol = "SFTP"

    def adobes_hosts(self, environment: Environment) -> tuple[str, ...]:
        """The gateway, and the older host."""
        return tuple(host for host in (environment.sftp_host, environment.ftp_host) if host)

    def open_session(self, directory: str) -> Session:
        """Connect, prove the host, log in."""
        from airflow_am_provider.hooks.sftp import open_sftp

        return open_sftp(self.conn_id, directory)
