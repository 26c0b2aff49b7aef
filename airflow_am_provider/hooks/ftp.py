"""Airflow's FTP hook with what it lacks: timeouts, without which a silent host blocks for ever."""

from __future__ import annotations

import ftplib
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.ftp.hooks.ftp import FTPHook

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.connections import get_connection, is_on
from airflow_am_provider.storage.drops.ftp import FtpSession

if TYPE_CHECKING:
    from airflow.sdk import Connection

_TIMEOUT_S: Final = 60.0
# Not logged in; account needed (RFC 959).
_LOGIN_REFUSED: Final = ("530", "532")


def open_ftp(conn_id: str, directory: str) -> FtpSession:
    """Connect, log in and enter a directory.

    :param conn_id: an Airflow connection of the type ``ftp``.
    :param directory: as the host names it.
    :raises ConfigurationError: when the connection lacks something, or the host refuses the login.
    :raises Broken: when the host does not answer.
    """
    return FtpSession.open(TimedFTPHook(conn_id).new_connection, directory)


class TimedFTPHook(FTPHook):
    """FTP for Airflow connections of the type ``ftp``, in binary mode.

    :param ftp_conn_id: the connection. Its extra may have ``passive`` (true by default) and
        ``encoding`` (UTF-8 by default).
    :param timeout_s: seconds that the host may be silent, on either of its channels.
    """

    protocol = "FTP"

    def __init__(self, ftp_conn_id: str = "ftp_default", *, timeout_s: float = _TIMEOUT_S) -> None:
        super().__init__(ftp_conn_id)
        self.timeout_s = timeout_s

    def get_conn(self) -> ftplib.FTP:
        """Give the open connection, or open one.

        :raises ConfigurationError: when there is no host, or it refuses the login.
        :raises OSError: when the host does not answer.
        """
        if self.conn is None:
            connection = get_connection(self.ftp_conn_id)
            self.conn = self._open(connection)
        return self.conn

    def new_connection(self) -> ftplib.FTP:
        """Open a connection beside the one this hook holds; the caller closes it."""
        return self._open(get_connection(self.ftp_conn_id))

    def _open(self, connection: Connection) -> ftplib.FTP:
        if not connection.host:
            raise ConfigurationError(
                f"{self.protocol} connection {self.ftp_conn_id!r}: host: missing"
            )
        extra = connection.extra_dejson
        encoding = extra.get("encoding") or "utf-8"
        ftp = self._client(extra, encoding)
        try:
            ftp.connect(connection.host, connection.port or ftplib.FTP_PORT)
            self._secure(ftp, connection)
            ftp.login(connection.login or "", connection.password or "")
            self._secure_data(ftp)
            ftp.set_pasv(is_on(extra, "passive"))
            ftp.voidcmd("TYPE I")  # SIZE is refused or counts otherwise in text mode
        except ftplib.error_perm as error:
            ftp.close()
            if str(error).startswith(_LOGIN_REFUSED):
                raise ConfigurationError(
                    f"{self.protocol} connection {self.ftp_conn_id!r}: {connection.host} refuses "
                    f"the login; check login and password"
                ) from None
            raise
        except BaseException:
            ftp.close()
            raise
        return ftp

    def _client(self, extra: dict[str, Any], encoding: str) -> ftplib.FTP:
        """A client that is not connected yet."""
        return ftplib.FTP(timeout=self.timeout_s, encoding=encoding)  # noqa: S321  # some have no other

    def _secure(self, ftp: ftplib.FTP, connection: Connection) -> None:
        """Encrypt the line before the password goes over it."""

    def _secure_data(self, ftp: ftplib.FTP) -> None:
        """Encrypt the lines for data."""
