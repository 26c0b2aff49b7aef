"""How deliveries stand: list, file, calendar and filters say what a state alone does not."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.cli.delivery_text import (
    deliveries_table,
    delivery_document,
    delivery_lines,
)
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.plugins.page.refresher import _NOTES_READ
from demo.page_deliveries import STREAMS
from tests.plugins.conftest import Page

AT = "2026-11-28T11:05:06+00:00"
TASK = {"dag_id": "daily", "run_id": "manual__1", "task_id": "it", "map_index": -1}
IT = "/dags/daily/runs/manual__1/tasks/it"
GUARD = {"at": AT, "breaches": ["1 row, 0.10 % of 1,000"], "task": TASK, "decision": None}
FAILURE = {"at": AT, "error": "S3 answered NoSuchBucket", "task": TASK}
LOOKING = {"at": AT, "gave_up_at": AT, "error": None, "task": TASK}

COUNT = 60
SPECIAL = [
    ("staged", "guard.json", {**GUARD, "is_asked": True}, "approval_waiting"),
    ("staged", "guard.json", {**GUARD, "is_asked": False}, "stopped_by_guard"),
    ("staged", "upload-failure.json", FAILURE, "sending_failed"),
    ("queued", "upload-failure.json", FAILURE, "sending_failed"),
    ("sending", "upload-failure.json", FAILURE, "sending_failed"),
    ("sending", "upload-failure.json", {**FAILURE, "asks": True}, "file_in_doubt"),
    ("sent", "looking.json", LOOKING, "no_answer_in_time"),
    ("picked_up", "looking.json", {**LOOKING, "error": "login refused"}, "looking_failed"),
]
WORDS = {
    "approval_waiting": "Not sent: a person is asked to approve it",
    "stopped_by_guard": "Not sent: its guard stopped it",
    "sending_failed": "Sending failed and is not finished",
    "file_in_doubt": "Sending stopped: a person has to say whose a file there is",
    "no_answer_in_time": "Sent, not acknowledged in the time that was waited",
    "looking_failed": "Sent, and looking for its acknowledgement failed",
}


@pytest.fixture
def page(page_of: Callable[..., Page]) -> Page:
    """A page of one task's deliveries: one in each open state, the others done with."""
    return page_of(COUNT, streams=STREAMS[1:2])


def noted(page: Page, state: str, name: str, note: dict[str, Any]) -> str:
    """Put a note beside the newest delivery in a state; gives its ID."""
    row = page.get(f"deliveries?limit=1&state={state}")["deliveries"][0]
    number = "-2" if row["times_sent"] == 2 else ""
    base, _, extension = name.rpartition(".")
    file_name = name if name == "guard.json" else f"{base}{number}.{extension}"
    path = f"deliveries/data/{row['delivery_id']}/{file_name}"
    page.targets.staging.write_bytes(path, json.dumps(note).encode())
    return str(row["delivery_id"])


@pytest.mark.parametrize(("state", "name", "note", "standing"), SPECIAL)
def test_list_file_detail_and_command_line_say_the_same(
    page: Page, state: str, name: str, note: dict[str, Any], standing: str
) -> None:
    delivery_id = noted(page, state, name, note)
    is_early = standing == "sending_failed" and state != "sending"
    words = "Sending failed before it began" if is_early else WORDS[standing]
    # Its target says nothing new: the note alone does.
    (row,) = page.get(f"deliveries?state={standing}")["deliveries"]
    assert (row["delivery_id"], row["state"], row["standing"]) == (delivery_id, state, standing)
    assert (row["state_words"], row["since"]) == (words, AT)
    assert row["needs_attention"]
    assert row["is_outstanding"]
    why = note.get("error") or "; ".join(note.get("breaches", ())) or None
    assert row["reason"] == why
    found = page.get("deliveries?state=needs_attention")
    assert found["needs_attention"] == found["total"] == 1
    (line,) = csv.DictReader(io.StringIO(page.get(f"deliveries.csv?state={standing}")))
    assert (line["standing"], line["state_words"]) == (standing, words)
    detail = page.get(f"deliveries/{delivery_id}")
    assert (detail["standing"], detail["state_words"]) == (standing, words)
    (record,) = DeliveryRecords(page.targets).matching(states=[standing])
    assert record.to_json()["standing_words"] == words
    assert standing.replace("_", " ") in deliveries_table([record])[-1]
    assert standing in page.get("facets")["states"]


