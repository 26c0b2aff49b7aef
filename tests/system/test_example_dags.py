"""Every example DAG, run for real: a backfill of two days, held against the CRM's own rows."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import httpx
import psycopg2
import pytest

from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.sandbox import Verdict
from airflow_am_provider.storage import S3Folder
from demo import crm
from demo.world import ADOBE_BUCKET, STAGING_BUCKET
from tests.browsers import chromium
from tests.system import one_dag_viewer
from tests.system.crm_truth import File
from tests.system.example_run import (
    APPROVAL_DAG,
    DAILY_DAGS,
    MONTHLY_DAG,
    UPLOADS,
    ExampleRun,
    backfilled,
    crm_uri,
    plant_addresses,
    plant_emails,
    secrets_of,
)
from tests.system.one_dag_viewer import VIEWER, VIEWERS_DAG
from tests.system.what_comes_back import (
    CIRCLE_DAG,
    DPID,
    EVENTS,
    FEED_DAG,
    FEEDS,
    NEXT_DAY,
    OTHER_DPID,
    OUTBOUND_DAG,
    WhatComesBack,
    own_devices,
)

pytest.importorskip("playwright", reason="extra 'page' is not installed")
from playwright.sync_api import Browser, expect

from tests.system.airflow_in_browser import RUN_MS, Person

pytestmark = pytest.mark.slow

FIRST_DAY, SECOND_DAY = crm.DAYS
PAGE = "/audience-manager/api"
PASSWORDS = {"admin": "admin", VIEWER: "may-look"}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleRun]:
    directory = tmp_path_factory.mktemp("world")
    (directory / "running").mkdir()
    environment = one_dag_viewer.settings(directory, PASSWORDS)
    with backfilled(directory / "running", environment=environment) as run:
        yield run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def admin(examples: ExampleRun, browser: Browser) -> Person:
    """Somebody who may do everything, logged in."""
    person = Person(browser, examples.api.url)
    person.log_in("admin", PASSWORDS["admin"])
    return person


def expected_files(examples: ExampleRun) -> dict[tuple[str, str, date], File]:
    files = {
        (*task, day): file for day in crm.DAYS for task, file in examples.truth.files(day).items()
    }
    return {**files, (MONTHLY_DAG, "format_loyalty", examples.month): examples.truth.loyalty()}


def sent_names(examples: ExampleRun) -> list[str]:
    return [entry.name for entry in examples.ledger() if entry.verdict is Verdict.TAKEN]


def test_every_task_of_the_backfills_succeeds_at_once(examples: ExampleRun) -> None:
    for dag_id in (*DAILY_DAGS, MONTHLY_DAG):
        days = (examples.month,) if dag_id == MONTHLY_DAG else crm.DAYS
        for day in days:
            states = examples.states(dag_id, examples.run_id(dag_id, day))
            assert states.pop("replay_newer", ("skipped", 1)) == ("skipped", 1)
            assert set(states.values()) == {("success", 1)}, (dag_id, day, states)


def test_each_days_files_hold_just_that_days_changes(examples: ExampleRun) -> None:
    for (dag_id, task_id, day), file in expected_files(examples).items():
        manifest = examples.manifest(dag_id, task_id, day)
        names = [part["file_name"] for part in manifest["parts"]]
        sent = b"".join(map(examples.sent_text, names))
        lines = sent.decode().splitlines()
        # Of a partition the lines are in their order, but the partitions are not.
        assert (sorted(lines) if dag_id == MONTHLY_DAG else lines) == file.lines, (dag_id, day)
        assert sum(part["lines"] for part in manifest["parts"]) == len(file.lines)


def test_rows_read_are_rows_written_and_rows_set_aside(examples: ExampleRun) -> None:
    for (dag_id, task_id, day), file in expected_files(examples).items():
        manifest = examples.manifest(dag_id, task_id, day)
        count = sum(file.set_aside.values())
        assert manifest["rows_read"] == file.rows_read
        assert manifest["rows_set_aside"] == count
        assert manifest["rows_written"] == file.rows_read - count
        assert manifest["set_aside_by_reason"] == file.set_aside
        interval = (manifest["window_start"], manifest["window_end"])
        if dag_id != MONTHLY_DAG:
            assert [datetime.fromisoformat(moment).date() for moment in interval] == [
                day,
                date.fromordinal(day.toordinal() + 1),
            ]


def test_adobe_gets_nothing_but_these_files_and_each_once(examples: ExampleRun) -> None:
    expected = [
        part["file_name"]
        for dag_id, task_id, day in expected_files(examples)
        for part in examples.manifest(dag_id, task_id, day)["parts"]
    ]
    assert sorted(sent_names(examples)) == sorted(expected)
    # An upload over FTP may be seen on its way, under its temporary name.
    others = [entry.name for entry in examples.ledger() if entry.verdict is not Verdict.TAKEN]
    on_their_way = [
        name
        for name in others
        if name.endswith(".part") and any(name.startswith(f"{one}.") for one in expected)
    ]
    assert others == on_their_way
    sent = Counter(entry.sha256 for entry in examples.ledger() if entry.verdict is Verdict.TAKEN)
    assert set(sent.values()) == {1}


def test_profiles_are_what_the_crm_says(examples: ExampleRun) -> None:
    expected = examples.truth.profiles()
    assert Counter(row[0] for row in examples.profiles) == Counter(row[0] for row in expected)
    assert examples.profiles == expected


def test_changes_of_two_days_arrive_in_their_order(examples: ExampleRun) -> None:
    traits = Counter(row[-1] for row in examples.profiles if row[0] == "trait")
    assert traits["190"] == 0, "added on the first day, removed on the second"
    assert traits["191"] == 20, "removed on the first day, added on the second"
    assert traits["192"] == 1, "added and removed on one day, and the other way round"
    assert traits["193"] == 4, "of six at the edges of days, one is before and one after both"


def check_nothing_is_told(examples: ExampleRun, people: set[str]) -> dict[str, str]:
    """Look for secrets and IDs everywhere; gives back where it looked."""
    secrets = secrets_of(examples.world)
    assert len(secrets) >= 3
    ids = examples.truth.ids | people
    assert len(ids) > 100_000
    # An address is as good as written down when its hash is, with nothing mixed in.
    hashes = {hashlib.sha256(person.encode()).hexdigest() for person in ids if "@" in person}
    places = dict(examples.written_by_airflow())
    for place, text in places.items():
        assert not [secret for secret in secrets if secret in text], place
        words = set(re.findall(r"[^\s\"',;:=<>()\[\]{}|\\/]+", text))
        assert not words & ids, place
        assert not words & hashes, place
    return places


def test_each_acknowledged_delivery_is_an_event_of_its_asset_with_its_counts(
    examples: ExampleRun,
) -> None:
    events = {
        event["extra"]["delivery_id"]: event
        for event in examples.api.asset_events()
        if event["uri"].startswith("audience-manager://")
    }
    for dag_id, task_id, day in expected_files(examples):
        manifest = examples.manifest(dag_id, task_id, day)
        event = events[manifest["delivery_id"]]
        name = manifest["parts"][0]["file_name"]
        target = {"audience_manager_mobile": "21", MONTHLY_DAG: "567"}.get(dag_id, "478")
        if name.startswith("ftp_dpm"):
            assert event["uri"].endswith(f"/{target}")
        else:
            assert event["uri"].rpartition("/")[2] == name.rpartition("_")[0]
        extra = event["extra"]
        assert extra["rows_read"] == manifest["rows_read"]
        if not name.startswith("ftp_dpm") and extra["verdict"] == "pending":
            continue  # An ID sync whose marker came before its receipt, which is enough for it.
        assert extra["verdict"] == "reconciled"
        assert extra["counts"]["records_received"] == sum(p["lines"] for p in manifest["parts"])


def test_the_page_shows_each_delivery_with_the_run_that_made_it(examples: ExampleRun) -> None:
    expected = {
        examples.manifest(dag_id, task_id, day)["delivery_id"]: (
            dag_id,
            examples.run_id(dag_id, day),
            task_id,
            dag_id != MONTHLY_DAG,
        )
        for dag_id, task_id, day in expected_files(examples)
    }
    assert httpx.get(f"{examples.api.url}{PAGE}/deliveries").status_code == 401
    deadline = time.monotonic() + 120
    found = json.loads(examples.api.text(f"{PAGE}/deliveries?limit=500"))
    # It is filled with the first look at it.
    while found["indexed_at"] is None or found["outstanding"]:
        assert time.monotonic() < deadline, found
        time.sleep(2)
        found = json.loads(examples.api.text(f"{PAGE}/deliveries?limit=500"))
    assert found["problems"] == []
    shown = {
        row["delivery_id"]: (row["dag_id"], row["run_id"], row["task_id"], row["is_backfill"])
        for row in found["deliveries"]
    }
    assert expected.items() <= shown.items()
    for delivery_id in expected:
        one = json.loads(examples.api.text(f"{PAGE}/deliveries/{delivery_id}"))
        assert one["funnel"][2]["count"] == sum(file["lines"] for file in one["files"])
        assert one["problems"] == []


def test_no_password_and_no_personal_data_is_written_where_people_read(
    examples: ExampleRun,
) -> None:
    people = {customer for customer, *_ in examples.truth.changes if "@" in customer}
    assert len(people) > 10
    places = check_nothing_is_told(examples, people)
    delivery_id = examples.manifest("audience_manager_daily", "format_traits", FIRST_DAY)[
        "delivery_id"
    ]
    for kind in (".log", "logs/1?", "return_value", "manifest.json"):
        assert any(delivery_id in text for place, text in places.items() if kind in place), kind
    assert delivery_id in places["xcom"]


def test_a_run_that_fails_says_nothing_of_the_rows_that_it_fails_on(examples: ExampleRun) -> None:
    ledger, day = examples.ledger(), date(2026, 9, 5)
    people = plant_addresses(crm_uri(examples.world), day)
    window = {"window_start": "2026-09-05T00:00:00Z", "window_end": "2026-09-06T00:00:00Z"}
    run_id = examples.api.trigger("audience_manager_daily", conf=window)
    assert examples.api.wait_for_run("audience_manager_daily", run_id) == "failed"
    log = examples.api.task_log("audience_manager_daily", run_id, "extract_ids")
    assert "column 'customer_id' holds personal data: 40 of its first 40 values" in log
    check_nothing_is_told(examples, people)
    assert examples.ledger() == ledger


def test_no_file_at_adobe_has_an_address_for_an_id(examples: ExampleRun) -> None:
    for name in sent_names(examples):
        assert b"@" not in examples.sent_text(name)
    assert not [key for key in examples.keys(ADOBE_BUCKET) if "@" in key]


def test_running_a_day_again_changes_nothing_and_sends_nothing(examples: ExampleRun) -> None:
    profiles, ledger = examples.digest(), examples.ledger()
    destination = examples.destination()
    midnight = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
    run_id = examples.run_id("audience_manager_daily", FIRST_DAY)
    examples.api.clear("audience_manager_daily", run_id)
    for dag_id in DAILY_DAGS[1:]:
        examples.api.create_backfill(dag_id, midnight, midnight, reprocess_behavior="completed")
    examples.wait()

    assert examples.digest() == profiles
    assert examples.ledger() == ledger
    assert examples.destination() == destination
    for (dag_id, format_task), upload_task in UPLOADS.items():
        if dag_id == MONTHLY_DAG:
            continue
        run_id = examples.run_id(dag_id, FIRST_DAY)
        states = examples.states(dag_id, run_id)
        assert states.pop("replay_newer", ("skipped", 2)) == ("skipped", 2)
        assert set(states.values()) == {("success", 2)}
        delivery_id = examples.manifest(dag_id, format_task, FIRST_DAY)["delivery_id"]
        formatted = examples.api.task_log(dag_id, run_id, format_task, try_number=2)
        assert f"The same content is staged already as delivery {delivery_id}" in formatted
        sent = examples.api.task_log(dag_id, run_id, upload_task, try_number=2)
        assert "All of it was sent already, at " in sent


def test_a_delivery_unlike_those_before_waits_for_a_person(
    examples: ExampleRun, admin: Person
) -> None:
    api, dag_id = examples.api, APPROVAL_DAG
    api.unpause(dag_id)
    # Of the last month, at once: the first of all, so there is nothing to compare it with.
    scheduled = api.wait_for_scheduled_run(dag_id)
    assert api.wait_for_run(dag_id, scheduled["dag_run_id"]) == "success"
    with closing(psycopg2.connect(crm_uri(examples.world))) as database:
        database.cursor().execute("DELETE FROM customers WHERE hashtext(customer_id) % 4 <> 0")
        database.commit()
    ledger = examples.ledger()

    # By hand, the same month again: from a CRM that was emptied.
    run_id = admin.trigger(dag_id)
    asked = api.wait_for_question(dag_id, run_id, "guard")
    assert re.search(
        r"- [\d,]+ rows, 2\d\.\d\d% of 50,000, those of the one comparable delivery before",
        asked["body"],
    )
    assert asked["options"] == ["Approve", "Reject"]
    admin.answer(dag_id, run_id, "guard", "Reject", "the CRM was emptied")
    # A delivery that is not sent is no green run.
    assert api.wait_for_run(dag_id, run_id) == "failed"
    states = examples.states(dag_id, run_id)
    assert {task: state for task, (state, _) in states.items()} == {
        "format_city": "success",
        "guard": "failed",
        "upload": "upstream_failed",
        "receipt": "upstream_failed",
    }
    manifest = api.xcom(dag_id, run_id, "format_city")
    staging = S3Folder(examples.world.s3.client(), STAGING_BUCKET, "audience-manager")
    records = DeliveryRecords(Targets(staging))
    record = records.find(manifest["delivery_id"])
    assert (record.state, record.reason) == (
        DeliveryState.ABANDONED,
        "Rejected by admin: the CRM was emptied",
    )
    assert examples.ledger() == ledger

    # Somebody has looked again.
    api.clear_task(dag_id, run_id, "guard")
    api.wait_for_question(dag_id, run_id, "guard")
    admin.answer(dag_id, run_id, "guard", "Approve", "the others have left")
    assert api.wait_for_run(dag_id, run_id) == "success"
    (sent,) = examples.ledger()[len(ledger) :]
    assert sent.name == manifest["parts"][0]["file_name"]
    assert records.find(manifest["delivery_id"]).reason is None


def test_the_way_back_and_the_circle(examples: ExampleRun, monkeypatch: pytest.MonkeyPatch) -> None:
    api, back = examples.api, WhatComesBack(examples=examples)
    back.prepare(monkeypatch)
    others = [f"other-{number}" for number in range(20)]
    back.send_feed("acme", DPID, back.customers, seed=1)
    back.send_feed("other", OTHER_DPID, others, seed=2)
    morning = NEXT_DAY.replace(hour=5, minute=30)
    circle = api.trigger(CIRCLE_DAG, logical_date=morning)
    conf = {
        "location": f"s3://{FEEDS}/other",
        "into": f"s3://{EVENTS}/other",
        "dpid": OTHER_DPID,
    }
    feed = api.trigger(FEED_DAG, logical_date=morning, conf=conf)
    for dag_id in (CIRCLE_DAG, FEED_DAG, OUTBOUND_DAG):
        api.unpause(dag_id)
    # An asset is watched from when its DAG is read again.
    api.read_again(OUTBOUND_DAG)
    backfill = api.create_backfill(OUTBOUND_DAG, NEXT_DAY, NEXT_DAY + timedelta(hours=23))

    api.wait_for_task(CIRCLE_DAG, circle, "receipt_traits")
    assert back.devices(DPID, back.customers) == own_devices(DPID, back.customers)
    # In parts, with one space between fields; of one, first as .tmp and its control file twice.
    sent = {
        number: back.send_segments(number, seed=seed) for number, seed in ((5678, 13), (1234, 30))
    }
    assert api.wait_for_run(CIRCLE_DAG, circle) == "success"
    assert back.current("current_circle_segments") == back.members()

    assert api.wait_for_run(FEED_DAG, feed) == "success"
    assert back.devices(OTHER_DPID, others) == own_devices(OTHER_DPID, others)
    (name,) = (name for name in sent_names(examples) if name.startswith("adobe_id_0_479"))
    assert len(examples.sent_text(name).splitlines()) == len(others)

    # The day's run and the run that the arrival has started: one of them loads the batch.
    (of_day,) = api.wait_for_backfill(backfill)
    of_arrival = api.wait_for_run_of_asset(OUTBOUND_DAG)
    loads = [
        examples.states(OUTBOUND_DAG, run["dag_run_id"])["load"] for run in (of_day, of_arrival)
    ]
    assert sorted(loads) == [("skipped", 1), ("success", 1)]
    assert back.current("current_segments") == back.members()
    rows = back.query("SELECT batch, count(*) FROM segments GROUP BY batch")
    members = len({user for user, _ in back.members()})
    assert rows == [(sent[1234], members)]
    told = [
        event["extra"]
        for event in api.asset_events()
        if event["uri"].startswith("audience-manager://outbound/1234")
    ]
    assert [(one["batch"], one["rows_loaded"], one["lines_set_aside"]) for one in told] == [
        (sent[1234], members, 0)
    ]


def test_who_is_not_logged_in_sees_nothing(examples: ExampleRun, browser: Browser) -> None:
    delivery_id = examples.manifest(VIEWERS_DAG, "extract_emails", FIRST_DAY)["delivery_id"]
    stranger = Person(browser, examples.api.url)
    for route in ("deliveries", "deliveries.csv", f"deliveries/{delivery_id}", "facets", "calendar",
                  "charts/records", "charts/quality", "charts/audiences", "outbound"):  # fmt: skip
        assert stranger.request.get(f"{stranger.url}{PAGE}/{route}").status == 401, route
    stranger.window.goto(f"{stranger.url}/plugin/audience-manager#/deliveries/{delivery_id}")
    expect(stranger.window.locator("input[name=password]")).to_be_visible()
    stranger.picture("login")


def test_three_days_are_backfilled_by_the_form_and_watched(
    examples: ExampleRun, admin: Person
) -> None:
    first, last = date(2026, 10, 1), date(2026, 10, 3)
    plant_emails(examples.world.crm_uri, first, last)
    examples.api.close_ended_backfills(VIEWERS_DAG)
    admin.backfill(VIEWERS_DAG, first, last)
    window = admin.window
    window.goto(f"{admin.url}/dags/{VIEWERS_DAG}/runs?run_type=backfill")
    runs = window.locator("tbody tr").filter(has_text="backfill__2026-10")
    expect(runs.filter(has_text="Success")).to_have_count(3, timeout=RUN_MS)
    admin.picture("runs")
    window.get_by_role("link", name="Audience Manager").last.click()
    rows = admin.frame.locator("tbody tr:not(.group)")
    done = rows.filter(has_text="reconciled").filter(has_text="backfill")
    admin.until(done.filter(has_text="Oct 2026"), 3)
    admin.picture("tab-of-a-dag")
    assert "/plugin/audience-manager-dag" in window.url


def test_the_page_leads_to_one_delivery_and_the_address_back_to_it(
    examples: ExampleRun, admin: Person
) -> None:
    manifest = examples.manifest("audience_manager_daily", "format_traits", FIRST_DAY)
    delivery_id, lines = manifest["delivery_id"], sum(p["lines"] for p in manifest["parts"])
    page = admin.page(f"#/deliveries?q={delivery_id}")
    expect(page.get_by_role("status")).to_contain_text("1 delivery")
    admin.picture("deliveries")
    page.locator("tbody a").first.click()
    funnel = page.locator(".funnel li")
    expect(funnel).to_have_count(5)
    said = funnel.all_inner_texts()
    assert f"{manifest['rows_read']:,}" in said[0]
    # In the files, and received as the receipt counted them.
    assert [f"{lines:,}" in text for text in said[2:4]] == [True, True], said
    address = page.get_by_role("region", name="Table of files").inner_text()
    assert f"s3://{ADOBE_BUCKET}/" in address
    assert manifest["parts"][0]["file_name"] in address
    reached = page.locator(".ladder", has_text="Receipts").locator("li.reached")
    expect(reached).to_have_count(3)
    admin.picture("one-delivery")
    copied = admin.window.url
    admin.window.goto("about:blank")
    admin.window.goto(copied)
    expect(admin.frame.locator(".funnel li").first).to_contain_text(f"{manifest['rows_read']:,}")


def test_the_page_shows_the_batch_that_came_and_was_loaded(admin: Person) -> None:
    loaded = admin.page("#/outbound").locator("tbody tr").filter(has_text="loaded")
    admin.until(loaded.filter(has_text=OUTBOUND_DAG).filter(has_text="1234"), 1)
    admin.picture("outbound")


def test_charts_show_what_was_delivered(admin: Person) -> None:
    page = admin.page("#/charts?days=365")
    expect(page.locator(".chart > svg[role=img]")).to_have_count(5)
    expect(page.get_by_text("Most that may be lost: 1 %")).to_be_visible()
    expect(page.get_by_text("Limit: 48 hours")).to_be_visible()
    expect(page.locator(".calendar a").first).to_be_visible()
    admin.picture("charts")


def test_a_viewer_of_one_dag_sees_its_deliveries_alone(
    examples: ExampleRun, browser: Browser
) -> None:
    viewer = Person(browser, examples.api.url)
    viewer.log_in(VIEWER, PASSWORDS[VIEWER])
    mine = examples.manifest(VIEWERS_DAG, "extract_emails", FIRST_DAY)["delivery_id"]
    other = examples.manifest("audience_manager_daily", "format_traits", FIRST_DAY)["delivery_id"]
    page = viewer.page()
    rows = page.locator("tbody tr:not(.group)")
    expect(rows.first).to_be_visible()
    assert rows.count() == rows.filter(has_text="extract_emails").count() >= 2
    expect(page.get_by_label("DAG").locator("option")).to_have_text(["All", VIEWERS_DAG])
    viewer.picture("viewer")
    page = viewer.page(f"#/deliveries/{mine}")
    expect(page.locator(".funnel li").first).to_be_visible()
    # Another window, since only what stands after # differs.
    viewer.window.goto("about:blank")
    page = viewer.page(f"#/deliveries/{other}")
    expect(page.get_by_role("alert")).to_contain_text("There is no such delivery")
    viewer.picture("viewer-refused")
    ask = viewer.request.get
    assert ask(f"{viewer.url}{PAGE}/deliveries/{other}").status == 404
    assert ask(f"{viewer.url}{PAGE}/deliveries/{mine}").status == 200
    listed = ask(f"{viewer.url}{PAGE}/deliveries?limit=500").json()
    assert {row["dag_id"] for row in listed["deliveries"]} == {VIEWERS_DAG}
