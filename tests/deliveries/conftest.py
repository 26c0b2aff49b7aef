"""Fixtures of this folder's tests."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.deliveries.uploads.destination import (
    OBJECT_ARGS,
    FtpDestination,
    S3Destination,
)
from airflow_am_provider.storage import FtpDrop, S3Folder
from demo.local.ftp import FtpServer
from demo.local.s3 import S3
from tests.connections import audience_manager, bucket, connect

__all__ = ["audience_manager", "bucket", "connect"]


@pytest.fixture
def to_s3(s3: S3, bucket: str) -> S3Destination:
    folder = S3Folder(s3.client(), bucket, extra_args=OBJECT_ARGS)
    return S3Destination(folder=folder, partner_name="acme")


@pytest.fixture
def ftp_directory(ftp_server: FtpServer) -> Path:
    directory = ftp_server.root / uuid4().hex
    directory.mkdir()
    return directory


@pytest.fixture
def to_ftp(ftp_server: FtpServer, ftp_directory: Path) -> FtpDestination:
    ftp_server.faults.unlink(missing_ok=True)

    def connect() -> Any:
        client = ftp_server.connect()
        client.voidcmd("TYPE I")
        return client

    return FtpDestination(
        open_drop=partial(FtpDrop, connect, f"/{ftp_directory.name}", pause_s=0.01, attempts=3),
        url=f"ftp://127.0.0.1/{ftp_directory.name}",
    )
