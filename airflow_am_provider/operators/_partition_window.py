"""Which stretch of time a partition of Airflow is (3.2 and newer).

Airflow says where a partition begins and not where it ends. With ``CronPartitionTimetable`` it
ends at the next tick; a key that a mapper made, such as ``2026-03-10`` by ``StartOfDayMapper``,
shows by its form how long it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The forms that Airflow's temporal mappers give keys unless told otherwise.
_KEY: Final = re.compile(
    r"(?P<year>\d{4})"
    r"(?:-Q(?P<quarter>[1-4])"
    r"|-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:T(?P<hour>\d\d)| \((?P<week>W\d\d)\))?)?)?"
)


def partition_key(context: Mapping[str, Any]) -> str | None:
    """The key of the run's partition, or None."""
    return context.get("partition_key") or getattr(context.get("dag_run"), "partition_key", None)


def partition_window(context: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """First moment of the run's partition, and first moment after it.

    :param context: the context of a task whose run has a partition.
    :return: None when the partition is no stretch of time, or nothing says how long it is.
    """
    key, timetable = partition_key(context) or "", getattr(context.get("dag"), "timetable", None)
    # Airflow 3.2 has the key alone.
    begins: datetime | None = context.get("partition_date")
    if (key_format := _own(timetable, "key_format")) is not None:
        zone = _zone(_own(timetable, "timezone"))
        try:
            begins = begins or datetime.strptime(key, key_format).replace(tzinfo=zone)
        except ValueError:
            return None
        return begins, _next_tick(str(_own(timetable, "expression")), zone, begins)
    zones = {str(zone): zone for zone in _zones_of_mappers(timetable)} or {"UTC": UTC}
    if len(zones) > 1:
        return None
    (zone,) = zones.values()
    named = _named(key, zone)
    # Where Airflow knows when it begins and that is another moment, the key means something else.
    return named if named is None or begins in (None, named[0]) else None


def _named(key: str, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """The year, quarter, month, week, day or hour that a key names, in a zone.

    >>> start, end = _named("2026-Q4", UTC)
    >>> start.date().isoformat(), end.date().isoformat()
    ('2026-10-01', '2027-01-01')
    """
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    year, quarter, month, day, hour = (
        int(found[unit] or 0) for unit in ("year", "quarter", "month", "day", "hour")
    )
    try:
        if not day:
            start = datetime(year, month or max(3 * quarter - 2, 1), 1, tzinfo=zone)
            # Counted from 0, and the month after the last one.
            last = start.month - 1 + (1 if month else 3 if quarter else 12)
            return start, start.replace(year=year + last // 12, month=last % 12 + 1)
        start = datetime(year, month, day, hour, tzinfo=zone)
    except ValueError:
        return None
    if found["hour"]:
        # An hour, also where the clocks are changed; a day is 23 or 25 hours long there.
        return start, start.astimezone(UTC) + timedelta(hours=1)
    return start, start + timedelta(days=7 if found["week"] else 1)


def _next_tick(expression: str, zone: tzinfo, moment: datetime) -> datetime:
    import pendulum
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.interval import CronDataIntervalTimetable

    # Asked for the first interval of all from that moment on.
    timetable = CronDataIntervalTimetable(expression, timezone=pendulum.timezone(str(zone)))
    found = timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(pendulum.instance(moment), latest=None, catchup=True),
    )
    assert found is not None  # nothing restricts it
    assert found.data_interval is not None  # it is made of intervals
    start, end = found.data_interval.start, found.data_interval.end
    return start if start > moment else end


def _own(timetable: object, name: str) -> Any:
    """What a timetable was made with; the SDK's keep it in public, those of the core do not."""
    return getattr(timetable, name, getattr(timetable, f"_{name}", None))


def _zones_of_mappers(timetable: object) -> Iterator[tzinfo]:
    mappers = [
        getattr(timetable, "default_partition_mapper", None),
        *getattr(timetable, "partition_mapper_config", {}).values(),
    ]
    for mapper in mappers:
        zone = _own(getattr(mapper, "upstream_mapper", mapper), "timezone")
        if zone is not None:
            yield _zone(zone)


def _zone(zone: object) -> tzinfo:
    return zone if isinstance(zone, tzinfo) else ZoneInfo(str(zone))
