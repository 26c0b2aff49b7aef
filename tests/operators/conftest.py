"""Fixtures of this folder's tests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


@pytest.fixture
def in_threads() -> Callable[..., list[Any]]:
    """Call a function for each of some values, all at once."""

    def call(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
        with ThreadPoolExecutor(len(values)) as pool:
            return list(pool.map(function, values))

    return call
