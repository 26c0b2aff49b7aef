"""Fixtures of this folder's tests."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination
from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS, S3Destination
from airflow_am_provider.hooks.ftp import TimedFTPHook
from airflow_am_provider.hooks.ftps import TimedFTPSHook
from airflow_am_provider.hooks.sftp import open_sftp
from airflow_am_provider.storage import Drop, S3Folder
from airflow_am_provider.storage.drops.ftp import FtpSession
from demo.local.s3 import S3
from tests.connections import Connect


@pytest.fixture
def to_s3(s3: S3, bucket: str) -> S3Destination:
    folder = S3Folder(s3.client(), bucket, extra_args=OBJECT_ARGS)
    return S3Destination(folder=folder, partner_name="acme")


@pytest.fixture(params=["ftp", "sftp"])
def drop_server(request: pytest.FixtureRequest) -> Any:
    """A host of each kind that files are dropped on; of FTPS where a test asks for it."""
    server: Any = request.getfixturevalue(f"{request.param}_server")
    server.faults.unlink(missing_ok=True)
    return server


@pytest.fixture
def drop_directory(drop_server: Any) -> Path:
    directory: Path = drop_server.root / uuid4().hex
    directory.mkdir()
    return directory


@pytest.fixture
def to_drop(
    request: pytest.FixtureRequest, drop_server: Any, drop_directory: Path, connect: Connect
) -> DropDestination:
    directory = f"/{drop_directory.name}"
    conn_id = connect(drop_server.airflow_connection())
    protocol = request.node.callspec.params["drop_server"]
    open_session: Any = partial(open_sftp, conn_id, directory)
    if protocol != "sftp":
        hook = {"ftp": TimedFTPHook, "ftps": TimedFTPSHook}[protocol](conn_id)
        open_session = partial(FtpSession.open, hook.new_connection, directory)
    return DropDestination(
        open_drop=partial(
            Drop, open_session, protocol.upper(), directory, pause_s=0.01, attempts=3
        ),
        url=f"{protocol}://127.0.0.1{directory}",
    )
