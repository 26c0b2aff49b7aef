"""A local folder and an S3 folder on a real server, under one name."""

from pathlib import Path
from uuid import uuid4

import pytest

from airflow_am_provider.storage import Folder, LocalFolder, S3Folder
from demo.local.s3 import S3


@pytest.fixture
def s3_folder(s3: S3) -> S3Folder:
    bucket = f"test-{uuid4().hex[:12]}"
    s3.create_bucket(bucket)
    return S3Folder(s3.client(), bucket, "some/prefix")


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return LocalFolder(tmp_path / "folder")
    s3_folder: S3Folder = request.getfixturevalue("s3_folder")
    return s3_folder
