"""An SFTP server for one user, which can be told to lose the connection during an upload."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.local.processes import HOST, accepts_connections, free_port, running


@dataclass(frozen=True, kw_only=True)
class SftpServer:
    """A running SFTP server.

    :param root: the folder that the user sees as ``/``
    :param faults: the file through which the server is told to fail
    :param host_key: its public key, ``ssh-ed25519 AAAA…``
    :param private_key: the key that the user logs in with, in OpenSSH's form
    """

    port: int
    root: Path
    faults: Path
    host_key: str
    private_key: str = field(repr=False)
    host: str = HOST
    user: str = "local"
    password: str = field(default="local-password", repr=False)

    def cut_uploads(self, *, after_bytes: int, times: int = 1) -> None:
        """Let the next uploads fail.

        :param after_bytes: bytes of an upload that are kept before its connection is cut
        :param times: how many uploads fail
        """
        self.faults.write_text(json.dumps({"after_bytes": after_bytes, "times": times}))

    def airflow_connection(self, **extra: object) -> dict[str, object]:
        """The Airflow connection to this server.

        :param extra: what differs in its extra; None takes a field away
        """
        fields = {"private_key": self.private_key, "host_key": self.host_key, **extra}
        return {
            "conn_type": "sftp",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "extra": {name: value for name, value in fields.items() if value is not None},
        }


@contextmanager
def sftp_server(directory: Path, **account: str) -> Iterator[SftpServer]:
    """Run an SFTP server on the files in ``directory/root``, created if absent.

    Whoever has the key whose public half is in ``directory/user_key.pub`` may log in, also one that
    is put there later.

    :param directory: for the files, the keys and ``sftp.log``
    :param account: another ``user`` or ``password``; an empty one lets nobody in by password
    :raises ServerError: if it does not start
    """
    import asyncssh

    root = directory / "root"
    root.mkdir(parents=True, exist_ok=True)
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(directory / "host_key")
    user.write_public_key(directory / "user_key.pub")
    server = SftpServer(
        port=free_port(),
        root=root,
        faults=directory / "faults.json",
        host_key=host.export_public_key().decode().strip(),
        private_key=user.export_private_key().decode(),
        **account,
    )
    server.faults.unlink(missing_ok=True)
    command = [sys.executable, "-m", "demo.local.sftp_daemon", str(server.port), server.user]
    command += [server.password, str(directory)]
    with running("SFTP server", command, log=directory / "sftp.log") as process:
        process.wait_until(lambda: accepts_connections(server.port), timeout_s=20)
        yield server
