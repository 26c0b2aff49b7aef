"""FTPS: FTP whose lines are encrypted, by explicit TLS (RFC 4217), with certificates that count.

Airflow's FTPS hook writes its port into ``ftplib.FTP_TLS``, for all connections of the process, and
does not take the session of the first line up on the others, which many hosts demand.
"""

from __future__ import annotations

import ftplib
import ssl
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.ftp import TimedFTPHook
from airflow_am_provider.storage.drops.ftp import FtpSession

if TYPE_CHECKING:
    import socket

    from airflow.sdk import Connection


# What helps, by OpenSSL's number of what does not hold (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_CURES: Final = {
    _NOT_YET_VALID: "Is the clock of this machine right? Else ask whoever runs it for a new one",
    _EXPIRED: "Ask whoever runs it for a new one",
    _OTHER_NAME: "Give the connection the host that the certificate is for",
    _OTHER_ADDRESS: "Give the connection the host that the certificate is for",
}
_UNKNOWN_AUTHORITY: Final = (
    "Ask whoever runs it, or put the certificate of your own authority into ca_certificate"
)


def open_ftps(conn_id: str, directory: str) -> FtpSession:
    """Connect, check the certificate, log in and enter a directory.

    :param conn_id: an Airflow connection of the type ``ftp``.
    :param directory: as the host names it.
    :raises ConfigurationError: when the connection lacks something, the certificate does not hold,
        or the host refuses the login.
    :raises Broken: when the host does not answer.
    """
    return FtpSession.open(TimedFTPSHook(conn_id).new_connection, directory)


class FtpsClient(ftplib.FTP_TLS):
    """Takes the TLS session of its first line up on every line for data."""

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        """Open a line for data."""
        line, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321  # encrypted below
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        try:
            wrapped = self.context.wrap_socket(line, server_hostname=self.host, session=session)
        except BaseException:
            line.close()
            raise
        return wrapped, size


class TimedFTPSHook(TimedFTPHook):
    """FTPS for Airflow connections of the type ``ftp``.

    Beside what :class:`~airflow_am_provider.hooks.ftp.TimedFTPHook` reads, ``ca_certificate`` of
    its extra counts: the certificate, as PEM, of an authority of one's own.
    """

    protocol = "FTPS"

    def _client(self, extra: dict[str, Any], encoding: str) -> ftplib.FTP:
        try:
            context = ssl.create_default_context(cadata=extra.get("ca_certificate") or None)
        except (ssl.SSLError, TypeError, ValueError):
            raise ConfigurationError(
                f"FTPS connection {self.ftp_conn_id!r}: ca_certificate: is no certificate; it is "
                f"PEM, from -----BEGIN CERTIFICATE----- on, with its line breaks"
            ) from None
        return FtpsClient(context=context, timeout=self.timeout_s, encoding=encoding)

    def _secure(self, ftp: ftplib.FTP, connection: Connection) -> None:
        assert isinstance(ftp, FtpsClient)
        who = f"FTPS connection {self.ftp_conn_id!r}: {connection.host}"
        try:
            ftp.auth()
        except ssl.SSLCertVerificationError as error:
            raise ConfigurationError(
                f"{who} shows a certificate that does not hold: "
                f"{printable(error.verify_message)}; nothing was sent, not even the password. "
                f"{_CURES.get(error.verify_code, _UNKNOWN_AUTHORITY)}"
            ) from None
        except ftplib.error_perm as error:
            raise ConfigurationError(
                f"{who} does not speak TLS (reply {str(error)[:3]} to AUTH TLS); nothing was sent, "
                f"not even the password"
            ) from None

    def _secure_data(self, ftp: ftplib.FTP) -> None:
        assert isinstance(ftp, FtpsClient)
        try:
            ftp.prot_p()
        except ftplib.error_perm as error:
            raise ConfigurationError(
                f"FTPS connection {self.ftp_conn_id!r}: {ftp.host} does not encrypt the lines for "
                f"data (reply {str(error)[:3]} to PROT P); nothing was sent. Ask whoever runs it "
                f"to allow that, or send by sftp"
            ) from None
