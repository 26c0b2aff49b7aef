"""The index: filled with what has changed, by one worker at a time, and rebuilt from staging."""

import fcntl
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.plugins import page_mount
from airflow_am_provider.plugins.page import app, places, queries
from airflow_am_provider.plugins.page.access import Rights
from airflow_am_provider.plugins.page.index import Index
from airflow_am_provider.plugins.page.places import Place, Problem
from airflow_am_provider.plugins.page.refresher import Refresher
from tests.connections import Connect
from tests.formatting.memory_folder import memory_targets
from tests.plugins.conftest import Page
from tests.staged_deliveries import stage

PageOf = Callable[..., Page]


@contextmanager
def reads(page: Page) -> Any:
    """Counts documents that are read: of targets, and pages of history."""
    counted: Counter[str] = Counter()
    home = page.targets.home
    load = home.load

    def count(key: str) -> Any:
        counted["history" if "/history/" in key else "targets"] += 1
        return load(key)

    home.load = count
    try:
        yield counted
    finally:
        home.load = load


def test_a_look_reads_each_target_once_and_each_page_of_history_once(page_of: PageOf) -> None:
    page = page_of(1200, files=False)  # 300 of each of four targets: five pages and an open rest
    with reads(page) as first:
        page.refresher.refresh()
    assert first == {"targets": 4, "history": 20}
    with reads(page) as again:
        page.refresher.refresh()
    assert again == {"targets": 4}
    assert page.get("deliveries")["total"] == 1200


def test_a_request_reads_nothing_of_staging(page: Page) -> None:
    page.refresher.refresh()
    page.refresher.ask = lambda wait_s=0.0: None
    with reads(page) as counted:
        for route in ("deliveries", "deliveries.csv", "facets", "calendar", "charts/records",
                      "charts/quality", "charts/audiences"):  # fmt: skip
            page.get(route)
    assert counted == {}


def test_what_changes_is_seen_with_the_next_look(page_of: PageOf) -> None:
    page = page_of(0)
    manifest = stage(page.targets, {"ftp_dpm_478_1366545717.sync.gz": b"1"}, delivery_id="0a1b")
    assert page.get("deliveries")["deliveries"][0]["state"] == "staged"
    records = DeliveryRecords(page.targets)
    records.end(manifest.delivery_id, DeliveryState.ABANDONED, "the list was old")
    row = page.get("deliveries")["deliveries"][0]
    assert (row["state"], row["is_outstanding"]) == ("abandoned", False)
    records.reopen(manifest.delivery_id)
    found = page.get("deliveries")
    assert (found["total"], found["outstanding"]) == (1, 1)


def test_an_index_that_was_deleted_is_filled_again(page_of: PageOf, tmp_path: Path) -> None:
    page = page_of(300, files=False)
    before = page.get("deliveries.csv")
    other = Index(tmp_path / "another")
    refresher = Refresher(other, lambda: page.found, every_s=0)
    assert refresher.refresh()
    page.client.app.state.index = other
    page.refresher.ask = lambda wait_s=0.0: None
    assert page.get("deliveries.csv") == before


