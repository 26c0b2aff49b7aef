"""Applies ID sync files: which ID belongs to which device, which hashed e-mail to which CRM ID.

Page: id-sync-file-based.md. The first column is the master. An AAM UUID or a platform's device
ID is a device by itself; another master must have been synchronised by an earlier file, as in
the page's second sample, and a line whose master was not counts as *No Matching AAM ID*. The
CRM IDs of ``c2c_id`` files need no device (people-based-destinations-workflow-offline.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import IdSyncFileName, IdSyncPrefix
from airflow_am_provider.sandbox.loading import Ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from airflow_am_provider.audience_manager.lines import IdSyncLine
    from airflow_am_provider.sandbox.account import Account
    from airflow_am_provider.sandbox.totals import Totals


class IdSyncLoading:
    """Applies one ID sync file.

    :param connection: inside a transaction.
    :param account: whose files these are.
    :param name: the file's name, which tells what the columns hold.
    :param totals: what is counted into.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        account: Account,
        name: IdSyncFileName,
        totals: Totals,
    ) -> None:
        self._connection = connection
        self._account = account
        self._name = name
        self._totals = totals
        self._ids = Ids(connection, account)

    def apply(self, lines: Sequence[IdSyncLine]) -> None:
        """Apply some lines, in their order."""
        masters = self._masters([line.ids[0] for line in lines])
        known = [line for line in lines if line.ids[0] in masters]
        self._totals.no_matching_aam_id += len(lines) - len(known)
        if self._name.prefix is IdSyncPrefix.C2C_ID:
            self._add_hashed_emails(known, masters)
        else:
            self._add_links(known, masters)
        self._ids.touch(masters[line.ids[0]] for line in known)

    def finish(self) -> None:
        """Count what is counted over all lines."""
        self._totals.total_devices += self._ids.count_devices()

    def _masters(self, values: list[str]) -> dict[str, int]:
        dpid = self._name.master_dpid
        if self._name.prefix is IdSyncPrefix.C2C_ID and self._account.environment.maps_ids:
            # The CRM ID stays unknown to Audience Manager's devices until a sync tells of one.
            return self._ids.added(dpid, values, synchronised=False)
        return self._ids.matching(dpid, values)

    def _add_hashed_emails(self, lines: Sequence[IdSyncLine], masters: dict[str, int]) -> None:
        # More IDs than the name has DPIDs are further e-mails of the last one.
        last = len(self._name.dpids) - 1
        self._connection.executemany(
            "INSERT OR IGNORE INTO hashed_emails VALUES (?, ?, ?)",
            (
                (masters[line.ids[0]], self._name.dpids[min(place, last)], hashed)
                for line in lines
                for place, hashed in enumerate(line.ids[1:])
            ),
        )

    def _add_links(self, lines: Sequence[IdSyncLine], masters: dict[str, int]) -> None:
        for place, dpid in enumerate(self._name.dpids, start=1):
            others = self._ids.added(dpid, (line.ids[place] for line in lines), synchronised=True)
            self._connection.executemany(
                "INSERT OR IGNORE INTO links VALUES (?, ?)",
                ((masters[line.ids[0]], others[line.ids[place]]) for line in lines),
            )
