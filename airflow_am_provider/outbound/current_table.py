"""The table of what is current: who is in which segment, since when, until when.

**Order.** A batch's place is the time in its name, which Adobe gives, and not when it is loaded. A
batch that is newer than all others is merged into the current table. Otherwise the table is made
anew from the rows of all batches in their order, so that loading days in any order gives the same.

**Series.** Batches of one destination and one kind of ID are a series, and each is kept by itself.
A full batch says something of every user of its series: who is not in it is in no segment from then
on. Users of another kind of ID come in batches of their own.

**What it has taken in.** The table of batches says of each batch which current table has taken it
in. One that was loaded without a current table, or before there was one, is seen by that, and one
that was emptied by having no rows; then it is made anew.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.outbound.rows import time_as_text

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.transaction import Transaction

_logger = logging.getLogger(__name__)

_SAID: Final = "airflow_am_said"
_LACKED: Final = "as it lacked some of them"
_COLUMNS: Final = frozenset({"destination", "id_dpid", "user_id", "segment", "since", "until"})


@dataclass(frozen=True, kw_only=True)
class Series:
    """Batches that follow each other.

    :param destination: whose they are; 0 where their names do not say.
    :param id_dpid: the kind of ID that is in them; 0 where their names do not say.
    """

    destination: int
    id_dpid: int

    @classmethod
    def of(cls, batch: Batch) -> Series:
        """The series of a batch."""
        return cls(destination=batch.destination, id_dpid=batch.name.master_dpid or 0)

    def __str__(self) -> str:
        kind = f", IDs of {self.id_dpid}" if self.id_dpid else ""
        return f"destination {self.destination}{kind}"


def check_mode(batch_id: str, mode: str | None, batches: str) -> None:
    """See that it is known of a batch whether it is full.

    :param batches: the table of batches.
    :raises DataError: when it is not.
    """
    if mode is None:
        raise DataError(
            f"batch {batch_id}: its name says neither full nor iter, so that nothing says whether "
            f"users who are not in it have left all segments, and current_table cannot take it in. "
            f"If all batches without a mode are of one, set sync_mode='full' or 'iter'; if their "
            f"names say it in another place, set name_template. For one that is loaded already, "
            f"load it again with reload=True, or write its mode into {batches}"
        )


class CurrentTable:
    """The statements of a current table. Names of tables are checked by who gives them.

    :param transaction: runs them.
    :param name: the current table.
    :param rows: the table of batches' rows.
    :param batches: the table of which batches are loaded.
    """

    def __init__(self, transaction: Transaction, *, name: str, rows: str, batches: str) -> None:
        self._in = transaction
        self._name = name
        self._rows = rows
        self._batches = batches

    def make(self) -> None:
        """Make it, unless it is there.

        :raises ConfigurationError: when what is there is something else.
        """
        dialect = self._in.dialect
        self._in.run(
            f"CREATE TABLE IF NOT EXISTS {self._name} (destination BIGINT NOT NULL, "
            f"id_dpid BIGINT NOT NULL, user_id {dialect.key} NOT NULL, segment BIGINT NOT NULL, "
            f"since {dialect.moment} NOT NULL, until {dialect.moment}, "
            f"PRIMARY KEY (destination, id_dpid, user_id, segment))"
        )
        if missing := _COLUMNS - self._in.columns(self._name):
            raise ConfigurationError(
                f"current_table: {self._name} has no column {', '.join(sorted(missing))}. "
                f"If an earlier version has made it, drop it: it is made anew from the rows of all "
                f"batches in {self._rows}. Else give current_table another name"
            )

    def why_anew(self, batch: Batch, time: str) -> str | None:
        """Why a batch that is to be loaded cannot just be added; None where it can.

        :param time: the batch's, as text.
        """
        self._fill_kinds()
        series = Series.of(batch)
        newest = self._in.row(
            f"SELECT batch, batch_time FROM {self._batches} WHERE destination = ? AND id_dpid = ? "
            f"ORDER BY batch_time DESC, batch DESC LIMIT 1",
            series.destination,
            series.id_dpid,
        )
        if newest is None:
            return None
        if self._lacks(series):
            return _LACKED
        if (_as_text(newest[1]), newest[0]) >= (time, batch.batch_id):
            return "as one was loaded before, or is older than others that were"
        return None

    def take_in(self, batch: Batch, why_anew: str | None) -> None:
        """Take a batch over, whose rows are there.

        :param why_anew: what :meth:`why_anew` has said before it was loaded.
        """
        series = Series.of(batch)
        if why_anew is None:
            self._merge(batch.batch_id, series)
        else:
            self._make_anew(series, why_anew)

    def catch_up(self, destination: int | None) -> None:
        """Make anew what lacks batches that are loaded, or was emptied.

        :param destination: of which destination it is; None for all.
        """
        self._fill_kinds()
        found = self._in.rows(
            f"SELECT DISTINCT destination, id_dpid FROM {self._batches}"
            + (" WHERE destination = ?" if destination is not None else ""),
            *(() if destination is None else (destination,)),
        )
        for one in sorted(found):
            series = Series(destination=int(one[0]), id_dpid=int(one[1]))
            if self._lacks(series):
                self._make_anew(series, _LACKED)

    def _fill_kinds(self) -> None:
        """Tell the kind of ID of batches that an earlier version has loaded, by their rows."""
        self._in.run(
            f"UPDATE {self._batches} SET id_dpid = COALESCE((SELECT MAX(line.id_dpid) FROM "
            f"{self._rows} AS line WHERE line.batch = {_last(self._batches)}.batch), 0) "
            f"WHERE id_dpid IS NULL"
        )

    def _lacks(self, series: Series) -> bool:
        """Whether it lacks a batch that is loaded, or all of them."""
        missed = self._in.row(
            f"SELECT 1 FROM {self._batches} WHERE destination = ? AND id_dpid = ? "
            f"AND (current_table IS NULL OR current_table <> ?) LIMIT 1",
            series.destination,
            series.id_dpid,
            self._name,
        )
        return missed is not None or self._is_emptied(series)

    def _is_emptied(self, series: Series) -> bool:
        """Whether it has no row of a series that has some: those that ended stay."""
        of_series = "destination = ? AND id_dpid = ?"
        values = (series.destination, series.id_dpid)
        if self._in.row(f"SELECT 1 FROM {self._name} WHERE {of_series} LIMIT 1", *values):
            return False
        found = self._in.row(
            f"SELECT 1 FROM {self._rows} WHERE segments <> '' AND batch IN "
            f"(SELECT batch FROM {self._batches} WHERE {of_series}) LIMIT 1",
            *values,
        )
        return found is not None

    def _make_anew(self, series: Series, why: str) -> None:
        """Put it together from the rows of all batches of a series."""
        self._in.run(
            f"DELETE FROM {self._name} WHERE destination = ? AND id_dpid = ?",
            series.destination,
            series.id_dpid,
        )
        found = self._in.rows(
            f"SELECT batch FROM {self._batches} WHERE destination = ? AND id_dpid = ? "
            f"ORDER BY batch_time, batch",
            series.destination,
            series.id_dpid,
        )
        for (batch_id,) in found:
            self._merge(batch_id, series)
        _logger.info(
            "%s (%s): made anew from the rows of %s in %s, %s",
            self._name,
            series,
            counted(len(found), "batch", "batches"),
            self._rows,
            why,
        )

    def _merge(self, batch_id: str, series: Series) -> None:
        """Take a batch's rows over; all older ones are in it."""
        found = self._in.row(
            f"SELECT mode, batch_time FROM {self._batches} WHERE batch = ?", batch_id
        )
        mode, time = found or (None, None)
        check_mode(batch_id, mode, self._batches)
        # A user who is added to a segment and removed from it by one batch is in it: what is
        # removed goes first.
        if mode == "full":
            self._say("segments", batch_id)
            self._close(series, time, "NOT EXISTS")
        else:
            self._say("removed_segments", batch_id)
            self._close(series, time, "EXISTS")
            self._say("segments", batch_id)
        integer, moment = self._in.dialect.integer, self._in.dialect.as_moment
        # Without WHERE, SQLite takes ON CONFLICT for the condition of a join.
        self._in.run(
            f"INSERT INTO {self._name} (destination, id_dpid, user_id, segment, since, until) "
            f"SELECT CAST(? AS {integer}), CAST(? AS {integer}), said.user_id, said.segment, "
            f"CAST(? AS {moment}), CAST(NULL AS {moment}) FROM {_SAID} AS said WHERE true "
            + self._in.dialect.upsert.format(own=_last(self._name)),
            series.destination,
            series.id_dpid,
            time,
        )
        self._in.run(
            f"UPDATE {self._batches} SET current_table = ? WHERE batch = ?", self._name, batch_id
        )

    def _say(self, column: str, batch_id: str) -> None:
        """Put each user and segment of one of a batch's columns into a table of its own, once.

        As a table it has a key: looking each row of the current table up among the lists of a
        batch would take the product of both.
        """
        numbers = str(self._in.dialect.numbers).format(column=f"line.{column}")
        self._in.run(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_SAID} "
            f"(user_id {self._in.dialect.key}, segment BIGINT, PRIMARY KEY (user_id, segment))"
        )
        self._in.run(f"DELETE FROM {_SAID}")
        self._in.run(
            f"INSERT INTO {_SAID} SELECT DISTINCT line.user_id, "
            f"CAST(part.value AS {self._in.dialect.integer}) FROM "
            f"{self._rows} AS line, {numbers} WHERE line.batch = ?",
            batch_id,
        )
        if self._in.dialect.analyze is not None:
            self._in.run(self._in.dialect.analyze.format(table=_SAID))

    def _close(self, series: Series, time: object, whether: str) -> None:
        """End what holds of a series, for the pairs that were said, or that were not."""
        own = _last(self._name)
        self._in.run(
            f"UPDATE {self._name} SET until = ? WHERE destination = ? AND id_dpid = ? AND until IS "
            f"NULL AND {whether} (SELECT 1 FROM {_SAID} AS said WHERE said.user_id = "
            f"{own}.user_id AND said.segment = {own}.segment)",
            time,
            series.destination,
            series.id_dpid,
        )


def _last(table: str) -> str:
    """A table's name as ON CONFLICT knows it."""
    return table.rpartition(".")[2]


def _as_text(moment: datetime | str) -> str:
    """A time as text that sorts as it does."""
    if isinstance(moment, str):
        return moment
    return time_as_text(moment)
