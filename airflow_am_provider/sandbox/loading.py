"""What applying a data file and applying an ID sync file have in common.

Everything happens inside the caller's transaction: a file is applied whole or not at all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.identifiers import is_device_data_source
from airflow_am_provider.sandbox.profiles import DEVICE_DPIDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from airflow_am_provider.sandbox.account import Account

# Lines that are looked up and written together: enough to spare round trips into SQLite.
BATCH_LINES: Final = 10_000

_TOUCHED: Final = "CREATE TEMP TABLE IF NOT EXISTS touched (key INTEGER PRIMARY KEY)"
_COUNT_DEVICES: Final = f"""
    WITH RECURSIVE above (key) AS (
        SELECT key FROM temp.touched
        UNION SELECT master FROM links JOIN above ON links.other = above.key)
    SELECT count(*) FROM above CROSS JOIN ids USING (key) WHERE ids.dpid IN ({DEVICE_DPIDS})
"""  # noqa: S608  # no value is in the text


class Ids:
    """The IDs of users on their way into and out of the database.

    :param connection: inside a transaction.
    :param account: which data sources take IDs that were never synchronised.
    """

    def __init__(self, connection: sqlite3.Connection, account: Account) -> None:
        self._connection = connection
        self._account = account
        connection.execute(_TOUCHED)
        connection.execute("DELETE FROM temp.touched")

    def matching(self, dpid: int, values: Iterable[str]) -> dict[str, int]:
        """The keys of those IDs that Audience Manager knows, or takes without knowing them."""
        wanted = list(dict.fromkeys(values))
        if not self._account.environment.maps_ids:
            return {}
        if self._account.takes_unsynchronised(dpid):
            return self.added(dpid, wanted, synchronised=is_device_data_source(dpid))
        return self._keys(dpid, wanted, only_synchronised=True)

    def added(self, dpid: int, values: Iterable[str], *, synchronised: bool) -> dict[str, int]:
        """The keys of IDs, which are made where there are none.

        :param synchronised: whether they are known for good; it is never taken back.
        """
        wanted = list(dict.fromkeys(values))
        self._connection.execute(
            """INSERT INTO ids (dpid, id, synchronised) SELECT ?, value, ? FROM json_each(?)
            WHERE true ON CONFLICT DO UPDATE SET synchronised = 1
            WHERE excluded.synchronised AND NOT ids.synchronised""",
            (dpid, synchronised, json.dumps(wanted, ensure_ascii=False)),
        )
        return self._keys(dpid, wanted, only_synchronised=False)

    def linked(self, keys: Iterable[int]) -> set[int]:
        """Those that an ID sync has mapped to another ID: they match, whatever is stored."""
        rows = self._connection.execute(
            """SELECT value FROM json_each(?) WHERE EXISTS
            (SELECT 1 FROM links WHERE other = value) OR EXISTS
            (SELECT 1 FROM links WHERE master = value)""",
            (json.dumps(list(keys)),),
        )
        return {key for (key,) in rows}

    def touch(self, keys: Iterable[int]) -> None:
        """Remember users for whom something was stored."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO temp.touched VALUES (?)", ((key,) for key in keys)
        )

    def count_devices(self) -> int:
        """How many devices the users have for whom something was stored."""
        count: int = self._connection.execute(_COUNT_DEVICES).fetchone()[0]
        return count

    def _keys(self, dpid: int, wanted: list[str], *, only_synchronised: bool) -> dict[str, int]:
        # A cross join fixes the order: SQLite would otherwise go through all IDs for each value.
        rows = self._connection.execute(
            """SELECT ids.id, ids.key FROM json_each(?) CROSS JOIN ids
            ON ids.dpid = ? AND ids.id = value WHERE ids.synchronised OR NOT ?""",
            (json.dumps(wanted, ensure_ascii=False), dpid, only_synchronised),
        )
        return dict(rows.fetchall())
