"""What a query asks for of its run's window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.placeholders import asks_for
from airflow_am_provider.sources.query_window import DATES, MOMENTS, QueryWindow

if TYPE_CHECKING:
    from datetime import date, datetime

    from airflow_am_provider.operators._window import RunWindow
    from airflow_am_provider.sources.query_window import Zone


def query_window(sql: str, parameters: object, window: RunWindow) -> QueryWindow:
    """What a query asks for of a window.

    :param sql: the query; it asks by the placeholders ``window_start`` and ``window_end``, or with
        ``_date`` after them for dates.
    :param parameters: what the user set. Given as a list, the query gets no more than that.
    :raises ConfigurationError: when the query asks for a window and the run has none, for the end
        of it that is open, or for the date of a moment that no day begins with.
    """
    if not isinstance(parameters, Mapping | list | tuple | None):
        raise ConfigurationError(
            f"parameters: a dict or a list was expected, not {type(parameters).__name__}"
        )
    if not isinstance(parameters, Mapping | None):
        return QueryWindow(zone=window.zone, values={})
    asked = {
        name: moment
        for names in (MOMENTS, DATES)
        for name, moment in zip(names, (window.start, window.end), strict=True)
        if asks_for(sql, name) and name not in (parameters or {})
    }
    missing = [name for name, moment in asked.items() if moment is None]
    if missing:
        asks = f"sql: asks for {' and '.join(missing)}, but"
        if window.start is not None or window.end is not None:
            given = "window_end" if window.start is None else "window_start"
            raise ConfigurationError(
                f"{asks} the task's parameters set {given} alone. Set both, or neither: then the "
                f"run's data interval counts"
            )
        raise ConfigurationError(
            f"{asks} {window.source}. Trigger the run with a logical date, give the DAG a schedule "
            f"with real intervals such as CronDataIntervalTimetable, set watermark_start to go on "
            f"where the last delivery ended, or set window_start and window_end"
        )
    return QueryWindow(
        zone=window.zone,
        values={
            name: _day(name, moment, window.zone) if name in DATES else moment
            for name, moment in asked.items()
            if moment is not None
        },
    )


def _day(name: str, moment: datetime, zone: Zone) -> date:
    day = zone.day_that_begins_at(moment)
    if day is None:
        local, moment_name = moment.astimezone(zone.tzinfo), name.removesuffix("_date")
        raise ConfigurationError(
            f"sql: asks for {name}, but {moment_name} is {local.isoformat()}, where no day of "
            f"{zone.name} begins: a date would move it. If the DAG's days are those of another "
            f"zone, name it in window_timezone, such as 'Europe/Berlin'; else ask for "
            f"{moment_name}, and compare it with a time"
        )
    return day
