"""What charts are told: sums of the table's rows, of the DAGs that the user may read."""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_am_provider.deliveries.target.commands import Acknowledge
from airflow_am_provider.deliveries.target.state import DeliveryState
from demo.page_deliveries import STREAMS
from tests.plugins.conftest import DAILY, ByDag, Page
from tests.staged_deliveries import send, stage

PageOf = Callable[..., Page]
RANGE = "since=2026-11-01&until=2026-11-28"
CHARTS = ("calendar", "charts/records", "charts/quality", "charts/audiences")


def rows(page: Page, query: str = RANGE, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.get(f"deliveries?limit=500&{query}", **asked)["deliveries"]
    return found


@pytest.mark.parametrize("chart", CHARTS)
def test_without_login_no_chart_is_told(page: Page, chart: str) -> None:
    page.get(chart, token=None, status=401)


def test_the_calendar_has_a_cell_for_each_day_of_each_data_source(page: Page) -> None:
    cells = page.get(f"calendar?{RANGE}")["days"]
    by_source: dict[str, dict[str, str]] = defaultdict(dict)
    for cell in cells:
        by_source[cell["data_source"]][cell["date"]] = cell["status"]
    assert sorted(by_source) == ["478", "567", "adobe_id_0_12345"]
    for row in rows(page):
        day = row["window"]["start"][:10]
        if row["data_source"] != row["target_data_source"] and day >= "2026-11-01":
            source = row["target_data_source"] or row["data_source"]
            wanted = {
                "reconciled": "delivered",
                "acknowledged": "delivered",
                "assumed": "delivered",
                "failed": "rejected",
                "abandoned": "rejected",
                "superseded": "nothing",
            }.get(row["state"], "waiting")
            assert by_source[source][day] == wanted
    assert by_source["567"]["2026-11-28"] == "nothing"


def test_of_two_environments_the_worse_one_is_shown_unless_one_is_asked_for(page: Page) -> None:
    both = {
        c["date"]: c for c in page.get(f"calendar?{RANGE}")["days"] if c["data_source"] == "478"
    }
    assert both["2026-11-10"]["count"] == 2
    beta = page.get(f"calendar?{RANGE}&environment=beta")["days"]
    assert {cell["data_source"] for cell in beta} == {"478"}
    assert all(cell["count"] <= 1 for cell in beta)


def test_records_are_the_sums_of_a_days_deliveries(page: Page) -> None:
    stored: Counter[str] = Counter()
    for row in rows(page, f"{RANGE}&data_source=567"):
        stored[row["created_at"][:10]] += row["stored"] or 0
    days = page.get(f"charts/records?{RANGE}&data_source=567")["days"]
    assert {day["date"]: day["stored"] for day in days} == {d: n for d, n in stored.items() if n}
    assert set(days[0]["failed"]) <= {"No Matching AAM ID", "No Trait Realized"}
    total = sum(day["stored"] + sum(day["failed"].values()) for day in days)
    assert total == sum(row["received"] or 0 for row in rows(page, f"{RANGE}&data_source=567"))


def test_a_backfill_counts_on_the_day_on_which_it_was_made(page_of: PageOf) -> None:
    page = page_of(0)
    for number, day in enumerate(("2026-03-01", "2026-03-02")):
        manifest = stage(
            page.targets,
            {f"ftp_dpm_478_136654571{number}.sync.gz": b"%d" % number},
            delivery_id=f"0a1b{number}",
            window=(f"{day}T00:00:00+00:00", f"{day}T23:00:00+00:00"),
            created_at="2026-11-20T01:00:00+00:00",
        )
        send(page.targets, manifest)
        page.targets.of(manifest).decide(
            Acknowledge(
                delivery_id=manifest.delivery_id,
                sending=1,
                at="2026-11-20T09:00:00+00:00",
                state=DeliveryState.RECONCILED,
                figures={"stored_records": 90, "failed_records": {"format_errors": 10}},
            )
        )
    assert page.get(f"charts/records?{RANGE}")["days"] == [
        {"date": "2026-11-20", "stored": 180, "failed": {"Format Errors": 20}}
    ]
    days = page.get("calendar?since=2026-03-01&until=2026-03-03")["days"]
    assert [(one["date"], one["status"]) for one in days] == [
        ("2026-03-01", "delivered"),
        ("2026-03-02", "delivered"),
        ("2026-03-03", "nothing"),
    ]


def test_quality_goes_by_weeks_from_monday(page: Page) -> None:
    found = page.get(f"charts/quality?{RANGE}&data_source=567")
    assert found["limits"] == {
        "min_match_rate": 0.88,
        "max_set_aside": 0.01,
        "max_hours_to_acknowledgement": 48,
    }
    known: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(page, f"{RANGE}&data_source=567"):
        day = date.fromisoformat(row["created_at"][:10])
        known[(day - timedelta(days=day.weekday())).isoformat()].append(row)
    assert [week["week"] for week in found["weeks"]] == sorted(known)
    for week in found["weeks"]:
        mine = [row for row in known[week["week"]] if row["received"]]
        if mine:
            rate = sum(row["stored"] for row in mine) / sum(row["received"] for row in mine)
            assert week["match_rate"] == pytest.approx(rate, abs=1e-6)
        share = sum(r["rows_set_aside"] for r in known[week["week"]])
        share /= sum(r["rows_read"] for r in known[week["week"]])
        assert week["set_aside_share"] == pytest.approx(share, abs=1e-6)
        # A repeated line, a user who opted out: nothing is lost with them.
        kept = sum(
            row["set_aside"].get(reason, 0)
            for row in known[week["week"]]
            for reason in ("duplicate_line", "suppressed")
        )
        lost = share - kept / sum(r["rows_read"] for r in known[week["week"]])
        assert week["lost_share"] == pytest.approx(lost, abs=1e-6)
    hours = [week["hours_to_acknowledgement"] for week in found["weeks"]]
    assert all(one is None or 4 <= one["median"] <= one["longest"] <= 40 for one in hours)
    assert any(hours)


def test_only_limits_that_deliveries_agree_on_are_drawn(page_of: PageOf) -> None:
    page = page_of(0)
    counts: dict[str, Any] = {"limits": {"no_matching_aam_id": 0.2}, "max_set_aside": 100}
    for number, timeout_s in enumerate((3600.0, 7200.0)):
        manifest = stage(
            page.targets,
            {f"ftp_dpm_478_136654571{number}.sync.gz": b"%d" % number},
            delivery_id=f"0a1b{number}",
            created_at=f"2026-11-1{number}T01:00:00+00:00",
        )
        send(page.targets, manifest)
        page.targets.of(manifest).decide(
            Acknowledge(
                delivery_id=manifest.delivery_id,
                sending=1,
                at="2026-11-20T09:00:00+00:00",
                state=DeliveryState.RECONCILED,
                figures={**counts, "timeout_s": timeout_s},
            )
        )
    assert page.get(f"charts/quality?{RANGE}")["limits"] == {
        "min_match_rate": 0.8,
        "max_set_aside": None,  # rows, and no share
        "max_hours_to_acknowledgement": None,
    }


def test_one_record_in_ten_millions_is_seen(page_of: PageOf) -> None:
    page = page_of(0)
    manifest = stage(page.targets, {"ftp_dpm_478_1366545717.sync.gz": b"1"}, lines=10_000_000)
    send(page.targets, manifest)
    page.targets.of(manifest).decide(
        Acknowledge(
            delivery_id=manifest.delivery_id,
            sending=1,
            at="2026-11-05T09:00:00+00:00",
            state=DeliveryState.ACKNOWLEDGED,
            figures={"records_received": 10_000_000, "stored_records": 9_999_999},
        )
    )
    (row,) = page.get("deliveries")["deliveries"]
    (week,) = page.get(f"charts/quality?{RANGE}")["weeks"]
    assert 0.9999998 < row["match_rate"] == week["match_rate"] < 1
    assert week["set_aside_share"] == 5 / 10_000_005


def test_audiences_are_what_was_sent_and_expire_120_days_after_it_was_said_first(
    page: Page,
) -> None:
    found = page.get(f"charts/audiences?{RANGE}")
    lines: Counter[tuple[str, str]] = Counter()
    for row in rows(page):
        if row["times_sent"]:
            source = row["target_data_source"] or row["data_source"]
            lines[row["created_at"][:10], source] += row["lines"]
    assert {(day["date"], day["data_source"]): day["lines"] for day in found["days"]} == lines
    # The first window began fifty days before.
    assert {one["date"] for one in found["expiry"]} == {"2027-02-06"}


def test_a_user_of_one_dag_gets_charts_of_it_alone(page_of: PageOf) -> None:
    page = page_of(auth_manager=ByDag())
    mine = {cell["data_source"] for cell in page.get(f"calendar?{RANGE}", token=DAILY)["days"]}
    assert mine == {"478"}
    audiences = page.get(f"charts/audiences?{RANGE}", token=DAILY)
    assert {one["data_source"] for one in audiences["days"] + audiences["expiry"]} == {"478"}
    other = page.get(f"charts/audiences?{RANGE}", token="another")
    assert other == {"days": [], "expiry": []}
    for chart in ("calendar", "charts/records"):
        assert page.get(f"{chart}?{RANGE}", token="another") == {"days": []}
    quality = page.get(f"charts/quality?{RANGE}", token="another")
    assert quality["weeks"] == []
    assert set(quality["limits"].values()) == {None}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("since=2020-01-01&until=2026-11-28", "since, until: 2,524 days; a chart has 400 at most"),
        ("since=soon", "since: 'soon' is no day, as 2026-11-28"),
    ],
)
def test_a_chart_of_years_is_refused(page: Page, query: str, sentence: str) -> None:
    for chart in CHARTS:
        assert page.get(f"{chart}?{query}", status=400) == {"detail": sentence}


def test_a_delivery_that_another_version_took_the_place_of_counts_no_more(page_of: PageOf) -> None:
    page = page_of(8, streams=STREAMS[:1])
    days = page.get("calendar?since=2026-11-20&until=2026-11-27")["days"]
    assert [day["status"] for day in days[-5:]] == ["waiting"] * 5


def test_a_task_that_makes_no_deliveries_shows_those_of_its_run(page: Page) -> None:
    row = rows(page)[0]
    run = f"dag_id={row['dag_id']}&run_id={row['run_id'].replace('+', '%2B')}"
    mine = rows(page, f"{run}&task_id=format&map_index=-1")
    assert row["delivery_id"] in [one["delivery_id"] for one in mine]
    assert rows(page, f"{run}&task_id=upload&map_index=3") == rows(page, run) == mine
