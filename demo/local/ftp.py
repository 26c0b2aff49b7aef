"""An FTP server for one user, which can be told to lose the connection during an upload."""

import ftplib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.local.certificate import write_certificate
from demo.local.processes import HOST, accepts_connections, free_port, running


@dataclass(frozen=True, kw_only=True)
class FtpServer:
    """A running FTP server.

    :param root: the folder that the user sees as ``/``
    :param faults: the file through which the server is told to fail
    :param certificate: its certificate, PEM, where it serves FTPS; empty for plain FTP
    """

    port: int
    root: Path
    faults: Path
    certificate: str = ""
    host: str = HOST
    user: str = "local"
    password: str = field(default="local-password", repr=False)

    def connect(self, timeout_s: float = 10.0) -> ftplib.FTP:
        """A logged-in client of plain FTP."""
        client = ftplib.FTP(timeout=timeout_s)
        client.connect(self.host, self.port)
        client.login(self.user, self.password)
        return client

    def cut_uploads(self, *, after_bytes: int, times: int = 1, control_too: bool = False) -> None:
        """Let the next uploads fail.

        :param after_bytes: bytes of an upload that are kept before its data connection is closed
        :param times: how many uploads fail
        :param control_too: close the control connection as well, as a lost network does,
            instead of answering 426
        """
        faults = {"after_bytes": after_bytes, "times": times, "control_too": control_too}
        self.faults.write_text(json.dumps(faults))

    def airflow_connection(self) -> dict[str, object]:
        """The Airflow connection to this server."""
        trusted = {"ca_certificate": self.certificate} if self.certificate else {}
        return {
            "conn_type": "ftp",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "password": self.password,
            "extra": {"passive": True, **trusted},
        }


@contextmanager
def ftp_server(directory: Path) -> Iterator[FtpServer]:
    """Run an FTP server on the files in ``directory/root``, created if absent.

    :param directory: for the files and ``ftp.log``
    :raises ServerError: if it does not start
    """
    with _serving(directory, "FTP server") as server:
        yield server


@contextmanager
def ftps_server(directory: Path, *, days: int = 30, host: str = HOST) -> Iterator[FtpServer]:
    """Run an FTP server that takes nothing but explicit TLS, with a certificate made here.

    :param directory: for the files, the certificate and ``ftp.log``
    :param days: how long the certificate holds from now on; below 0 it has expired
    :param host: the address that the certificate is for
    :raises ServerError: if it does not start
    """
    pem = directory / "server.pem"
    directory.mkdir(parents=True, exist_ok=True)
    certificate = write_certificate(pem, days=days, host=host)
    with _serving(directory, "FTPS server", [str(pem)], certificate) as server:
        yield server


@contextmanager
def _serving(
    directory: Path, name: str, arguments: Sequence[str] = (), certificate: str = ""
) -> Iterator[FtpServer]:
    root = directory / "root"
    root.mkdir(parents=True, exist_ok=True)
    server = FtpServer(
        port=free_port(),
        root=root,
        faults=directory / "faults.json",
        certificate=certificate,
    )
    server.faults.unlink(missing_ok=True)
    command = [sys.executable, "-m", "demo.local.ftp_daemon", str(server.port), server.user]
    command += [server.password, str(root), str(server.faults), *arguments]
    with running(name, command, log=directory / "ftp.log") as process:
        process.wait_until(lambda: accepts_connections(server.port), timeout_s=20)
        yield server
