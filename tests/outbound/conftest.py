"""Fixtures of this folder's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.mysql_server import mysql_server
from tests.outbound.senders import Sender


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return Sender(folder)


@pytest.fixture(scope="session")
def mysql_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mysql_server(tmp_path_factory.mktemp("mysql")) as port:
        yield port
