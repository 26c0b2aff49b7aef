"""Which stretch of time a delivery is about, and where that was learnt.

Explicit parameters come first, then the run's partition, then its data interval where it is a
real one: with a plain cron string such as ``@daily`` Airflow 3 gives an interval whose start is
its end. Last comes the watermark, where the task keeps one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.window import Window
from airflow_am_provider.hooks.origin import run_type
from airflow_am_provider.operators._partition_window import partition_key, partition_window
from airflow_am_provider.parameters import is_given
from airflow_am_provider.sources.query_window import IN_UTC, Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo
    from typing import Any

BACKFILL: Final = "backfill"


@dataclass(frozen=True, kw_only=True)
class RunWindow:
    """First moment of the data, and first moment after it, each with a zone; None when open.

    :param zone: of its days.
    :param source: where it was learnt, for the log.
    :param watermark: the folder in staging where it is noted what became of it, if it is to be.
    """

    start: datetime | None
    end: datetime | None
    source: str
    zone: Zone = IN_UTC
    watermark: str | None = None

    @property
    def of_data(self) -> Window:
        """From when to when, in UTC: what a delivery is known by."""
        return Window(start=self.start, end=self.end)

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return f"none ({self.source})"
        start, end = (_text(moment, self.zone.tzinfo) or "…" for moment in (self.start, self.end))
        zone = "" if self.zone.is_utc else f" in {self.zone.name}"
        return f"{start} to {end}{zone} ({self.source})"


def window_of(
    context: Mapping[str, Any],
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    zone: Zone = IN_UTC,
    watermark: Callable[[], RunWindow | None] | None = None,
    now: datetime | None = None,
) -> RunWindow:
    """The window of a run.

    :param context: the task's context.
    :param start: what the user set, if anything.
    :param end: what the user set, if anything.
    :param zone: of its days, and of what the user set without a zone.
    :param watermark: gives the window that is left when the run has none of its own.
    :param now: the time; by default it is taken from the clock.
    :raises ConfigurationError: when the end does not come after the start; when the run's
        partition is not over yet; in a backfill whose runs have no window of their own.
    """
    found = _window_of(context, start, end, zone, watermark, now)
    return replace(found, start=_plain(found.start), end=_plain(found.end), zone=zone)


def _window_of(
    context: Mapping[str, Any],
    start: str | datetime | None,
    end: str | datetime | None,
    zone: Zone,
    watermark: Callable[[], RunWindow | None] | None,
    now: datetime | None,
) -> RunWindow:
    if is_given(start) or is_given(end):
        window = RunWindow(
            start=_moment("window_start", start, zone),
            end=_moment("window_end", end, zone),
            source="from the task's parameters",
        )
        if window.start and window.end and window.end <= window.start:
            raise ConfigurationError(f"window_end: {end} does not come after window_start {start}")
        return window
    # A run triggered without a date has no interval at all: the keys are absent.
    interval = context.get("data_interval_start"), context.get("data_interval_end")
    key, source = partition_key(context), "the run has no data interval"
    if key is not None:
        if (of_partition := _of_partition(context, key, now or datetime.now(UTC))) is not None:
            return of_partition
        source = f"the run's partition {key!r} does not say from when to when"
    elif interval[0] is not None and interval[1] is not None and interval[1] > interval[0]:
        return RunWindow(
            start=interval[0],
            end=interval[1],
            source="from the run's data interval",
        )
    if watermark is not None and (left := watermark()) is not None:
        return left
    if run_type(context) == BACKFILL:
        # Each run would get the same rows, or a stretch of time that nobody chose; and nothing
        # would tell which of their deliveries is older.
        raise ConfigurationError(
            f"window_start, window_end: a backfill needs a window for each of its runs, but "
            f"{source}. Give the DAG a schedule with real intervals such as "
            f"CronDataIntervalTimetable, or set both, such as window_start='{{{{ ds }}}}'"
        )
    return RunWindow(start=None, end=None, source=source)


def moment_of(parameter: str, value: object, zone: Zone = IN_UTC) -> datetime:
    """A moment in UTC.

    :param parameter: the parameter's name, for the message.
    :param zone: of text without a zone.
    :raises ConfigurationError: when it is none.
    """
    moment = _moment(parameter, value, zone)
    if moment is None:
        raise ConfigurationError(f"{parameter}: missing; a date and time in ISO 8601 is expected")
    return moment.astimezone(UTC)


def _of_partition(context: Mapping[str, Any], key: str, now: datetime) -> RunWindow | None:
    found = partition_window(context)
    if found is None:
        return None
    start, end = (moment.astimezone(UTC) for moment in found)
    if end > now:
        # Its later rows would be in no delivery: the next run is about the next partition.
        raise ConfigurationError(
            f"window_start, window_end: the run's partition {key!r} ends at {end.isoformat()}, and "
            f"it is {now.isoformat(timespec='seconds')}: rows are still to come. Let the DAG run "
            f"when it is over, as CronPartitionTimetable does with run_offset=-1, or set both"
        )
    return RunWindow(start=start, end=end, source=f"from the run's partition {key}")


def _moment(parameter: str, value: object, zone: Zone) -> datetime | None:
    if not is_given(value):
        return None
    if not isinstance(value, datetime):
        text = str(value).strip()
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigurationError(
                f"{parameter}: {text!r} is not a date and time in ISO 8601"
            ) from None
    moment = value if value.tzinfo is not None else value.replace(tzinfo=zone.tzinfo)
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(
            f"{parameter}: {value} is before or after all years there are"
        ) from None
    return moment


def _plain(moment: datetime | None) -> datetime | None:
    # Airflow's are pendulum's, which not every driver takes for a datetime.
    return None if moment is None else datetime.fromisoformat(moment.isoformat()).astimezone(UTC)


def _text(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat()