def test_a_look_that_broke_off_is_made_up_for(
    page_of: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of(1200, files=False)
    load, left = page.targets.home.load, [9]

    def breaks(key: str) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise ConfigurationError("s3://crm: access denied")
        return load(key)

    monkeypatch.setattr(page.targets.home, "load", breaks)
    found = page.get("deliveries")
    assert found["problems"] == ["Connection am: s3://crm: access denied"]
    assert found["total"] < 1200
    monkeypatch.setattr(page.targets.home, "load", load)
    assert page.get("deliveries")["total"] == 1200


def test_one_worker_at_a_time_looks(page: Page) -> None:
    handle = os.open(page.index.folder / "refresh.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert not page.refresher.refresh()
    os.close(handle)
    assert page.refresher.refresh()
    # One that another worker has filled of late is new enough.
    assert not Refresher(page.index, lambda: page.found, every_s=3600).refresh()


def expiring(page: Page) -> set[str]:
    return {one["data_source"] for one in page.get("charts/audiences")["expiry"]}


def test_a_target_that_is_gone_is_shown_no_more(page: Page) -> None:
    assert page.get("deliveries")["total"] == 200
    documents = page.targets.home.documents
    (beta,) = (key for key in documents if key.startswith("targets/beta-acme"))
    kept = documents.pop(beta)
    assert page.get("deliveries")["total"] == 150
    documents[beta] = kept
    assert page.get("deliveries")["total"] == 200
    (mobile,) = (key for key in documents if key.endswith("/adobe_id_0_12345"))
    assert "adobe_id_0_12345" in expiring(page)
    del documents[mobile]
    assert page.get("deliveries")["total"] == 150
    assert expiring(page) == {"478", "567"}


def test_a_target_that_is_damaged_does_not_hide_the_others(page_of: PageOf) -> None:
    page = page_of()
    documents = page.targets.home.documents
    damaged = min(key for key in documents if key.startswith("targets/"))
    documents[damaged] = (b"{", 7)
    found = page.get("deliveries")
    assert found["total"] == 150
    (problem,) = found["problems"]
    assert problem.startswith(f"Connection am: memory://home/{damaged}: not the state of a target")


def test_staging_that_is_empty_all_at_once_is_taken_for_a_lost_disk(page: Page) -> None:
    assert page.get("deliveries")["total"] == 200
    page.targets.home.documents.clear()
    found = page.get("deliveries")
    assert found["total"] == 200
    (problem,) = found["problems"]
    assert problem.startswith("Connection am: nothing is found in memory://home, where 4 targets")
    assert problem.endswith("What was known is shown. Is the disk mounted?")


def test_a_connection_that_is_gone_takes_its_deliveries_with_it(page: Page) -> None:
    assert page.get("deliveries")["total"] == 200
    place = page.found.pop()
    # While one cannot be read, nothing is forgotten: it may be the same place.
    page.found.append(Problem(conn_id="am", sentence="Connection am: no answer"))
    assert page.get("deliveries")["total"] == 200
    page.found.clear()
    assert page.get("deliveries")["total"] == 0
    page.found.append(place)
    assert page.get("deliveries")["total"] == 200


def test_connections_that_share_a_place_have_their_own_deliveries(page: Page) -> None:
    page.found.append(Place(conn_id="b", targets=page.targets, destination="beta/acme"))
    rows = page.get("deliveries?limit=500")["deliveries"]
    assert {(row["environment"], row["connection"]) for row in rows} == {
        ("production", "am"),
        ("beta", "b"),
    }


def test_the_thread_fills_the_index_by_itself(tmp_path: Path) -> None:
    targets = memory_targets()
    stage(targets, {"ftp_dpm_478_1366545717.sync.gz": b"1"})
    index = Index(tmp_path / "index")
    place = Place(conn_id="am", targets=targets, destination="production/acme")
    Refresher(index, lambda: [place], every_s=0.01).ask(wait_s=30)
    with index.open() as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM deliveries").fetchone()
    assert count == 1


def test_a_long_answer_may_be_read_in_several_threads(page: Page) -> None:
    page.refresher.refresh()
    everything = queries.Where(Rights(everything=True))
    with (
        page.index.open() as connection,
        closing(queries.all_rows(connection, everything)) as rows,
        ThreadPoolExecutor(1) as one,
        ThreadPoolExecutor(1) as another,
    ):
        first, second = one.submit(next, rows).result(), another.submit(next, rows).result()
    assert first["delivery_id"] != second["delivery_id"]


def test_the_index_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir(mode=0o777)
    Index(folder)
    assert folder.stat().st_mode & 0o077 == 0
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigurationError, match="is not a folder of this user's"):
        Index(tmp_path / "link")


def test_where_the_index_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(os.getuid()) in app.index_folder().name
    monkeypatch.setenv("AIRFLOW__AUDIENCE_MANAGER__PAGE_INDEX_FOLDER", "/var/lib/page")
    assert app.index_folder() == Path("/var/lib/page")


def test_connections_of_the_database_and_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch, audience_manager: Connect, tmp_path: Path
) -> None:
    from airflow.models import Connection
    from airflow.utils import session
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine("sqlite://")
    Connection.__table__.create(engine)
    with Session(engine) as database:
        database.add_all(
            [
                Connection(conn_id="stored", conn_type="audience_manager"),
                Connection(conn_id="another", conn_type="aws"),
            ]
        )
        database.flush()
        monkeypatch.setattr(session, "create_session", lambda: database)
        named = audience_manager(
            environment="beta", partner_name="acme", staging_location=str(tmp_path)
        )
        monkeypatch.setenv("AIRFLOW__AUDIENCE_MANAGER__PAGE_CONNECTIONS", f" {named}, missing,")
        assert places.connection_ids() == sorted(["stored", named, "missing"])
    place = places.place_of(named)
    assert isinstance(place, Place)
    assert place.destination == "beta/acme"
    problem = places.place_of("missing")
    assert isinstance(problem, Problem)
    assert "missing" in problem.sentence


def test_a_page_that_cannot_be_loaded_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("airflow has moved it")

    monkeypatch.setattr(page_mount, "_load", fail)
    answer = TestClient(page_mount.PageOnDemand()).get("/")
    assert answer.status_code == 503
    assert answer.text.startswith("The page could not be loaded")
    assert "moved" not in answer.text


def test_the_plugin_has_an_entry_and_a_tab_on_each_kind_of_page() -> None:
    views = page_mount.external_views()
    assert [view["destination"] for view in views] == [
        "nav",
        "dag",
        "dag_run",
        "task",
        "task_instance",
    ]
    assert len({view["url_route"] for view in views}) == 5
    assert views[0]["href"] == "/audience-manager/"