def test_a_day_on_which_something_needs_attention_is_marked(page: Page) -> None:
    days = "calendar?since=2026-11-01&until=2026-11-28"
    before = [day for day in page.get(days)["days"] if day["status"] == "attention"]
    noted(page, "sending", "upload-failure.json", FAILURE)
    marked = [day for day in page.get(days)["days"] if day["status"] == "attention"]
    assert (before, len(marked)) == ([], 1)


def test_a_failure_from_before_it_came_to_its_state_is_over(page: Page) -> None:
    old = {**FAILURE, "at": "2026-01-01T00:00:00+00:00"}
    noted(page, "queued", "upload-failure.json", old)
    noted(page, "staged", "guard.json", {**GUARD, "decision": {"approved": True}})
    assert page.get("deliveries")["needs_attention"] == 0


def test_what_a_person_rejected_is_called_so(page: Page) -> None:
    rows = page.get("deliveries?limit=500&state=rejected")["deliveries"]
    assert {row["state"] for row in rows} == {"abandoned"}
    assert {row["state_words"] for row in rows} == {"Not sent: a person rejected it"}
    assert not any(row["needs_attention"] for row in rows)


def test_where_staging_is_away_what_was_known_stays_and_the_page_says_so(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(page, "sending", "upload-failure.json", FAILURE)
    assert page.get("deliveries")["needs_attention"] == 1

    def fail(path: str) -> None:
        raise TransientError("s3://crm/staging: no answer")

    monkeypatch.setattr(page.targets.staging, "read_bytes", fail)
    found = page.get("deliveries")
    assert (found["total"], found["needs_attention"]) == (COUNT, 1)
    assert found["problems"] == ["Connection am: s3://crm/staging: no answer"]


def test_a_look_reads_a_note_or_two_of_what_is_open_alone(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.get("deliveries")["outstanding"] == 5
    read: list[str] = []
    read_bytes = page.targets.staging.read_bytes
    monkeypatch.setattr(
        page.targets.staging, "read_bytes", lambda path: (read.append(path), read_bytes(path))[1]
    )
    page.refresher.refresh()
    notes = [path for path in read if path.startswith("deliveries/")]
    # One in each open state; of a staged one two files.
    assert len(notes) == 6
    assert len(notes) < _NOTES_READ


def labels(page: Page, delivery_id: str) -> list[tuple[str, str]]:
    found = page.get(f"deliveries/{delivery_id}")["actions"]
    return [(one["label"].removesuffix(" in Airflow"), one["url"]) for one in found]


@pytest.mark.parametrize(
    ("standing", "label", "url"),
    [
        ("approval_waiting", "Approve or reject", f"{IT}/required_actions"),
        ("stopped_by_guard", "Clear the task that formatted it", None),
        ("sending_failed", "Clear the upload", IT),
        ("file_in_doubt", "Clear the upload", IT),
        ("no_answer_in_time", "Clear the receipt sensor", IT),
        ("looking_failed", "Clear the receipt sensor", IT),
    ],
)
def test_the_first_button_leads_to_where_it_helps(
    page: Page, standing: str, label: str, url: str | None
) -> None:
    state, name, note, _ = next(one for one in SPECIAL if one[3] == standing)
    delivery_id = noted(page, state, name, note)
    first, *rest = labels(page, delivery_id)
    assert first[0] == label
    assert url in (None, first[1])
    assert rest[-1][0] == "Open the run"


def test_where_clearing_changes_nothing_no_button_offers_it(page: Page) -> None:
    rows = page.get("deliveries?limit=500")["deliveries"]
    by_state = {row["state"]: row["delivery_id"] for row in rows}
    for state in ("reconciled", "acknowledged", "staged", "queued"):
        found = [label for label, _ in labels(page, by_state[state])]
        assert found == ["Open the run"], state


def test_a_file_in_doubt_has_the_commands_that_settle_it(page: Page) -> None:
    row = page.get("deliveries?limit=1&state=sending")["deliveries"][0]
    file_name = page.get(f"deliveries/{row['delivery_id']}")["files"][0]["name"]
    error = f"{file_name}: s3://adobe/{file_name} is there already"
    noted(page, "sending", "upload-failure.json", {**FAILURE, "asks": True, "error": error})
    commands = page.get(f"deliveries/{row['delivery_id']}")["commands"]
    actions = [one["command"].split()[2] for one in commands]
    assert actions[:3] == ["show", "confirm", "rename"]
    assert f" confirm {row['delivery_id']} {file_name} " in commands[1]["command"]


def unreached(page: Page, state: str, sign: int) -> list[str | None]:
    row = page.get(f"deliveries?limit=1&state={state}")["deliveries"][0]
    found = page.get(f"deliveries/{row['delivery_id']}")["signs"][sign]
    return [rung["unreached"] for rung in found["rungs"]]


def test_what_no_marker_says_is_not_called_not_yet(page: Page) -> None:
    assert unreached(page, "reconciled", 2) == [None, None, "only a receipt says so"]
    row = page.get("deliveries?limit=1&state=reconciled")["deliveries"][0]
    markers = page.get(f"deliveries/{row['delivery_id']}")["signs"][2]
    assert markers["rungs"][2]["rung"] == "Counted"


def test_a_sign_that_lacks_where_all_is_over_says_that_it_is_over(page: Page) -> None:
    row = page.get("deliveries?limit=1&state=reconciled")["deliveries"][0]
    number = "-2" if row["times_sent"] == 2 else ""
    path = f"deliveries/data/{row['delivery_id']}/reconciliation{number}.json"
    sign = {"sign": "receipts", "picked_up": 0, "processed": 0, "counted": 0}
    found = json.dumps({"signs": [sign]}).encode()
    page.targets.staging.write_bytes(path, found)
    rungs = page.get(f"deliveries/{row['delivery_id']}")["signs"][1]["rungs"]
    assert {rung["unreached"] for rung in rungs} == {"not seen, and not needed: it is acknowledged"}
    assert not any("of" in rung["rung"] for rung in rungs)
    # What is still waited for may come yet.
    assert unreached(page, "staged", 0)[-1] == "not yet"


def test_what_is_waited_for_is_on_the_page_as_in_the_log(page: Page) -> None:
    note = {
        "at": AT,
        "for": "a sign that delivery 0a1b was counted",
        "places": ["mailbox imap since 2026-11-28 10:00 UTC"],
        "every_s": 300.0,
        "until": "2026-11-30T11:00:00+00:00",
        "check": "do Adobe's mails come in there",
        "task": TASK,
        "gave_up_at": None,
    }
    delivery_id = noted(page, "sent", "looking.json", note)
    assert page.get("deliveries")["needs_attention"] == 0
    waiting = page.get(f"deliveries/{delivery_id}")["waiting"]
    assert waiting["title"] == "Waiting for Audience Manager"
    said = {one["label"]: one["text"] or one["at"] for one in waiting["facts"]}
    assert said == {
        "For": note["for"],
        "Looked for in": note["places"][0],
        "Every": "5 min",
        "Until": note["until"],
        "Last noted": AT,
        "To check": note["check"],
        "Given up": None,
        "Why": None,
    }
    assert labels(page, delivery_id)[0] == ("Open the receipt sensor", IT)
    record = DeliveryRecords(page.targets).find(delivery_id)
    assert (
        f"waiting for {note['for']}, until {note['until']}: looking in {note['places'][0]}"
        in delivery_lines(record, delivery_document(record))
    )


def test_the_command_line_leaves_out_an_end_of_waiting_that_nobody_knows(page: Page) -> None:
    note = {"at": AT, "for": "a sign", "places": ["mailbox 'imap'"], "until": None}
    delivery_id = noted(page, "sent", "looking.json", note)
    record = DeliveryRecords(page.targets).find(delivery_id)
    lines = list(delivery_lines(record, delivery_document(record)))
    assert "waiting for a sign: looking in mailbox 'imap'" in lines


def test_what_goes_before_it_in_the_queue_is_named(page: Page) -> None:
    row = page.get("deliveries?limit=1&state=queued")["deliveries"][0]
    waiting = page.get(f"deliveries/{row['delivery_id']}")["waiting"]
    assert waiting["title"] == "Waiting for its turn"
    before = [one["text"] for one in waiting["facts"] if one["label"] == "Before it"]
    assert any(" goes before it, " in text for text in before)


def test_failures_before_there_is_a_delivery_are_a_link_to_airflow(page: Page) -> None:
    assert page.get("deliveries")["failed_runs_url"] == "/dag_runs?state=failed"
    of_dag = page.get("deliveries?dag_id=my dag")["failed_runs_url"]
    assert of_dag == "/dags/my%20dag/runs?state=failed"
