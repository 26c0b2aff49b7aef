"""PostgreSQL that speaks TLS alone, as in production: the wheel's was built without it."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demo.local.postgres import Certificate, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.local.postgres import Postgres

_HOST: Final = "localhost"
# Where Debian puts the programs of each version.
_DEBIANS: Final = Path("/usr/lib/postgresql")


def why_not() -> str:
    """A sentence that says what is missing, or nothing."""
    if shutil.which("openssl") is None:
        return "PostgreSQL by TLS needs openssl on the path, and none was found"
    if _binaries() is None:
        return (
            f"PostgreSQL by TLS needs its server on the path or in {_DEBIANS} (Debian: "
            f"postgresql), and none was found"
        )
    return ""


@contextmanager
def encrypted_postgres(directory: Path) -> Iterator[Postgres]:
    """Run it with a certificate made here; its URI and connection verify that one in full.

    :param directory: for its data, certificate and ``postgres.log``.
    :raises ServerError: if it does not start.
    """
    directory.mkdir(parents=True)
    certificate = Certificate(
        host=_HOST, path=directory / "server.crt", key=directory / "server.key"
    )
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={_HOST}"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-addext", f"subjectAltName=DNS:{_HOST}"]
    command += ["-keyout", str(certificate.key), "-out", str(certificate.path)]
    subprocess.run(command, check=True, capture_output=True)
    certificate.key.chmod(0o600)
    with postgres(directory, binaries=_binaries(), certificate=certificate) as server:
        yield server


def _binaries() -> Path | None:
    """The folder of a server's programs, and of ``initdb``; the newest one's on Debian."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    folders = [path.parent for path in _DEBIANS.glob("*/bin/postgres")]
    return max(folders, key=_version, default=None)


def _version(folder: Path) -> int:
    number = re.match("[0-9]+", folder.parent.name)
    return int(number.group()) if number else 0
