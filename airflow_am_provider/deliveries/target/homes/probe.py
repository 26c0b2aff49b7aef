"""Proves that a home keeps its conditions: two writers against each other."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.homes.object_storage import NO_CONDITIONS

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.homes import Home, Loaded


def prove_conditions(home: Home) -> None:
    """Let two writers write one document, from the same version, and see that one of them wins.

    Costs a few requests and leaves nothing.

    :raises ConfigurationError: when both were told that they had won, or the place says that it
        knows no conditions.
    :raises TransientError: when the place does not answer.
    """
    # Each probe has its own key, so that two at the same place do not disturb each other.
    key = f"probe/{secrets.token_hex(8)}"
    try:
        if not (_one_wins(home, key, None) and _one_wins(home, key, home.load(key))):
            raise ConfigurationError(f"{home.url} {NO_CONDITIONS}")
    finally:
        home.discard(key)


def _one_wins(home: Home, key: str, known: Loaded | None) -> bool:
    """Whether of two writes from the same version one is done, and a later one from it is not."""
    version = None if known is None else known.version
    contents = [f'{{"writer": "{secrets.token_hex(16)}"}}'.encode() for _ in range(2)]
    with ThreadPoolExecutor(len(contents)) as pool:
        won = list(pool.map(lambda one: home.store(key, one, if_version=version), contents))
    there = home.load(key)
    if there is None or home.store(key, contents[0], if_version=version):
        return False
    # An answer that got lost makes a winner that does not know.
    return sum(won) == 0 or (sum(won) == 1 and there.content == contents[won.index(True)])
