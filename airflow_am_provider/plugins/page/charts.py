"""What charts ask of the index: counts by day and by week, of what the user may see."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS
from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.deliveries.figures import match_rate
from airflow_am_provider.deliveries.target.state import PROCESSED_WELL, DeliveryState
from airflow_am_provider.plugins.page.queries import Where, day_of
from airflow_am_provider.plugins.page.rows import OUTSTANDING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.plugins.page.access import Rights

DEFAULT_DAYS: Final = 90
MOST_DAYS: Final = 400
_DATA_SOURCE: Final = "COALESCE(target_data_source, data_source)"
_CREATED_ON: Final = "substr(created_at, 1, 10)"
# The Monday of the week.
_WEEK: Final = "date(substr(created_at, 1, 10), 'weekday 0', '-6 days')"
# Worst first: what a day of several deliveries is called by.
_REJECTED: Final = frozenset((DeliveryState.FAILED, DeliveryState.ABANDONED))
_ORDER: Final = ("rejected", "attention", "waiting", "delivered")
# Rows that are set aside for these count against no limit: what they say is sent all the same.
_LOSES_NOTHING: Final = json.dumps([rule.value for rule in Rule if RULES[rule].loses_nothing])
# As many of the newest deliveries say which limits hold.
_ASKED_FOR_LIMITS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Days:
    """From one day to another, both included.

    :param since: the first.
    :param until: the last.
    """

    since: date
    until: date

    @classmethod
    def parse(cls, since: str | None, until: str | None) -> Days:
        """Read what was asked for; by default the last 90 days.

        :raises ConfigurationError: when one is no day, or they are more than 400.
        """
        last = day_of("until", until) if until else datetime.now(UTC).date()
        first = day_of("since", since) if since else last - timedelta(days=DEFAULT_DAYS - 1)
        if (last - first).days >= MOST_DAYS:
            raise ConfigurationError(
                f"since, until: {(last - first).days + 1:,} days; a chart has {MOST_DAYS} at most"
            )
        return cls(since=first, until=last)

    def __iter__(self) -> Iterator[str]:
        for number in range((self.until - self.since).days + 1):
            yield (self.since + timedelta(days=number)).isoformat()


def calendar(
    connection: sqlite3.Connection, rights: Rights, days: Days, environment: str | None
) -> dict[str, Any]:
    """How each day's data was delivered, by data source. A day is that of the window's begin."""
    conditions = _conditions(rights, "day", days)
    conditions.equal(environment=environment)
    # Of several versions of one window the newest counts.
    query = (
        f"SELECT day, {_DATA_SOURCE} AS source, state, needs_attention, COUNT(*) AS count "
        "FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY destination, target, series, mode, "
        "window_start, window_end, "
        "CASE WHEN window_start IS NULL AND window_end IS NULL THEN delivery_id END "
        f"ORDER BY created_at DESC) AS number FROM deliveries WHERE {conditions} "
        "AND state <> 'superseded') WHERE number = 1 GROUP BY day, source, state, needs_attention"
    )
    found: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in connection.execute(query, conditions.values):
        statuses = found[row["source"]][row["day"]]
        status = _status(row["state"], needs_attention=bool(row["needs_attention"]))
        statuses[status] = statuses.get(status, 0) + row["count"]
    cells = []
    for source, by_day in sorted(found.items()):
        first = min(by_day)
        for day in days:
            if day in by_day:
                statuses = by_day[day]
                status = next(one for one in _ORDER if one in statuses)
                count = sum(statuses.values())
                cells.append(_cell(day, source, status, count))
            elif first < day:
                cells.append(_cell(day, source, "nothing", 0))
    return {"days": cells}


def records(
    connection: sqlite3.Connection, rights: Rights, days: Days, data_source: str | None
) -> dict[str, Any]:
    """Records stored and failed, by Adobe's reason, on each day that deliveries were made."""
    conditions = _conditions(rights, "created_at", days, data_source)
    stored = connection.execute(
        f"SELECT {_CREATED_ON} AS created_on, SUM(stored) AS stored FROM deliveries "
        f"WHERE {conditions} AND stored IS NOT NULL GROUP BY created_on ORDER BY created_on",
        conditions.values,
    )
    found = {
        row["created_on"]: {"date": row["created_on"], "stored": row["stored"], "failed": {}}
        for row in stored
    }
    failed = connection.execute(
        f"SELECT {_CREATED_ON} AS created_on, key, SUM(value) AS count "
        "FROM deliveries CROSS JOIN json_each(failed) "
        f"WHERE {conditions} GROUP BY created_on, key ORDER BY created_on",
        conditions.values,
    )
    for row in failed:
        day = found.setdefault(
            row["created_on"], {"date": row["created_on"], "stored": 0, "failed": {}}
        )
        day["failed"][COUNT_LABELS.get(row["key"], row["key"])] = row["count"]
    return {"days": [found[day] for day in sorted(found)]}


