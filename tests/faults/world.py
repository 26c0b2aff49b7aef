"""The servers that schedules run on, one after the other, each in places of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.local.ftp import FtpServer, ftp_server
from demo.local.imap import ImapServer, imap_server
from demo.local.postgres import Postgres, postgres
from demo.local.s3 import S3, s3
from tests.faults import crm

_DISK_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class World:
    """Running servers."""

    postgres: Postgres
    s3: S3
    ftp: FtpServer
    imap: ImapServer
    disk: Path
    is_small_disk: bool


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Run all servers, and a small disk where this user may make one."""
    with ExitStack() as stack:
        postgres_server = stack.enter_context(postgres(directory / "postgres"))
        s3_server = stack.enter_context(s3(directory / "s3", least_piece_bytes=1))
        made = World(
            postgres=postgres_server,
            s3=s3_server,
            ftp=stack.enter_context(ftp_server(directory / "ftp")),
            imap=stack.enter_context(imap_server(directory / "imap")),
            disk=directory / "disk",
            is_small_disk=stack.enter_context(_small_disk(directory / "disk")),
        )
        environment = s3_server.environment
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        crm.fill(postgres_server)
        try:
            yield made
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """A file system in memory, for root; for others a folder, where no disk gets full."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0755", "faults", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
