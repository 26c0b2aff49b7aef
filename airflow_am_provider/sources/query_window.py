"""The window in a query: what is bound for its placeholders, by driver.

A driver that has a type for moments gets moments. The others get text: the clock time in the
window's zone, in the one form that sorts rightly against all others of a day, or none at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.placeholders import placeholder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What a query can ask for: the moments, and where the window is made of whole days their dates.
MOMENTS: Final = ("window_start", "window_end")
DATES: Final = ("window_start_date", "window_end_date")

#: The zone of a window that names none.
DEFAULT_ZONE: Final = "UTC"

SQLITE: Final = "sqlite3"
#: The drivers of MySQL and MariaDB.
MYSQL: Final = frozenset({"MySQLdb", "pymysql", "mysql"})
# They know no moments: MySQL's drop the zone of a datetime, SQLite keeps times as text.
_BY_TEXT: Final = MYSQL | {SQLITE}
# Functions of SQLite that say in which form a column keeps its times. DATE and TIME are not among
# them: they would leave a part of the moment out.
_SAYS_THE_FORM: Final = re.compile(
    r"\b(?:datetime|julianday|unixepoch|strftime)\s*\(\s*(?:'[^']*'\s*,\s*)?\Z", re.IGNORECASE
)


# Only %s and %J among strftime's forms, not %S.
_READS_AS_UTC: Final = re.compile(
    r"\b(?:(?i:julianday|unixepoch)\s*\(|(?i:strftime)\s*\(\s*'[^']*%[sJ][^']*'\s*,)\s*\Z"
)


@dataclass(frozen=True, kw_only=True)
class Zone:
    """The zone in which a window's days begin, and in which its query runs.

    :param name: as IANA's database has it, such as ``Europe/Berlin``.
    :param is_chosen: whether the user said so.
    """

    name: str = DEFAULT_ZONE
    is_chosen: bool = False

    @classmethod
    def parse(cls, place: str, name: object) -> Zone:
        """The zone of that name; UTC where none is given.

        :param place: the parameter's name, for the message.
        :raises ConfigurationError: when there is no such zone.

        >>> Zone.parse("window_timezone", None)
        Zone(name='UTC', is_chosen=False)
        """
        if name in (None, "", "None"):
            return cls()
        try:
            found = ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"{place}: {name!r} is not a time zone of IANA's database, such as 'UTC' or "
                f"'Europe/Berlin'"
            ) from None
        return cls(name=str(found), is_chosen=True)

    @property
    def is_utc(self) -> bool:
        """Whether it is UTC, by any of its names."""
        return self.name in {"UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "Zulu"}

    @property
    def tzinfo(self) -> tzinfo:
        """For ``datetime``."""
        return UTC if self.is_utc else ZoneInfo(self.name)

    def first_moment(self, day: date) -> datetime:
        """When a day begins: at midnight, or later where clocks are put forward over midnight."""
        return datetime(day.year, day.month, day.day, tzinfo=self.tzinfo).astimezone(UTC)

    def day_that_begins_at(self, moment: datetime) -> date | None:
        """The day whose first moment this is, or None.

        >>> Zone(name="Asia/Tokyo").day_that_begins_at(datetime(2026, 3, 1, 15, tzinfo=UTC))
        datetime.date(2026, 3, 2)
        """
        day = moment.astimezone(self.tzinfo).date()
        return day if self.first_moment(day) == moment else None


#: What counts unless the user names another zone.
IN_UTC: Final = Zone()


@dataclass(frozen=True, kw_only=True)
class QueryWindow:
    """What a query asks for of its window.

    :param zone: of its days.
    :param values: a moment with a zone, or a date, for each placeholder that the query has.
    """

    zone: Zone
    values: Mapping[str, date]

    def added_to(
        self, sql: str, parameters: Mapping[str, Any] | Iterable[Any] | None, driver: str
    ) -> Mapping[str, Any] | Iterable[Any] | None:
        """A query's parameters, with the window's as a driver wants them.

        :param sql: the query.
        :param parameters: of the user; what they name themselves stays.
        :param driver: the package of the connection.
        :raises ConfigurationError: when no text would compare rightly.
        """
        if not self.values:
            return parameters
        own: dict[str, Any] = dict(parameters or ())
        found = {
            name: self._bound(sql, name, value, driver)
            for name, value in self.values.items()
            if name not in own
        }
        return {**found, **own}

    def _bound(self, sql: str, name: str, value: date, driver: str) -> object:
        if not isinstance(value, datetime):
            return value.isoformat() if driver == SQLITE else value
        local = value.astimezone(self.zone.tzinfo)
        if driver not in _BY_TEXT:
            # In the zone's own time: a driver that leaves the zone out leaves the clock time.
            return local
        if driver == SQLITE and not self.zone.is_utc and _is_around(_READS_AS_UTC, sql, name):
            raise ConfigurationError(
                f"window_timezone: {self.zone.name!r}, but sql makes a number of {name} by "
                f"unixepoch, julianday or strftime('%s'), which read a clock time as UTC. Leave "
                f"window_timezone out: a number is the same moment in every zone"
            )
        day = self.zone.day_that_begins_at(value)
        if day is not None:
            # Before every other text of that day, whether a blank or a T comes next, and after
            # every one of the day before.
            return day.isoformat()
        if driver == SQLITE and not _is_around(_SAYS_THE_FORM, sql, name, everywhere=True):
            raise ConfigurationError(
                f"sql: compares {name} with text, and {local.isoformat()} is in the middle of a "
                f"day: SQLite keeps times as text, where '… 10:00:00' sorts before 'T09:00:00'. "
                f"Say in which form the column has them: datetime(:{name}) for "
                f"'2026-03-01 10:00:00', strftime('%Y-%m-%dT%H:%M:%S', :{name}) for "
                f"'2026-03-01T10:00:00', unixepoch(:{name}) for seconds. See docs/windows.md"
            )
        return local.replace(tzinfo=None).isoformat(sep=" ")


def _is_around(function: re.Pattern[str], sql: str, name: str, *, everywhere: bool = False) -> bool:
    """Whether a placeholder is a function's argument, at one of its places or at all of them."""
    found = [
        function.search(sql, 0, place.start()) is not None
        for place in placeholder(name).finditer(sql)
    ]
    return all(found) if everywhere else any(found)
