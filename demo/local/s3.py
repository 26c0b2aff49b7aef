"""An S3 server in memory (moto), which records what each object's ACL was set to.

It keeps conditional writes as S3 does: see :mod:`demo.local.s3_daemon`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from demo.local.processes import HOST, accepts_connections, free_port, running


@dataclass(frozen=True, kw_only=True)
class S3:
    """A running S3 server. It accepts any key; this one is for clients that insist on one."""

    endpoint_url: str
    access_key: str = "local-key"
    secret_key: str = field(default="local-secret", repr=False)
    region: str = "us-east-1"

    def client(self) -> Any:
        """A boto3 client for S3."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}),
        )

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that is there already is kept."""
        self.client().create_bucket(Bucket=name)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which boto3 finds this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def airflow_connection(self) -> dict[str, object]:
        """The Airflow connection to this server."""
        return {
            "conn_type": "aws",
            "login": self.access_key,
            "password": self.secret_key,
            "extra": {
                "endpoint_url": self.endpoint_url,
                "region_name": self.region,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
                # What the UI's Test asks, which would ask Amazon.
                "service_config": {"sts": {"endpoint_url": self.endpoint_url}},
            },
        }


@contextmanager
def s3(directory: Path, *, least_piece_bytes: int | None = None) -> Iterator[S3]:
    """Run an empty S3 server; its objects are gone when it ends.

    :param directory: for ``s3.log``, a line per request
    :param least_piece_bytes: of an object in pieces, all but the last; S3's 5 MiB by default
    :raises ServerError: if it does not start
    """
    port = free_port()
    command = [sys.executable, "-m", "demo.local.s3_daemon", HOST, str(port)]
    settings: dict[str, str | None] = {}
    if least_piece_bytes is not None:
        # The other follows from it unless it is said, and is what is kept in memory.
        settings = {
            "S3_UPLOAD_PART_MIN_SIZE": str(least_piece_bytes),
            "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(4 << 20),
        }
    with running("S3", command, log=directory / "s3.log", env=settings) as process:
        process.wait_until(lambda: accepts_connections(port), timeout_s=30)
        yield S3(endpoint_url=f"http://{HOST}:{port}")
