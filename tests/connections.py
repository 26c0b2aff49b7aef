"""Airflow connections to the real servers, given as Airflow takes them: in the environment.

Fixtures for all tests; ``tests/conftest.py`` names this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_am_provider.sandbox.rest import RestApi
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
def bucket_connection(
    s3: S3, bucket: str, staging: LocalFolder, connect: Connect, audience_manager: Connect
) -> Connect:
    """Make a connection from there to a bucket, with other or more fields; gives its ID."""

    def make(**fields: str) -> str:
        usual = {
            "environment": "custom",
            "bucket": bucket,
            "partner_name": "acme",
            "aws_conn_id": connect(s3.airflow_connection()),
            "staging_location": staging.url,
        }
        return audience_manager(**{**usual, **fields})

    return make


@pytest.fixture
def conn_id(bucket_connection: Connect) -> str:
    """A connection from there to a bucket."""
    return bucket_connection()


@pytest.fixture
def api_connection(connect: Connect) -> Connect:
    """Make a connection to a sandbox's REST API; gives its ID."""

    def make(api: RestApi, **changes: object) -> str:
        return connect({**api_document(api), **changes})

    return make


def api_document(api: RestApi) -> dict[str, object]:
    """A connection to a sandbox's REST API, as Airflow writes it."""
    return {
        "conn_type": "audience_manager_api",
        "host": api.url,
        "login": api.config.client_id,
        "password": api.config.client_secret,
        "extra": {"scope": "openid,read_organizations", "token_url": api.token_url},
    }
