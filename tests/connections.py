"""Airflow connections to the real servers, given as Airflow takes them: in the environment."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.storage import LocalFolder
from demo.local.s3 import S3

Connect = Callable[..., str]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Make an Airflow connection; gives its ID."""

    def make(document: dict[str, Any]) -> str:
        conn_id = f"conn_{uuid4().hex[:8]}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(document))
        return conn_id

    return make


@pytest.fixture
def audience_manager(connect: Connect) -> Connect:
    """Make a connection of the type ``audience_manager`` from its fields; gives its ID."""

    def make(**extra: str) -> str:
        return connect({"conn_type": "audience_manager", "extra": extra})

    return make


@pytest.fixture
def bucket(s3: S3) -> str:
    name = f"test-{uuid4().hex[:12]}"
    s3.create_bucket(name)
    return name


@pytest.fixture
def staging(tmp_path: Path) -> LocalFolder:
    """An empty staging location."""
    return LocalFolder(tmp_path / "staging")


@pytest.fixture
def conn_id(
    s3: S3, bucket: str, staging: LocalFolder, connect: Connect, audience_manager: Connect
) -> str:
    """A connection from there to a bucket."""
    return audience_manager(
        environment="custom",
        bucket=bucket,
        partner_name="acme",
        aws_conn_id=connect(s3.airflow_connection()),
        staging_location=staging.url,
    )
