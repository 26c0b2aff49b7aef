"""Which window a run has, whatever started it."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import airflow.sdk
import pendulum
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.operators._asked_window import query_window
from airflow_am_provider.operators._window import RunWindow, window_of
from airflow_am_provider.sources.query_window import Zone

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, tzinfo=UTC)


def partition_run(timetable: object, key: str, date: datetime | None = None) -> dict[str, Any]:
    """What a task sees of a run with a partition: the date since Airflow 3.3."""
    return {
        "dag": SimpleNamespace(timetable=timetable),
        "dag_run": SimpleNamespace(run_type="scheduled", partition_key=key),
        **({} if date is None else {"partition_key": key, "partition_date": date}),
    }


def of_airflow(name: str) -> Any:
    """Something that not every supported Airflow has."""
    found = getattr(airflow.sdk, name, None)
    return found or pytest.skip(f"{name} is not in this Airflow")


def span(window: RunWindow) -> tuple[str | None, str | None]:
    return window.of_data.texts


@pytest.mark.parametrize("knows_date", [True, False], ids=["3.3", "3.2"])
def test_a_cron_partition_ends_at_the_next_tick_of_its_zone(knows_date: bool) -> None:
    timetable = of_airflow("CronPartitionTimetable")("0 0 * * *", timezone="Europe/Berlin")
    # The clocks are put forward on this day: it has 23 hours.
    date = datetime(2026, 3, 28, 23, tzinfo=UTC) if knows_date else None
    window = window_of(partition_run(timetable, "2026-03-29T00:00:00", date), now=NOW)
    assert span(window) == ("2026-03-28T23:00:00+00:00", "2026-03-29T22:00:00+00:00")
    assert window.source == "from the run's partition 2026-03-29T00:00:00"


def test_a_cron_partition_whose_key_has_a_format_of_its_own() -> None:
    timetable = of_airflow("CronPartitionTimetable")(
        "0 0 1 * *", timezone="UTC", key_format="%b %Y"
    )
    window = window_of(partition_run(timetable, "Feb 2026"), now=NOW)
    assert span(window) == ("2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("mapper", "event", "start", "end"),
    [
        ("StartOfHourMapper", "2026-03-01T10:20:30", "2026-03-01T09:00", "2026-03-01T10:00"),
        ("StartOfDayMapper", "2026-03-29T10:20:30", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("StartOfWeekMapper", "2026-03-05T10:20:30", "2026-03-01T23:00", "2026-03-08T23:00"),
        ("StartOfMonthMapper", "2025-12-05T10:20:30", "2025-11-30T23:00", "2025-12-31T23:00"),
        ("StartOfQuarterMapper", "2025-12-05T10:20:30", "2025-09-30T22:00", "2025-12-31T23:00"),
        ("StartOfYearMapper", "2025-12-05T10:20:30", "2024-12-31T23:00", "2025-12-31T23:00"),
    ],
)
def test_a_mapped_partition_is_as_long_as_its_key_says(
    mapper: str, event: str, start: str, end: str
) -> None:
    temporal = pytest.importorskip("airflow.partition_mappers.temporal")
    # The scheduler makes the key, in the same zone.
    scheduled = getattr(temporal, mapper)(timezone="Europe/Berlin")
    key = scheduled.to_downstream(event)
    in_dag_file = of_airflow(mapper)
    # Those of Airflow 3.2's SDK know no zone; a DAG file may use the scheduler's own.
    knows_zone = "timezone" in inspect.signature(in_dag_file).parameters
    timetable = of_airflow("PartitionedAssetTimetable")(
        assets=airflow.sdk.Asset("crm"),
        default_partition_mapper=(
            in_dag_file(timezone="Europe/Berlin") if knows_zone else scheduled
        ),
    )
    for begins in (None, datetime.fromisoformat(f"{start}+00:00")):
        window = window_of(partition_run(timetable, key, begins), now=NOW)
        assert span(window) == (f"{start}:00+00:00", f"{end}:00+00:00"), key


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(partition_run(None, "eu-west"), id="not a time"),
        pytest.param(partition_run(None, "2026-03-01T00:00:00"), id="a moment"),
        pytest.param(partition_run(None, "2026-02-30"), id="no such day"),
        pytest.param(
            partition_run(None, "2026-03-01", datetime(2026, 2, 28, 23, tzinfo=UTC)),
            id="a day of a zone that nobody names",
        ),
    ],
)
def test_a_partition_that_does_not_say_how_long_it_is_is_no_window(context: Any) -> None:
    window = window_of(context, now=NOW)
    key = context["dag_run"].partition_key
    assert span(window) == (None, None)
    assert window.source == f"the run's partition {key!r} does not say from when to when"


def test_a_partition_that_is_not_over_yet_is_refused() -> None:
    timetable = of_airflow("CronPartitionTimetable")("0 0 * * *", timezone="UTC")
    with pytest.raises(ConfigurationError) as caught:
        window_of(partition_run(timetable, "2026-11-25T00:00:00"), now=NOW)
    assert str(caught.value) == (
        "window_start, window_end: the run's partition '2026-11-25T00:00:00' ends at "
        "2026-11-26T00:00:00+00:00, and it is 2026-11-25T12:00:00+00:00: rows are still to come. "
        "Let the DAG run when it is over, as CronPartitionTimetable does with run_offset=-1, or "
        "set both"
    )


def test_parameters_go_before_the_partition_and_the_partition_before_the_interval() -> None:
    context = {
        **partition_run(None, "2026-03-05"),
        "data_interval_start": DAY,
        "data_interval_end": NEXT_DAY,
    }
    given = window_of(context, "2026-01-01", "2026-01-02")
    assert span(given) == ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    assert str(given) == (
        "2026-01-01T00:00:00+00:00 to 2026-01-02T00:00:00+00:00 (from the task's parameters)"
    )
    window = window_of(context, now=NOW)
    assert span(window) == ("2026-03-05T00:00:00+00:00", "2026-03-06T00:00:00+00:00")


@pytest.mark.parametrize(
    "interval", [{}, {"data_interval_start": DAY, "data_interval_end": DAY}], ids=["none", "empty"]
)
def test_a_backfill_without_real_intervals_is_an_error(interval: dict[str, datetime]) -> None:
    # A run that a backfill does again keeps the ID that the scheduler gave it.
    context = {
        "dag_run": SimpleNamespace(run_type=airflow_run_type("backfill")),
        "run_id": "scheduled__2026-03-01T00:00:00+00:00",
        **interval,
    }
    with pytest.raises(ConfigurationError) as caught:
        window_of(context)
    assert str(caught.value) == (
        "window_start, window_end: a backfill needs a window for each of its runs, but the run has "
        "no data interval. Give the DAG a schedule with real intervals such as "
        "CronDataIntervalTimetable, or set both, such as window_start='{{ ds }}'"
    )


def test_a_backfill_takes_its_interval_its_partition_or_what_is_set() -> None:
    run = SimpleNamespace(run_type=airflow_run_type("backfill"), partition_key=None)
    interval = {"dag_run": run, "data_interval_start": DAY, "data_interval_end": NEXT_DAY}
    assert span(window_of(interval)) == ("2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00")
    assert span(window_of({"dag_run": run}, "2026-01-01", "2026-01-02")) == (
        "2026-01-01T00:00:00+00:00",
        "2026-01-02T00:00:00+00:00",
    )
    run.partition_key = "2026-03"
    assert window_of({"dag_run": run}, now=NOW).end == datetime(2026, 4, 1, tzinfo=UTC)


def test_text_without_a_zone_is_of_the_zone_that_is_named() -> None:
    berlin = Zone.parse("window_timezone", "Europe/Berlin")
    window = window_of({}, "2026-03-29", "2026-03-29T22:00:00Z", zone=berlin)
    assert span(window) == ("2026-03-28T23:00:00+00:00", "2026-03-29T22:00:00+00:00")
    assert str(window) == (
        "2026-03-29T00:00:00+01:00 to 2026-03-30T00:00:00+02:00 in Europe/Berlin "
        "(from the task's parameters)"
    )
    asked = query_window("%(window_start_date)s %(window_end_date)s", None, window)
    assert asked.values == {
        "window_start_date": date(2026, 3, 29),
        "window_end_date": date(2026, 3, 30),
    }


def test_a_day_begins_later_where_clocks_are_put_forward_over_midnight() -> None:
    santiago = Zone.parse("window_timezone", "America/Santiago")
    window = window_of({}, "2026-09-06T04:00Z", "2026-09-07T03:00Z", zone=santiago)
    asked = query_window(":window_start_date :window_end_date", None, window)
    assert [str(day) for day in asked.values.values()] == ["2026-09-06", "2026-09-07"]
    assert asked.added_to("", None, "sqlite3") == {
        "window_start_date": "2026-09-06",
        "window_end_date": "2026-09-07",
    }


def test_an_interval_of_another_zone_is_made_of_no_days_and_says_what_to_do() -> None:
    # Berlin's day, as a DAG with that timetable has it.
    interval = {
        "data_interval_start": pendulum.datetime(2026, 3, 28, 23),
        "data_interval_end": pendulum.datetime(2026, 3, 29, 22),
    }
    with pytest.raises(ConfigurationError) as caught:
        query_window("%(window_start_date)s", None, window_of(interval))
    assert str(caught.value) == (
        "sql: asks for window_start_date, but window_start is 2026-03-28T23:00:00+00:00, where no "
        "day of UTC begins: a date would move it. If the DAG's days are those of another zone, "
        "name it in window_timezone, such as 'Europe/Berlin'; else ask for window_start, and "
        "compare it with a time"
    )
    berlin = Zone.parse("window_timezone", "Europe/Berlin")
    asked = query_window("%(window_start_date)s", None, window_of(interval, zone=berlin))
    assert asked.values == {"window_start_date": date(2026, 3, 29)}


def test_drivers_get_plain_datetimes_and_those_without_zones_the_clock_time() -> None:
    interval = {
        "data_interval_start": pendulum.datetime(2026, 3, 1, 10),
        "data_interval_end": pendulum.datetime(2026, 3, 2, microsecond=5),
    }
    sql = "at >= datetime(:window_start) AND at < datetime(:window_end)"
    tokyo = Zone.parse("window_timezone", "Asia/Tokyo")
    asked = query_window(sql, None, window_of(interval, zone=tokyo))
    bound: Any = asked.added_to(sql, None, "some_driver")
    assert {type(value) for value in bound.values()} == {datetime}
    assert bound["window_start"].isoformat() == "2026-03-01T19:00:00+09:00"
    for driver in ("sqlite3", "pymysql", "MySQLdb", "mysql"):
        assert asked.added_to(sql, None, driver) == {
            "window_start": "2026-03-01 19:00:00",
            "window_end": "2026-03-02 09:00:00.000005",
        }


def test_what_the_user_sets_as_a_parameter_stays() -> None:
    sql = "%(window_start)s %(window_end)s %(country)s"
    own = {"window_start": "yesterday", "country": "de"}
    asked = query_window(sql, own, window_of({}, None, "2026-03-02"))
    assert asked.added_to(sql, own, "psycopg") == {**own, "window_end": NEXT_DAY}
    assert query_window(sql, ["a"], window_of({})).added_to(sql, ["a"], "psycopg") == ["a"]


@pytest.mark.parametrize("zone", ["Berlin", "+02:00", "../etc/passwd", "UTC'; DROP TABLE t --", 7])
def test_a_zone_that_is_none_is_refused(zone: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Zone.parse("window_timezone", zone)
    assert str(caught.value) == (
        f"window_timezone: {zone!r} is not a time zone of IANA's database, such as 'UTC' or "
        f"'Europe/Berlin'"
    )


def test_a_moment_that_no_calendar_has_in_utc_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^window_start: 0001-01-01"):
        window_of({}, "0001-01-01T00:00:00+05:00")


def airflow_run_type(name: str) -> object:
    """As a task gets it."""
    from airflow.sdk.api.datamodels._generated import DagRunType

    return DagRunType(name)
