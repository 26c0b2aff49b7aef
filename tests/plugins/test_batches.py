"""Batches that Audience Manager sends: what tasks note of them, and what the page makes of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_am_provider.airflow_compat import AirflowSensorTimeout, AirflowSkipException
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.outbound.notes import TaskNotes
from airflow_am_provider.plugins.page.batches import merged
from airflow_am_provider.plugins.page.places import Place
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from airflow_am_provider.triggers.outbound import OutboundFilesTrigger
from tests.connections import Connect
from tests.operators.test_outbound import ROOT, control
from tests.plugins.conftest import ByDag, Page

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")
PageOf = Callable[..., Page]
DAG = "segments"
NOW = datetime(2026, 1, 22, tzinfo=UTC)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """One of two files of a batch of 21 January 2026 has come."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}-1.sync": 8, f"{ROOT}-2.sync": 4}))
    (folder / f"{ROOT}-1.sync").write_bytes(b"A 1\nB x\n")
    return folder


@pytest.fixture
def conn_id(audience_manager: Connect, tmp_path: Path) -> str:
    return audience_manager(
        environment="beta", partner_name="acme", staging_location=str(tmp_path / "staging")
    )


@pytest.fixture
def page(page_of: PageOf, conn_id: str) -> Page:
    """A page that sees this staging location, for a user of one DAG."""
    page = page_of(0, auth_manager=ByDag())
    targets = AudienceManagerHook(conn_id).targets()
    page.found[:] = [Place(conn_id=conn_id, targets=targets, destination="beta/acme")]
    return page


def run(name: str = "one") -> Any:
    dag_run = SimpleNamespace(dag_id=DAG, run_type="manual", run_after=NOW)
    return {"dag_run": dag_run, "run_id": name, "ti": SimpleNamespace(map_index=-1)}


def sensor(inbox: Path, conn_id: str, **more: Any) -> OutboundFilesSensor:
    given = {"poke_interval": 0.01, "timeout": 0.02, "batch_date": "2026-01-21", **more}
    return OutboundFilesSensor(
        task_id="arrived", location=str(inbox), audience_manager_conn_id=conn_id, **given
    )


def load(inbox: Path, conn_id: str) -> OutboundLoadOperator:
    return OutboundLoadOperator(
        task_id="load",
        location=str(inbox),
        into=str(inbox.parent / "loaded"),
        max_set_aside=0.5,
        audience_manager_conn_id=conn_id,
    )


def shown(page: Page, query: str = "", *, token: str = DAG) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.get(f"outbound{query}", token=token)["batches"]
    return found


def test_a_batch_is_missing_then_arrived_then_loaded(page: Page, inbox: Path, conn_id: str) -> None:
    with pytest.raises(AirflowSensorTimeout):
        sensor(inbox, conn_id).execute(run())
    (missing,) = shown(page)
    assert (missing["state"], missing["batch"], missing["day"]) == ("missing", ROOT, "2026-01-21")
    assert missing["lacks"] == f"{ROOT}-2.sync has not come"
    assert (missing["destination"], missing["series"]) == ("1234", "1234_20914")

    (inbox / f"{ROOT}-2.sync").write_bytes(b"C 1\n")
    sensor(inbox, conn_id).execute(run())
    (arrived,) = shown(page)
    assert (arrived["state"], arrived["lacks"]) == ("arrived", None)
    assert (arrived["files"], arrived["bytes"], arrived["rows_loaded"]) == (2, 12, None)
    assert arrived["task_url"] == f"/dags/{DAG}/runs/one/tasks/arrived"

    load(inbox, conn_id).execute(run())
    (loaded,) = shown(page)
    assert loaded["state"] == "loaded"
    assert (loaded["lines_read"], loaded["rows_loaded"], loaded["lines_set_aside"]) == (3, 2, 1)
    assert sum(loaded["set_aside"].values()) == 1
    assert loaded["task_id"] == "load"
    # Whoever sees it again, or finds it loaded, changes nothing of that.
    sensor(inbox, conn_id).execute(run("two"))
    with pytest.raises(AirflowSkipException):
        load(inbox, conn_id).execute(run("two"))
    with pytest.raises(AirflowSkipException):
        load(inbox, conn_id).execute(run())
    assert shown(page) == [loaded]

    (inbox / f"{ROOT}-2.sync").write_bytes(b"D 1\n")
    sensor(inbox, conn_id).execute(run("three"))
    assert [one["state"] for one in shown(page)] == ["arrived"], "sent again, with other content"


