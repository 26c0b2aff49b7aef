"""OpenSSH's own SFTP server, where this machine has one (Debian: openssh-server)."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.local.processes import HOST, accepts_connections, free_port, running

_SERVERS = (shutil.which("sshd"), "/usr/sbin/sshd", "/usr/local/sbin/sshd")
_CONFIGURATION = """\
Port {port}
ListenAddress {host}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100:30:200
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True, kw_only=True)
class OpenSshServer:
    """A running sshd, which lets the user of this process in by a key.

    :param root: a folder for files, as the server sees it too
    :param key: the file of the key that the user logs in with
    :param known_hosts: the file with the server's key
    :param host_key: the server's public key, ``ssh-ed25519 AAAA…``
    """

    port: int
    root: Path
    key: Path
    known_hosts: Path
    host_key: str
    host: str = HOST
    user: str = field(default_factory=getpass.getuser)

    def airflow_connection(self) -> dict[str, object]:
        """The Airflow connection to this server."""
        return {
            "conn_type": "sftp",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "extra": {"private_key": self.key.read_text(), "host_key": self.host_key},
        }


def why_not() -> str:
    """A sentence that says what is missing, or nothing."""
    if _sshd() is None or shutil.which("ssh-keygen") is None:
        return "sshd and ssh-keygen of OpenSSH (Debian: openssh-server) were not found"
    # Without it sshd of root ends at once; whoever installs the package starts it once.
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        return "sshd needs the folder /run/sshd to run as root, and there is none"
    return ""


@contextmanager
def openssh_server(directory: Path) -> Iterator[OpenSshServer]:
    """Run it; its users see the whole file system.

    :param directory: for ``root``, the keys, the configuration and ``sshd.log``
    :raises ServerError: if it does not start
    """
    root = directory / "root"
    root.mkdir(parents=True)
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", ""]
        command += ["-f", str(directory / name)]
        subprocess.run(command, check=True)
    host_key = (directory / "host_key.pub").read_text().strip()
    port = free_port()
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(f"[{HOST}]:{port} {host_key}\n")
    configuration = directory / "sshd_config"
    configuration.write_text(_CONFIGURATION.format(port=port, host=HOST, directory=directory))
    sshd = _sshd()
    assert sshd is not None
    with running(
        "sshd", [sshd, "-D", "-e", "-f", configuration], log=directory / "sshd.log"
    ) as process:
        process.wait_until(lambda: accepts_connections(port), timeout_s=20)
        yield OpenSshServer(
            port=port,
            root=root,
            key=directory / "user_key",
            known_hosts=known_hosts,
            host_key=host_key,
        )


def _sshd() -> str | None:
    return next((path for path in _SERVERS if path and Path(path).exists()), None)