def quality(
    connection: sqlite3.Connection, rights: Rights, days: Days, data_source: str | None
) -> dict[str, Any]:
    """Match rate, hours to the acknowledgement and share of rows set aside, week by week."""
    conditions = _conditions(rights, "created_at", days, data_source)
    hours: dict[str, list[float]] = defaultdict(list)
    for row in connection.execute(
        f"SELECT {_WEEK} AS week, hours_to_acknowledgement AS hours FROM deliveries "
        f"WHERE {conditions} AND hours IS NOT NULL",
        conditions.values,
    ):
        hours[row["week"]].append(row["hours"])
    lost = connection.execute(
        f"SELECT {_WEEK} AS week, SUM(value) AS count "
        "FROM deliveries CROSS JOIN json_each(set_aside) "
        f"WHERE {conditions} AND key NOT IN (SELECT value FROM json_each(?)) GROUP BY week",
        [*conditions.values, _LOSES_NOTHING],
    )
    lost_by_week = {row["week"]: row["count"] for row in lost}
    known = "received IS NOT NULL AND stored IS NOT NULL"
    weeks = connection.execute(
        f"SELECT {_WEEK} AS week, SUM(CASE WHEN {known} THEN received END) AS received, "
        f"SUM(CASE WHEN {known} THEN stored END) AS stored, SUM(rows_read) AS rows_read, "
        f"SUM(rows_set_aside) AS set_aside FROM deliveries WHERE {conditions} "
        f"GROUP BY week ORDER BY week",
        conditions.values,
    )
    return {
        "weeks": [
            {
                "week": row["week"],
                "match_rate": match_rate(row["received"], row["stored"]),
                "hours_to_acknowledgement": _spread(hours.get(row["week"])),
                "set_aside_share": _share(row["set_aside"], row["rows_read"]),
                "lost_share": _share(lost_by_week.get(row["week"], 0), row["rows_read"]),
            }
            for row in weeks
        ],
        "limits": _limits(connection, conditions),
    }


def audiences(
    connection: sqlite3.Connection, rights: Rights, days: Days, data_source: str | None
) -> dict[str, Any]:
    """Lines sent on each day, and when what was said first begins to expire."""
    conditions = _conditions(rights, "created_at", days, data_source)
    sent = connection.execute(
        f"SELECT {_CREATED_ON} AS date, {_DATA_SOURCE} AS data_source, SUM(lines) AS lines "
        f"FROM deliveries WHERE {conditions} AND times_sent > 0 AND lines IS NOT NULL "
        f"GROUP BY date, {_DATA_SOURCE} ORDER BY date",
        conditions.values,
    )
    of_user = Where(rights)
    of_user.equal(target=data_source)
    today = datetime.now(UTC).date()
    expiry = connection.execute(
        f"SELECT target AS data_source, MIN(day) AS date FROM expiry WHERE {of_user} "
        f"GROUP BY target ORDER BY date",
        of_user.values,
    )
    return {
        "days": [dict(row) for row in sent],
        "expiry": [
            {**dict(row), "days_left": (date.fromisoformat(row["date"]) - today).days}
            for row in expiry
        ],
    }


def _conditions(rights: Rights, field: str, days: Days, data_source: str | None = None) -> Where:
    conditions = Where(rights)
    conditions.days(field, days.since.isoformat(), days.until.isoformat())
    conditions.of_data_source(data_source)
    return conditions


def _cell(day: str, source: str, status: str, count: int) -> dict[str, Any]:
    return {"date": day, "data_source": source, "status": status, "count": count}


def _status(state: str, *, needs_attention: bool) -> str:
    if needs_attention:
        return "attention"
    if state in OUTSTANDING:
        return "waiting"
    if state in _REJECTED:
        return "rejected"
    assert state in PROCESSED_WELL, state
    return "delivered"


def _spread(hours: list[float] | None) -> dict[str, float] | None:
    return None if not hours else {"median": round(median(hours), 2), "longest": max(hours)}


def _share(count: int | None, of: int | None) -> float | None:
    return None if count is None or not of else count / of


def _limits(connection: sqlite3.Connection, conditions: Where) -> dict[str, float | None]:
    """What the newest deliveries allow, where those that say it say the same."""
    rows = connection.execute(
        f"SELECT limits FROM deliveries WHERE {conditions} AND limits IS NOT NULL "
        f"ORDER BY created_at DESC LIMIT {_ASKED_FOR_LIMITS}",
        conditions.values,
    )
    known = [json.loads(row["limits"]) for row in rows]
    of_receipts = [found["receipts"] for found in known if "receipts" in found]
    lost = _common(limits.get("no_matching_aam_id") for limits in of_receipts)
    set_aside = _common(found["max_set_aside"] for found in known if "max_set_aside" in found)
    timeout_s = _common(found["timeout_s"] for found in known if "timeout_s" in found)
    return {
        # A whole number is a count of records or rows, and no share.
        "min_match_rate": round(1 - lost, 6) if isinstance(lost, float) else None,
        "max_set_aside": set_aside if isinstance(set_aside, float) else None,
        "max_hours_to_acknowledgement": None if timeout_s is None else timeout_s / 3600,
    }


def _common(limits: Iterable[float | None]) -> float | None:
    """The one value that all of them have."""
    values = set(limits)
    return values.pop() if len(values) == 1 else None