def test_days_without_a_batch_are_missing(page: Page, inbox: Path, conn_id: str) -> None:
    older = ROOT.replace("1768953600000", "1768780800000")  # two days before
    (inbox / f"{older}.info").write_bytes(control(**{f"{older}.sync": 4}))
    (inbox / f"{older}.sync").write_bytes(b"A 1\n")
    sensor(inbox, conn_id, batch_date="2026-01-19").execute(run())
    with pytest.raises(AirflowSensorTimeout):
        sensor(inbox, conn_id, batch_date="2026-01-22", destination=1234).execute(run("two"))
    rows = [(one["state"], one["day"], one["batch"], one["series"]) for one in shown(page)]
    assert rows == [
        ("missing", "2026-01-22", None, "1234"),
        ("missing", "2026-01-20", None, "1234_20914"),
        ("arrived", "2026-01-19", older, "1234_20914"),
    ]
    assert [one["day"] for one in shown(page, "?state=arrived")] == ["2026-01-19"]
    assert page.get("outbound?state=lost", token=DAG, status=400)["detail"] == (
        "state: 'lost' is none of missing, arrived, loaded"
    )


def test_only_who_may_read_the_dag_sees_its_batches(page: Page, inbox: Path, conn_id: str) -> None:
    load_nothing = sensor(inbox, conn_id)
    with pytest.raises(AirflowSensorTimeout):
        load_nothing.execute(run())
    assert page.get("outbound", token=DAG)["total"] == 1
    other = page.get("outbound", token="another")
    assert (other["batches"], other["total"]) == ([], 0)


async def test_the_triggerer_tells_of_what_it_sees(page: Page, inbox: Path, conn_id: str) -> None:
    origin = {"dag_id": DAG, "run_id": "one", "task_id": "arrived", "map_index": -1}
    trigger = OutboundFilesTrigger(
        inbox={"location": str(inbox)},
        poll_interval_s=0.01,
        deadline="2030-01-01T00:00:00+00:00",
        notes={"conn_id": conn_id, "origin": origin},
    )
    _, parameters = trigger.serialize()
    trigger = OutboundFilesTrigger(**parameters)
    trigger.look()
    assert [one["state"] for one in shown(page)] == ["missing"]
    (inbox / f"{ROOT}-2.sync").write_bytes(b"C 1\n")
    trigger.look()
    assert [one["state"] for one in shown(page)] == ["arrived"]


