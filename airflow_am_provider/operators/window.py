"""Which stretch of time a delivery is about, and where that was learnt.

Explicit parameters come first, then the run's data interval where it is a real one: with a
plain cron string such as ``@daily`` Airflow 3 gives an interval whose start is its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.placeholders import asks_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


@dataclass(frozen=True, kw_only=True)
class Window:
    """First moment of the data, and first moment after it, as ISO 8601; None when open.

    The text is what queries get, as the user wrote it.

    :param source: where it was learnt, for the log.
    """

    start: str | None
    end: str | None
    source: str

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
) -> Window:
    """The window of a run.

    :param context: the task's context.
    :param start: what the user set, if anything.
    :param end: what the user set, if anything.
    :raises ConfigurationError: when the end does not come after the start.
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
    interval_start, interval_end = (
        context.get("data_interval_start"),
        context.get("data_interval_end"),
    )
    if interval_start is not None and interval_end is not None and interval_end > interval_start:
        return Window(
            start=interval_start.isoformat(),
            end=interval_end.isoformat(),
            source="from the run's data interval",
        )
    return Window(start=None, end=None, source="the run has no data interval")


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
            f"with real intervals such as CronDataIntervalTimetable, or set window_start and "
            f"window_end"
        )
    return {**{name: found[name] for name in asked}, **(parameters or {})}


def _given(moment: str | datetime | None) -> bool:
    return moment not in (None, "", "None")


def _iso(place: str, moment: str | datetime | None) -> str | None:
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
