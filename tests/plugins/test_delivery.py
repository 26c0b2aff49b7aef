"""One delivery: what lies in staging of it, and no ID of anybody."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.plugins.page.places import Problem
from tests.plugins.conftest import DAILY, ByDag, Page

PageOf = Callable[..., Page]
HASH = re.compile(r"[0-9a-f]{64}")


def one(page: Page, query: str, *, token: str = "admin") -> dict[str, Any]:
    row = page.get(f"deliveries?limit=1&{query}", token=token)["deliveries"][0]
    found: dict[str, Any] = page.get(f"deliveries/{row['delivery_id']}", token=token)
    assert row.items() <= found.items()
    return found


def test_from_rows_read_to_records_stored(page: Page) -> None:
    found = one(page, "state=reconciled&data_source=567")
    funnel = [(step["step"], step["count"]) for step in found["funnel"]]
    assert [step for step, _ in funnel] == [
        "rows_read",
        "rows_written",
        "lines",
        "received",
        "stored",
    ]
    assert funnel == [(step, found[step]) for step, _ in funnel]
    assert all(step["label"] for step in found["funnel"])


def test_files_have_their_full_address(page: Page) -> None:
    found = one(page, "state=reconciled&data_source=567")
    assert len(found["files"]) == found["parts"]
    assert sum(file["lines"] for file in found["files"]) == found["lines"]
    day = r"\d{4}-\d\d-\d\d"
    for file in found["files"]:
        address = f"s3://demdex-s2s-clients-us-east-1/acme/date={day}/{file['name']}"
        assert re.fullmatch(address, file["address"])
    assert one(page, "state=staged")["files"][0]["address"] is None


def test_signs_are_ladders_with_times(page: Page) -> None:
    found = one(page, "state=reconciled&data_source=567")
    life, receipts, markers = found["signs"]
    assert life["name"] == "This delivery"
    assert [rung["rung"] for rung in life["rungs"]] == [
        "Formatted",
        "Sending began",
        "Sent whole",
        "Acknowledged",
    ]
    assert all(rung["reached"] and rung["at"] for rung in life["rungs"])
    assert [rung["reached"] for rung in receipts["rungs"]] == [True, True, True]
    assert [rung["reached"] for rung in markers["rungs"]] == [True, True, False]
    files = found["parts"]
    assert markers["rungs"][0]["rung"].startswith(f"Picked up: {files} of {files} file")


def test_of_what_is_not_sent_yet_only_the_first_rung_is_reached(page: Page) -> None:
    found = one(page, "state=staged")
    (life,) = found["signs"]
    assert [rung["reached"] for rung in life["rungs"]] == [True, False, False, False]
    assert found["sendings"] == []
    assert found["guard"] is None


def test_a_sending_that_failed_says_since_when_why_and_what_to_do(page: Page) -> None:
    found = one(page, "state=sending")
    assert found["times_sent"] == 0
    assert any("is not finished" in problem for problem in found["problems"])
    assert not any(" resend " in command["command"] for command in found["commands"])
    note = {"at": "2026-11-28T04:05:06+00:00", "error": "S3 answered NoSuchBucket"}
    where = page.targets.staging
    entry = DeliveryRecords(page.targets).find(found["delivery_id"]).entry
    where.write_bytes(f"{entry.location}/upload-failure.json", json.dumps(note).encode())
    found = page.get(f"deliveries/{found['delivery_id']}")
    assert found["state_words"] == "Sending failed and is not finished"
    (told,) = [one for one in found["problems"] if "NoSuchBucket" in one]
    assert told.startswith("Sending failed at 28 Nov 2026, 04:05 UTC: S3 answered NoSuchBucket.")
    assert "clear the upload" in told


def test_on_s3_a_marker_shows_that_it_was_processed(page: Page) -> None:
    assert one(page, "state=picked_up")["state_words"] == "Processed, not acknowledged yet"


def test_reasons_have_row_numbers_masked_examples_and_the_command_for_the_rest(
    page: Page,
) -> None:
    rows = page.get("deliveries?limit=500")["deliveries"]
    row = next(r for r in rows if {"empty_id", "personal_data"} <= r["set_aside"].keys())
    found = page.get(f"deliveries/{row['delivery_id']}")
    reasons = {reason["reason"]: reason for reason in found["set_aside_reasons"]}
    assert {name: reason["count"] for name, reason in reasons.items()} == row["set_aside"]
    empty = reasons["empty_id"]
    assert empty["words"] == "A user ID is never empty, nor made of blanks alone"
    assert 0 < len(empty["first_rows"]) <= 5
    assert re.fullmatch(r"row \d+: c0… \(\d+ characters\)", empty["examples"][0])
    assert re.fullmatch(r"grep ,empty_id, memory://staging/\S+/rejects\.csv", empty["command"])
    assert reasons["personal_data"]["examples"] == []
    assert HASH.search(json.dumps(found)) is None


def test_what_is_not_masked_is_not_shown(page: Page) -> None:
    rows = page.get("deliveries?limit=500")["deliveries"]
    row = next(row for row in rows if "empty_id" in row["set_aside"])
    (path,) = (
        path
        for path in page.targets.staging.files
        if path.endswith("rejects.csv") and row["delivery_id"][:12] in path
    )
    content = b"row_number,reason,id_masked,id_sha256\n7,empty_id,jane@example.com,\n"
    page.targets.staging.write_bytes(path, content)
    found = page.get(f"deliveries/{row['delivery_id']}")
    (reason,) = (r for r in found["set_aside_reasons"] if r["reason"] == "empty_id")
    assert (reason["first_rows"], reason["examples"]) == ([7], [])
    assert "jane" not in json.dumps(found)


def test_who_rejected_it_and_why(page: Page) -> None:
    found = one(page, "state=abandoned")
    assert found["guard"]["decision"] == {
        "by": "jane",
        "at": found["since"],
        "approved": False,
        "note": "the consent list was that of last week",
    }
    assert found["problems"] == [found["reason"]]


def test_what_the_guard_noted(page: Page) -> None:
    found = one(page, "state=staged&data_source=567")
    note = {
        "limits": {"min_rows_share": 0.5},
        "breaches": ["1 row, 0.10% of 1,000"],
        "history": [
            {"delivery_id": "a", "created_at": "2026-11-28T01:00:00+00:00", "rows_written": 1},
            {"delivery_id": "b", "created_at": "2026-11-27T01:00:00+00:00", "rows_written": 1000},
        ],
        "task": {"dag_id": "monthly", "run_id": "manual__1", "task_id": "guard", "map_index": -1},
        "is_asked": True,
        "decision": None,
    }
    path = f"deliveries/data/{found['delivery_id']}/guard.json"
    page.targets.staging.write_bytes(path, json.dumps(note).encode())
    again = page.get(f"deliveries/{found['delivery_id']}")
    assert again["guard"]["limits"] == [
        "Fewest rows, as a share of the median before: 0.5",
        "Over its limit: 1 row, 0.10% of 1,000",
    ]
    assert again["guard"]["history"][1] == {
        "date": "2026-11-27T01:00:00+00:00",
        "figures": {"rows written": 1000},
    }
    # Airflow's own page asks; this one only leads there.
    assert again["actions"][0]["url"] == (
        "/dags/monthly/runs/manual__1/tasks/guard/required_actions"
    )


def test_what_was_sent_again(page: Page) -> None:
    rows = page.get("deliveries?limit=500&state=reconciled")["deliveries"]
    row = next(row for row in rows if row["times_sent"] == 2)
    found = page.get(f"deliveries/{row['delivery_id']}")
    assert [one["number"] for one in found["sendings"]] == [1, 2]
    assert found["sendings"][1]["why"].startswith("Sent again: ")
    assert found["sendings"][1]["at"]


def test_commands_name_delivery_and_connection(page: Page) -> None:
    found = one(page, "state=failed&data_source=567")
    commands = [one["command"] for one in found["commands"]]
    assert commands[0] == f"airflow-am deliveries show {found['delivery_id']} --conn-id am"
    assert [command.split()[2] for command in commands] == ["show", "resend"]
    outstanding = one(page, "state=sent")["commands"]
    assert [one["command"].split()[2] for one in outstanding] == ["show", "resend", "abandon"]


def test_rejects_that_were_deleted_leave_their_counts(page: Page) -> None:
    rows = page.get("deliveries?limit=500")["deliveries"]
    row = next(row for row in rows if row["set_aside"])

    def gone(path: str) -> None:
        raise TransientError(f"{path}: is not there")

    page.targets.staging.open_read = gone
    found = page.get(f"deliveries/{row['delivery_id']}")
    assert {r["reason"]: r["count"] for r in found["set_aside_reasons"]} == row["set_aside"]
    assert all(r["first_rows"] == [] for r in found["set_aside_reasons"])


@pytest.mark.parametrize("token", ["admin", DAILY])
def test_without_staging_the_row_is_told_and_why_that_is_all(page_of: PageOf, token: str) -> None:
    page = page_of() if token == "admin" else page_of(auth_manager=ByDag())
    row = page.get(f"deliveries?limit=1&state=reconciled&dag_id={DAILY}", token=token)
    page.found[:] = [Problem(conn_id="am", sentence="Connection am: s3://hidden does not answer")]
    delivery_id = row["deliveries"][0]["delivery_id"]
    found = page.get(f"deliveries/{delivery_id}", token=token)
    assert found["funnel"][0]["count"] == row["deliveries"][0]["rows_read"]
    assert found["files"] == []
    (problem,) = found["problems"]
    assert ("s3://hidden" in problem) is (token == "admin")
