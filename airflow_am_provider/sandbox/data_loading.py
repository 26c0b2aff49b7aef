"""Applies data files: ``.sync`` adds and removes, ``.overwrite`` replaces.

Page: inbound-file-contents.md. Decided here, where the pages are silent:

- Each part of an ``.overwrite`` replaces by itself, since no order is promised between the parts of
  a delivery and nothing says that they replace together (faq/faq-inbound-data-ingestion.md). A user
  whose lines stand in two parts ends with the traits of the one that was taken last.
- A line of which nothing maps to a trait changes nothing, in an ``.overwrite`` too. A user ID with
  nothing after it does: it removes (aam-marketplace-implement-validate).
- An ``.overwrite`` replaces a user's signals along with the traits.
- A trait's time to live begins when the file is read that says it, in the order of reading; and
  what a signal realised expires like any other trait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.items import IcItem, Item, SignalItem, TraitItem
from airflow_am_provider.audience_manager.names import DataFileName, Mode
from airflow_am_provider.sandbox.loading import Ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from airflow_am_provider.audience_manager.lines import DataLine
    from airflow_am_provider.sandbox.account import Account
    from airflow_am_provider.sandbox.totals import Totals


class DataLoading:
    """Applies one data file.

    :param connection: inside a transaction.
    :param account: whose files these are.
    :param name: the file's name.
    :param totals: what is counted into.
    :param now: UNIX seconds.
    :param counts_misses: whether records that are stored without a match count as *No Matching AAM
        ID* too, as Adobe's do (reporting/onboarding-status-report.md).
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        account: Account,
        name: DataFileName,
        totals: Totals,
        now: float,
        *,
        counts_misses: bool = True,
    ) -> None:
        self._connection = connection
        self._account = account
        self._name = name
        self._totals = totals
        self._now = now
        self._ids = Ids(connection, account)
        self._counts_misses = counts_misses and account.may_match_nothing(name.dpid)
        self._target = name.dpid if name.target_dpid is None else name.target_dpid
        self._rules = account.rules_of(self._target)
        self._overwrites = name.mode is Mode.OVERWRITE
        self._file = _file_key(connection, name)
        # The last word on a trait within a batch: True for has, False for has no more.
        self._traits: dict[tuple[int, str], bool] = {}
        self._signals: dict[tuple[int, str, str], None] = {}

    def apply(self, lines: Sequence[DataLine]) -> None:
        """Apply some lines, in their order."""
        users = self._ids.matching(self._name.dpid, (line.user_id for line in lines))
        stored: set[int] = set()
        missed = set(users.values()) if self._counts_misses else set()
        missed -= self._ids.linked(missed)
        for line in lines:
            self._totals.total_signals += len(line.items)
            user = users.get(line.user_id)
            if user in missed:
                self._totals.no_matching_aam_id += 1
                self._totals.no_match_stored += 1
            if user is None:
                self._totals.no_matching_aam_id += 1
            elif self._note(user, line.items):
                stored.add(user)
            else:
                self._totals.no_trait_realized += 1
        self._ids.touch(stored)
        self._write()

    def finish(self) -> None:
        """Do and count what concerns all lines of the file."""
        if self._overwrites:
            self._totals.total_removed_traits += self._remove_what_is_not_of_this_file()
        self._totals.total_devices += self._ids.count_devices()

    def _note(self, user: int, items: tuple[Item, ...]) -> bool:
        """Note one line's items; tell whether the line is stored."""
        signals: list[tuple[str, str]] = []
        realized = removed = failed = 0
        for item in items:
            if not isinstance(item, TraitItem):
                key, value = _key_and_value(item)
                signals.append((key, value))
                traits = self._rules.get((key.casefold(), value.casefold()), frozenset())
                for trait in traits:
                    self._traits[user, trait] = True
                realized += len(traits)
                self._totals.total_unused_signals += not traits
            elif not self._account.has_trait(self._target, item.trait):
                failed += 1
            elif item.realized:
                self._traits[user, item.trait] = True
                realized += 1
            elif not self._overwrites:
                self._traits[user, item.trait] = False
                removed += 1
        self._totals.total_realized_traits += realized
        self._totals.total_traits_failed_validation += failed
        self._totals.total_users_failed_validation += failed > 0
        if not (realized or removed or not items or (signals and not self._rules)):
            return False
        for key, value in signals:
            self._signals[user, key, value] = None
        return True

    def _write(self) -> None:
        """Write a batch."""
        # A trait that came with an earlier file must be seen as this one's, or the end of the file
        # would take it away.
        again = "UPDATE SET delivery = excluded.delivery" if self._overwrites else "NOTHING"
        # Each time a trait is sent its time begins anew (features/traits/segment-ttl-explained.md).
        said_again = "UPDATE SET said_at = excluded.said_at"
        if self._overwrites:
            said_again += ", delivery = excluded.delivery"
        target, delivery, now = self._target, self._file, self._now
        self._connection.executemany(
            f"INSERT INTO traits VALUES (?, ?, ?, ?, ?) ON CONFLICT DO {said_again}",  # noqa: S608  # no value is in the text
            [
                (user, target, trait, delivery, now)
                for (user, trait), has in self._traits.items()
                if has
            ],
        )
        removals = self._connection.executemany(
            "DELETE FROM traits WHERE user = ? AND dpid = ? AND trait = ?",
            [(user, target, trait) for (user, trait), has in self._traits.items() if not has],
        )
        # SQLite says -1 when there was nothing to execute.
        self._totals.total_removed_traits += max(removals.rowcount, 0)
        self._connection.executemany(
            f"INSERT INTO signals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO {again}",  # noqa: S608  # no value is in the text
            [(user, target, key, value, delivery) for user, key, value in self._signals],
        )
        self._traits.clear()
        self._signals.clear()

    def _remove_what_is_not_of_this_file(self) -> int:
        """Take away what the users of this file had before; tell how many traits that were."""
        of_these_users = (
            "WHERE dpid = ? AND delivery != ? AND user IN (SELECT key FROM temp.touched)"
        )
        values = (self._target, self._file)
        self._connection.execute(f"DELETE FROM signals {of_these_users}", values)  # noqa: S608  # no value is in the text
        return self._connection.execute(
            f"DELETE FROM traits {of_these_users}",  # noqa: S608  # no value is in the text
            values,
        ).rowcount


def _key_and_value(item: IcItem | SignalItem) -> tuple[str, str]:
    return ("ic", item.code) if isinstance(item, IcItem) else (item.key, item.value)


def _file_key(connection: sqlite3.Connection, name: DataFileName) -> int:
    # The same file that comes once more is the same.
    stem = str(name)
    connection.execute("INSERT OR IGNORE INTO deliveries (stem) VALUES (?)", (stem,))
    row = connection.execute("SELECT key FROM deliveries WHERE stem = ?", (stem,)).fetchone()
    key: int = row[0]
    return key
