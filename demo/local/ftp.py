"""An FTP server for one user, which can be told to lose the connection during an upload."""

import ftplib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.local.processes import HOST, accepts_connections, free_port, running


@dataclass(frozen=True, kw_only=True)
class FtpServer:
    """A running FTP server.

    :param root: the folder that the user sees as ``/``
    :param faults: the file through which the server is told to fail
    """

    port: int
    root: Path
    faults: Path
    host: str = HOST
    user: str = "local"
    password: str = field(default="local-password", repr=False)

    def connect(self, timeout_s: float = 10.0) -> ftplib.FTP:
        """A logged-in client."""
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
        return {
            "conn_type": "ftp",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "password": self.password,
            "extra": {"passive": True},
        }


@contextmanager
def ftp_server(directory: Path, *, certificate: Path | None = None) -> Iterator[FtpServer]:
    """Run an FTP server on the files in ``directory/root``, created if absent.

    :param directory: for the files and ``ftp.log``
    :param certificate: PEM file with key and certificate, to serve FTPS and nothing else
    :raises ServerError: if it does not start
    """
    root = directory / "root"
    root.mkdir(parents=True, exist_ok=True)
    server = FtpServer(port=free_port(), root=root, faults=directory / "faults.json")
    server.faults.unlink(missing_ok=True)
    command = [sys.executable, "-m", "demo.local.ftp_daemon", str(server.port), server.user]
    command += [server.password, str(root), str(server.faults)]
    command += [] if certificate is None else [str(certificate)]
    with running("FTP server", command, log=directory / "ftp.log") as process:
        process.wait_until(lambda: accepts_connections(server.port), timeout_s=20)
        yield server
