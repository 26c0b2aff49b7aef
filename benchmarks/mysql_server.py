"""MariaDB with an empty data folder, which lets everybody in from this machine."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from demo.local.processes import HOST, accepts_connections, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator


def why_not() -> str:
    """A sentence that says what is missing, or nothing."""
    if shutil.which("mariadbd") is None:
        return "MySQL needs mariadbd on the path (Debian: mariadb-server), and none was found"
    if not find_spec("MySQLdb") or not find_spec("airflow.providers.mysql"):
        return "MySQL needs apache-airflow-providers-mysql and mysqlclient, which are not installed"
    return ""


@contextmanager
def mysql_server(directory: Path) -> Iterator[int]:
    """Run it; give its port.

    :param directory: for its data and ``mysql.log``.
    :raises ServerError: if it does not start.
    """
    program = Path(shutil.which("mariadbd") or "mariadbd").resolve()
    port = free_port()
    data = directory / "data"
    data.mkdir(parents=True)
    share = program.parents[1] / "share" / "mysql"
    command: list[str | Path] = [program, "--no-defaults", "--user=root", "--skip-grant-tables"]
    command += [f"--basedir={program.parents[1]}", f"--lc-messages-dir={share}"]
    command += [f"--datadir={data}", f"--socket={directory / 'mysql.sock'}"]
    command += [f"--bind-address={HOST}", f"--port={port}"]
    with running("mysql", command, log=directory / "mysql.log") as process:
        process.wait_until(lambda: accepts_connections(port), timeout_s=60)
        yield port