def test_a_note_that_cannot_be_written_breaks_nothing(
    inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (inbox / f"{ROOT}-2.sync").write_bytes(b"C 1\n")
    (report,) = load(inbox, "no_such_connection").execute(run())
    assert report["rows_loaded"] == 2
    assert "The page is not told of batches; nothing else is wrong" in caplog.text


def test_the_index_is_rebuilt_from_notes_and_reads_each_once(page: Page, conn_id: str) -> None:
    staging = page.found[0].targets.staging
    fact = {"state": "loaded", "series": "1", "mode": "full", "version": "v"}
    for number, month in enumerate((1, 6, 11)):
        origin = {"dag_id": DAG, "run_id": f"{number}", "task_id": "load", "map_index": -1}
        day = f"2026-{month:02}-03"
        TaskNotes(staging, origin).tell(
            [{**fact, "day": day, "batch": f"b{number}"}], now=datetime(2026, month, 3, tzinfo=UTC)
        )
    read: list[str] = []
    bytes_of = staging.read_bytes

    def counting(path: str) -> bytes | None:
        read.append(path)
        return bytes_of(path)

    staging.read_bytes = counting
    assert [one["batch"] for one in shown(page)] == ["b2", "b1", "b0"]
    assert len(read) == 3
    shown(page)
    assert len(read) == 3
    page.found.clear()
    assert shown(page) == []


def test_a_note_that_is_damaged_does_not_hide_the_others(page: Page) -> None:
    place = page.found[0]
    assert isinstance(place, Place)
    origin = {"dag_id": DAG, "run_id": "1", "task_id": "load", "map_index": -1}
    fact = {"state": "arrived", "series": "1", "day": "2026-01-21", "batch": "b", "version": "v"}
    TaskNotes(place.targets.staging, origin).tell([fact])
    place.targets.staging.write_bytes("outbound/2026-01/damaged.json", b"{}")
    assert [one["batch"] for one in shown(page)] == ["b"]
    page_of_all = page.get("outbound", token=DAG)["problems"]
    assert page_of_all == [
        "Some deliveries cannot be read at the moment; whoever may read all DAGs is told why"
    ]


def test_notes_go_on_in_the_next_month(page: Page) -> None:
    place = page.found[0]
    assert isinstance(place, Place)
    origin = {"dag_id": DAG, "run_id": "1", "task_id": "arrived", "map_index": -1}
    fact = {"state": "missing", "series": "1", "day": "2026-10-31", "is_asked_for": True}
    TaskNotes(place.targets.staging, origin).tell([fact], now=datetime(2026, 10, 31, tzinfo=UTC))
    later = TaskNotes(place.targets.staging, origin)
    later.tell([fact], now=datetime(2026, 11, 1, tzinfo=UTC))
    (told,) = later.told()
    assert told["since"] == "2026-10-31T00:00:00.000+00:00"


def fact(state: str, since: int, **more: Any) -> dict[str, Any]:
    made = {"state": state, "series": "7_1", "day": "2026-01-21", "batch": "b", "version": "v"}
    return {**made, "since": f"2026-01-21T{since:02}", **more}


@pytest.mark.parametrize(
    ("facts", "is_so"),
    [
        ([fact("missing", 1), fact("arrived", 2), fact("loaded", 3)], ("loaded", 3)),
        ([fact("loaded", 3), fact("arrived", 4)], ("loaded", 3)),
        ([fact("loaded", 5), fact("loaded", 3, rows_loaded=7)], ("loaded", 3)),
        ([fact("loaded", 3), fact("arrived", 4, version="w")], ("arrived", 4)),
        ([fact("loaded", 3), fact("loaded", 5, version="w")], ("loaded", 5)),
        ([fact("arrived", 2), fact("arrived", 4)], ("arrived", 2)),
        ([fact("arrived", 2), fact("missing", 4)], ("missing", 4)),
        ([fact("missing", 4), fact("arrived", 5)], ("arrived", 5)),
    ],
)
def test_of_what_several_tasks_say_of_a_batch_this_is_so(
    facts: list[dict[str, Any]], is_so: tuple[str, int]
) -> None:
    for said in (facts, facts[::-1]):
        (found,) = merged(said)
        assert (found["state"], int(found["since"][-2:])) == is_so


@pytest.mark.parametrize(
    ("series", "is_asked_for", "is_hidden"),
    [("7_1", False, True), ("7_2", False, False), ("7", True, True), ("", True, True),
     ("8", True, False)],
)  # fmt: skip
def test_a_day_without_a_batch_is_missing_until_one_of_its_series_comes(
    series: str, is_asked_for: bool, is_hidden: bool
) -> None:
    day = fact("missing", 1, batch=None, series=series, is_asked_for=is_asked_for)
    assert len(merged([day, fact("arrived", 2)])) == (1 if is_hidden else 2)
    assert merged([day, day]) == [day]
