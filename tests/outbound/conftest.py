"""Fixtures of this folder's tests."""

from pathlib import Path

import pytest

from tests.outbound.senders import Sender


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return Sender(folder)
