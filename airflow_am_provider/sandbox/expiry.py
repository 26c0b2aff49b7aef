"""Traits expire when nobody sends them again.

Pages: features/traits/create-onboarded-rule-based-traits.md,
features/traits/segment-ttl-explained.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from airflow_am_provider.sandbox.database import transaction

if TYPE_CHECKING:
    import sqlite3

    from airflow_am_provider.sandbox.account import Account

_DAY_S: Final = 86_400
# Looks may be a second apart, and each goes through all traits that there are.
_INTERVAL_S: Final = 3_600


class Expiry:
    """Takes traits away whose time is over.

    :param connection: the sandbox's database.
    :param account: says after how many days.
    """

    def __init__(self, connection: sqlite3.Connection, account: Account) -> None:
        self._connection = connection
        self._ttl_days = account.trait_ttl_days
        self._ttls = dict(account.trait_ttls)
        self._looked_at: float | None = None

    def expire(self, now: float) -> int:
        """Take away what has expired; at most once an hour.

        :param now: UNIX seconds.
        :return: how many traits of users that were.
        """
        if self._looked_at is not None and 0 <= now - self._looked_at < _INTERVAL_S:
            return 0
        self._looked_at = now
        expired = 0
        with transaction(self._connection):
            for trait, days in self._ttls.items():
                if days:
                    expired += self._connection.execute(
                        "DELETE FROM traits WHERE trait = ? AND said_at <= ?",
                        (trait, now - days * _DAY_S),
                    ).rowcount
            if self._ttl_days:
                expired += self._connection.execute(
                    """DELETE FROM traits WHERE said_at <= ?
                    AND trait NOT IN (SELECT value FROM json_each(?))""",
                    (now - self._ttl_days * _DAY_S, json.dumps(list(self._ttls))),
                ).rowcount
        return expired
