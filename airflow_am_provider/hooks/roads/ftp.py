"""The road by plain FTP, for hosts of one's own: Adobe's pages say FTP and mean SFTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.roads.drop import DropRoad, is_adobes

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.environments import Environment
    from airflow_am_provider.storage.drops import Session


class FtpRoad(DropRoad):
    """Transport ``ftp``."""

    protocol = "FTP"

    def host(self) -> str:
        """The host that the connection leads to.

        :raises ConfigurationError: when it is none of the environment's, or one of Adobe's and
            nobody insists.
        """
        host = super().host()
        if is_adobes(host) and self._hook.settings.allow_plain_ftp != "yes":
            raise ConfigurationError(
                f"connection {self._hook.audience_manager_conn_id!r}: transport: ftp to {host!r} "
                f"is refused: what Adobe calls FTP is SFTP (faq/faq-data-collection.md), and plain "
                f"FTP would send the password and the users' IDs readable. Choose sftp, with an "
                f"ftp_conn_id of the type sftp; to insist, set allow_plain_ftp to yes"
            )
        return host

    def prove(self) -> str:
        """Log in and enter the directory."""
        return f"{super().prove()}; over plain FTP the password and the users' IDs are readable"

    def adobes_hosts(self, environment: Environment) -> tuple[str, ...]:
        """The older host."""
        return (environment.ftp_host,)

    def open_session(self, directory: str) -> Session:
        """Connect, log in and enter the directory."""
        from airflow_am_provider.hooks.ftp import open_ftp

        return open_ftp(self.conn_id, directory)
