"""Proves that a home keeps its conditions: two writers against each other."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.homes.object_storage import NO_CONDITIONS

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.homes import Home

_KEY = "probe/conditions"


def prove_conditions(home: Home) -> None:
    """Let two writers write one document, from the same version, and see that one of them wins.

    Costs a few requests; leaves one small document.

    :raises ConfigurationError: when both were told that they had won, or the place says that it
        knows no conditions.
    :raises TransientError: when the place does not answer.
    """
    found = home.load(_KEY)
    version = None if found is None else found.version
    contents = [f'{{"writer": "{secrets.token_hex(16)}"}}'.encode() for _ in range(2)]
    with ThreadPoolExecutor(len(contents)) as pool:
        won = list(pool.map(lambda one: home.store(_KEY, one, if_version=version), contents))
    there = home.load(_KEY)
    # Whoever lost tries once more with what it read: it must lose again.
    lost_again = not home.store(_KEY, contents[0], if_version=version)
    told_right = there is not None and (
        sum(won) == 0 or (sum(won) == 1 and there.content == contents[won.index(True)])
    )
    created_twice = home.store(_KEY, contents[0], if_version=None)
    if not (told_right and lost_again) or created_twice:
        raise ConfigurationError(f"{home.url} {NO_CONDITIONS}")
