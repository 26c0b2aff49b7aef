"""An S3 server that keeps objects in a folder and keeps up with what is measured: rclone's."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.local.processes import HOST, accepts_connections, free_port, running
from demo.local.s3 import S3

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def s3_server(directory: Path) -> Iterator[S3]:
    """Run it.

    :param directory: for the objects and ``s3.log``.
    :raises ServerError: if it does not start.
    """
    port = free_port()
    server = S3(endpoint_url=f"http://{HOST}:{port}")
    objects = directory / "objects"
    objects.mkdir(parents=True)
    command: list[str | Path] = [Path(sys.executable).with_name("rclone"), "serve", "s3"]
    command += ["--addr", f"{HOST}:{port}", "--config", "/dev/null", objects]
    # As environment, so that no list of processes shows it.
    keys = {"RCLONE_AUTH_KEY": f'"{server.access_key},{server.secret_key}"'}
    with running("rclone", command, log=directory / "s3.log", env=keys) as process:
        process.wait_until(lambda: accepts_connections(port), timeout_s=30)
        yield server
