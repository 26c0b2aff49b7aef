"""Fixtures of this folder's tests."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination
from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS, S3Destination
from airflow_am_provider.hooks.ftp import TimedFTPHook
from airflow_am_provider.hooks.sftp import open_sftp
from airflow_am_provider.storage import Drop, S3Folder
from airflow_am_provider.storage.drops.ftp import FtpSession
from demo.local.s3 import S3
from tests.connections import Connect, audience_manager, bucket, connect

__all__ = ["audience_manager", "bucket", "connect"]


@pytest.fixture
def to_s3(s3: S3, bucket: str) -> S3Destination:
    folder = S3Folder(s3.client(), bucket, extra_args=OBJECT_ARGS)
    return S3Destination(folder=folder, partner_name="acme")


@pytest.fixture(params=["ftp", "sftp"])
def drop_server(request: pytest.FixtureRequest) -> Any:
    """A host of each kind that files are dropped on."""
    server: Any = request.getfixturevalue(f"{request.param}_server")
    server.faults.unlink(missing_ok=True)
    return server


@pytest.fixture
def drop_directory(drop_server: Any) -> Path:
    directory: Path = drop_server.root / uuid4().hex
    directory.mkdir()
    return directory


@pytest.fixture
def to_drop(drop_server: Any, drop_directory: Path, connect: Connect) -> DropDestination:
    directory = f"/{drop_directory.name}"
    document = drop_server.airflow_connection()
    conn_id, protocol = connect(document), document["conn_type"]
    ftp = partial(FtpSession.open, TimedFTPHook(conn_id).new_connection, directory)
    open_session: Any = ftp if protocol == "ftp" else partial(open_sftp, conn_id, directory)
    return DropDestination(
        open_drop=partial(
            Drop, open_session, protocol.upper(), directory, pause_s=0.01, attempts=3
        ),
        url=f"{protocol}://127.0.0.1{directory}",
    )
