"""What is the same for every test is done once, and nobody pulls the plug of this machine."""

import os
from functools import cache
from typing import Any

from botocore.loaders import JSONFileLoader, Loader

_load_file = JSONFileLoader.load_file
_list_services = Loader.list_available_services


@cache
def _loaded(path: str) -> Any:
    return _load_file(JSONFileLoader(), path)


@cache
def _services(kind: str, search_paths: tuple[str, ...]) -> list[str]:
    paths = list(search_paths)
    return _list_services(
        Loader(extra_search_paths=paths, include_default_search_paths=False), kind
    )


def read_once() -> None:
    """Let botocore read its descriptions of services once in this process.

    A task makes one client, and waits half a second for a megabyte of JSON and a list of 400
    folders; the tests make some thousands of them.
    """
    JSONFileLoader.load_file = lambda _, path: _loaded(path)
    Loader.list_available_services = lambda loader, kind: _services(
        kind, tuple(loader.search_paths)
    )


def let_the_disk_take_its_time() -> None:
    """Wait for no disk in this process; a test would, for 30 files and folders or for hundreds."""
    os.fsync = lambda _: None
