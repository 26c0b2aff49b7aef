"""Which stretch of time a delivery is about, and where that was learnt.

Explicit parameters come first, then the run's partition, then its data interval where it is a
real one: with a plain cron string such as ``@daily`` Airflow 3 gives an interval whose start is
its end. Last comes the watermark, where the task keeps one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.placeholders import asks_for
from airflow_am_provider.operators.partition_window import partition_key, partition_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

BACKFILL: Final = "backfill"


@dataclass(frozen=True, kw_only=True)
class Window:
    """First moment of the data, and first moment after it, as ISO 8601; None when open.

    The text is what queries get, as the user wrote it.

    :param source: where it was learnt, for the log.
    :param watermark: the folder in staging where it is noted what became of it, if it is to be.
    """

    start: str | None
    end: str | None
    source: str
    watermark: str | None = None

    @property
    def in_utc(self) -> tuple[str | None, str | None]:
        """Start and end, one text for one moment: what a delivery is known by.

        >>> Window(start="2026-03-01", end="2026-03-02T01:00:00+01:00", source="").in_utc
        ('2026-03-01T00:00:00+00:00', '2026-03-02T00:00:00+00:00')
        """
        return _utc(self.start), _utc(self.end)

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return f"none ({self.source})"
        return f"{self.start or '…'} to {self.end or '…'} ({self.source})"


def window_of(
    context: Mapping[str, Any],
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    watermark: Callable[[], Window | None] | None = None,
    now: datetime | None = None,
) -> Window:
    """The window of a run.

    :param context: the task's context.
    :param start: what the user set, if anything.
    :param end: what the user set, if anything.
    :param watermark: gives the window that is left when the run has none of its own.
    :param now: the time; by default it is taken from the clock.
    :raises ConfigurationError: when the end does not come after the start; when the run's
        partition is not over yet; in a backfill whose runs have no window of their own.
    """
    if _given(start) or _given(end):
        window = Window(start=_iso("window_start", start), end=_iso("window_end", end),
                        source="from the task's parameters")  # fmt: skip
        if window.start and window.end and _moment(window.end) <= _moment(window.start):
            raise ConfigurationError(
                f"window_end: {window.end} does not come after window_start {window.start}"
            )
        return window
    # A run triggered without a date has no interval at all: the keys are absent.
    interval = context.get("data_interval_start"), context.get("data_interval_end")
    key, source = partition_key(context), "the run has no data interval"
    if key is not None:
        if (of_partition := _of_partition(context, key, now or datetime.now(UTC))) is not None:
            return of_partition
        source = f"the run's partition {key!r} does not say from when to when"
    elif interval[0] is not None and interval[1] is not None and interval[1] > interval[0]:
        return Window(
            start=interval[0].isoformat(),
            end=interval[1].isoformat(),
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
    return Window(start=None, end=None, source=source)


def run_type(context: Mapping[str, Any]) -> str:
    """``scheduled``, ``manual``, ``backfill`` …

    A run's ID does not tell: one that a backfill does again keeps its own.
    """
    found = getattr(context.get("dag_run"), "run_type", None)
    return str(getattr(found, "value", found))


def moment_of(place: str, value: object) -> datetime:
    """A moment in UTC; text without a zone is UTC.

    :raises ConfigurationError: when it is none.
    """
    text = _iso(place, value)
    if text is None:
        raise ConfigurationError(f"{place}: missing; a date and time in ISO 8601 is expected")
    return _moment(text).astimezone(UTC)


def _of_partition(context: Mapping[str, Any], key: str, now: datetime) -> Window | None:
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
    return Window(
        start=start.isoformat(), end=end.isoformat(), source=f"from the run's partition {key}"
    )


def with_window(
    sql: str, parameters: Mapping[str, Any] | Iterable[Any] | None, window: Window
) -> Mapping[str, Any] | Iterable[Any] | None:
    """The query's parameters, with the window's where the query asks for them.

    :param sql: the query; it asks by the placeholders ``window_start`` and ``window_end``.
    :param parameters: what the user set. Given as a list, they are left alone.
    :raises ConfigurationError: when the query asks for a window and the run has none, or for the
        end of it that is open.
    """
    if not isinstance(parameters, Mapping | list | tuple | None):
        raise ConfigurationError(
            f"parameters: a dict or a list was expected, not {type(parameters).__name__}"
        )
    asked = [name for name in ("window_start", "window_end") if asks_for(sql, name)]
    if not asked or not isinstance(parameters, Mapping | None):
        return parameters
    found: dict[str, Any] = {"window_start": window.start, "window_end": window.end}
    missing = [name for name in asked if found[name] is None and name not in (parameters or {})]
    if missing:
        asks = f"sql: asks for {' and '.join(missing)}, but"
        if window.start is not None or window.end is not None:
            (other,) = {"window_start", "window_end"}.difference(missing)
            raise ConfigurationError(
                f"{asks} the task's parameters set {other} alone. Set both, or neither: then the "
                f"run's data interval counts"
            )
        raise ConfigurationError(
            f"{asks} {window.source}. Trigger the run with a logical date, give the DAG a schedule "
            f"with real intervals such as CronDataIntervalTimetable, set watermark_start to go on "
            f"where the last delivery ended, or set window_start and window_end"
        )
    return {**{name: found[name] for name in asked}, **(parameters or {})}


def _given(moment: object) -> bool:
    return moment not in (None, "", "None")


def _iso(place: str, moment: object) -> str | None:
    if not _given(moment):
        return None
    if isinstance(moment, datetime):
        return moment.isoformat()
    text = str(moment).strip()
    try:
        _moment(text)
    except ValueError:
        raise ConfigurationError(f"{place}: {text!r} is not a date and time in ISO 8601") from None
    return text


def _utc(text: str | None) -> str | None:
    return None if text is None else _moment(text).astimezone(UTC).isoformat()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
