"""The page's answers: who sees what, in which order, by which filters."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.plugins.page.places import Problem
from demo.page_deliveries import STREAMS
from tests.plugins.conftest import DAILY, ByDag, Page

PageOf = Callable[..., Page]
ROUTES = ("deliveries", "deliveries.csv", "deliveries/0a1b", "facets", "outbound")


@pytest.mark.parametrize("route", ROUTES)
def test_without_login_nothing_is_told(page: Page, route: str) -> None:
    assert page.get(route, token=None, status=401) == {"detail": "Not authenticated"}
    assert page.get(route, token="nobody", status=403) == {"detail": "Invalid JWT token"}


def test_every_route_of_the_app_asks_who_it_is(page: Page) -> None:
    router = page.client.app.routes
    paths = [route.path for route in router if getattr(route, "dependant", None)]
    assert {f"/api/{route}".replace("0a1b", "{delivery_id}") for route in ROUTES} <= set(paths)
    for path in paths:
        answer = page.client.get(path.replace("{delivery_id}", "0a1b"))
        assert answer.status_code == 401, path


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_whoever_may_read_all_dags_sees_all_deliveries(page: Page, role: str) -> None:
    assert page.get("deliveries", token=role)["total"] == 200


def test_a_cookie_is_enough_as_a_frame_sends_no_header(page: Page) -> None:
    page.client.cookies.set("_token", "viewer")
    assert page.get("deliveries", token=None)["total"] == 200


def test_a_user_of_one_dag_sees_its_deliveries_alone(page_of: PageOf) -> None:
    page = page_of(auth_manager=ByDag())
    found = page.get("deliveries?limit=500", token=DAILY)
    assert found["total"] == len(found["deliveries"]) == 50
    assert {one["dag_id"] for one in found["deliveries"]} == {DAILY}
    assert page.get("facets", token=DAILY)["dags"] == [DAILY]
    assert page.get("facets", token=DAILY)["data_sources"] == ["478"]
    rows = list(csv.DictReader(io.StringIO(page.get("deliveries.csv", token=DAILY))))
    assert {row["dag_id"] for row in rows} == {DAILY}
    assert page.get("deliveries?dag_id=audience_manager_mobile", token=DAILY)["total"] == 0
    assert page.get("deliveries", token="another")["total"] == 0


def test_one_delivery_of_another_dag_is_as_if_it_was_not_there(page_of: PageOf) -> None:
    page = page_of(auth_manager=ByDag())
    mine = page.get("deliveries?limit=1", token=DAILY)["deliveries"][0]["delivery_id"]
    assert page.get(f"deliveries/{mine}", token=DAILY)["delivery_id"] == mine
    hidden = page.get(f"deliveries/{mine}", token="another", status=404)
    assert hidden == page.get("deliveries/0123456789abcdef0123", token="another", status=404)


def test_outstanding_ones_come_first_then_the_newest(page: Page) -> None:
    found = page.get("deliveries?limit=200")["deliveries"]
    order = [(not one["is_outstanding"], one["created_at"]) for one in found]
    outstanding = [created for is_done, created in order if not is_done]
    done = [created for is_done, created in order if is_done]
    assert outstanding == sorted(outstanding, reverse=True)
    assert done == sorted(done, reverse=True)
    assert [is_done for is_done, _ in order] == [False] * 20 + [True] * 180
    assert page.get("deliveries")["outstanding"] == 20


def test_pages_hold_every_delivery_once(page: Page) -> None:
    seen: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        found = page.get(f"deliveries?limit=7&cursor={cursor}")
        seen += [one["delivery_id"] for one in found["deliveries"]]
        cursor, pages = found["next_cursor"], pages + 1
    assert pages == 29
    assert len(seen) == len(set(seen)) == 200
    assert seen == [one["delivery_id"] for one in page.get("deliveries?limit=500")["deliveries"]]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("state=failed", lambda one: one["state"] == "failed"),
        ("state=failed,sent", lambda one: one["state"] in ("failed", "sent")),
        ("state=outstanding", lambda one: one["is_outstanding"]),
        ("data_source=567", lambda one: one["target_data_source"] == "567"),
        ("environment=beta", lambda one: one["environment"] == "beta"),
        (
            "since=2026-11-20&until=2026-11-22",
            lambda one: "2026-11-20" <= one["created_at"] < "2026-11-23",
        ),
        ("day=2026-11-21", lambda one: one["window"]["start"].startswith("2026-11-21")),
        ("dag_id=audience_manager_mobile", lambda one: one["kind"] == "id_sync"),
        ("backfill=true", lambda one: one["is_backfill"]),
        ("backfill=false", lambda one: not one["is_backfill"]),
        ("q=consent list", lambda one: "consent list" in (one["reason"] or "")),
        ("task_id=format&map_index=-1", lambda one: one["task_id"] == "format"),
        ("map_index={MAP_INDEX}&dag_id=" + DAILY, lambda one: one["dag_id"] == DAILY),
    ],
)
def test_filters(page: Page, query: str, holds: Callable[[Any], bool]) -> None:
    everything = page.get("deliveries?limit=500")["deliveries"]
    found = page.get(f"deliveries?limit=500&{query}")
    wanted = [one["delivery_id"] for one in everything if holds(one)]
    assert [one["delivery_id"] for one in found["deliveries"]] == wanted
    assert found["total"] == len(wanted) > 0


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state=lost", "state: 'lost' is none of staged, "),
        ("since=yesterday", "since: 'yesterday' is no day, as 2026-11-28"),
        ("cursor=abc", "cursor: 'abc' is none that this page gave; begin without one"),
    ],
)
def test_a_wrong_filter_is_told_so(page: Page, query: str, sentence: str) -> None:
    assert page.get(f"deliveries?{query}", status=400)["detail"].startswith(sentence)


def test_percent_and_underscore_are_looked_for_as_they_are(page: Page) -> None:
    assert page.get("deliveries?q=audience_manager_daily")["total"] == 50
    assert page.get("deliveries?q=Audience_Manager_DAILY")["total"] == 50
    assert page.get("deliveries?q=audience-manager-daily")["total"] == 0
    assert (
        page.get("deliveries?q=25.11 %25")["total"] == page.get("deliveries?state=failed")["total"]
    )


def test_a_row_says_what_was_counted_and_leads_to_airflow(page: Page) -> None:
    row = page.get("deliveries?state=reconciled&dag_id=" + DAILY)["deliveries"][0]
    assert row["rows_read"] == row["rows_written"] + row["rows_set_aside"]
    assert sum(row["set_aside"].values()) == row["rows_set_aside"]
    assert row["match_rate"] == row["stored"] / row["received"]
    assert row["connection"] == "am"
    assert row["state_words"] == "Acknowledged, every line arrived and was counted"
    run = row["run_id"].replace(":", "%3A").replace("+", "%2B")
    assert row["run_url"] == f"/dags/{DAILY}/runs/{run}"
    assert row["task_url"] == f"/dags/{DAILY}/runs/{run}/tasks/format"


def test_csv_holds_all_rows_of_the_filter(page: Page) -> None:
    rows = list(csv.DictReader(io.StringIO(page.get("deliveries.csv?state=outstanding"))))
    shown = page.get("deliveries?state=outstanding")["deliveries"]
    assert [row["delivery_id"] for row in rows] == [one["delivery_id"] for one in shown]
    assert rows[0]["state_words"] == shown[0]["state_words"]


def test_csv_has_no_formulas(page_of: PageOf) -> None:
    streams = (type(STREAMS[0])(**{**vars(STREAMS[0]), "dag_id": "=HYPERLINK(1)"}),)
    page = page_of(3, streams=streams)
    rows = list(csv.DictReader(io.StringIO(page.get("deliveries.csv"))))
    assert {row["dag_id"] for row in rows} == {"'=HYPERLINK(1)"}


def test_nothing_was_delivered_yet(page_of: PageOf) -> None:
    found = page_of(0).get("deliveries")
    assert found["indexed_at"] is not None
    del found["indexed_at"]
    assert found.pop("failed_runs_url") == "/dag_runs?state=failed"
    assert found == {
        "deliveries": [],
        "next_cursor": None,
        "total": 0,
        "outstanding": 0,
        "needs_attention": 0,
        "problems": [],
    }


def test_staging_out_of_reach_is_a_sentence_and_what_was_known_stays(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.get("deliveries")["problems"] == []

    def fail(prefix: str) -> None:
        raise TransientError("s3://crm/staging/targets: cannot be listed: no answer")

    monkeypatch.setattr(page.targets.home, "keys", fail)
    found = page.get("deliveries")
    assert found["total"] == 200
    assert found["problems"] == [
        "Connection am: s3://crm/staging/targets: cannot be listed: no answer"
    ]


def test_what_drivers_say_is_kept_for_the_log(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(prefix: str) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(page.targets.home, "keys", fail)
    (problem,) = page.get("deliveries")["problems"]
    assert problem.startswith("Connection am: its deliveries cannot be read (RuntimeError)")
    assert "hunter2" not in problem


def test_a_user_of_one_dag_is_not_told_of_connections(page_of: PageOf) -> None:
    page = page_of(auth_manager=ByDag())
    page.found.append(Problem(conn_id="secret", sentence="Connection secret: s3://hidden"))
    (problem,) = page.get("deliveries", token=DAILY)["problems"]
    assert "secret" not in problem
    assert "hidden" not in problem


def test_files_need_no_login_and_load_nothing_from_elsewhere(page: Page) -> None:
    answer = page.client.get("/")
    assert answer.status_code == 200
    assert "Audience Manager" in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert page.client.get("/icon.svg").status_code == 200
    assert page.client.get("/../app.py").status_code == 404
