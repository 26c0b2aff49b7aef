"""Made-up deliveries in every state, as the server side of the page answers with them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

STATES = [
    "staged",
    "queued",
    "sending",
    "sent",
    "picked_up",
    "acknowledged",
    "reconciled",
    "assumed",
    "failed",
    "superseded",
    "abandoned",
]
OUTSTANDING = STATES[:5]
# Of some that are open their state says too little.
SPECIAL = {0: "approval_waiting", 2: "sending_failed"}
WORDS = {
    "approval_waiting": "Not sent: a person is asked to approve it",
    "sending_failed": "Sending failed and is not finished",
    "staged": "Formatted and checked; the upload comes next.",
    "queued": "Waits for its turn: an earlier delivery of this data source is on its way.",
    "sending": "The files are being uploaded.",
    "sent": "All files are at Adobe; no receipt has come yet.",
    "picked_up": "Audience Manager has taken the files; the receipt has not come yet.",
    "acknowledged": "Audience Manager has read the files.",
    "reconciled": "Audience Manager has counted every record that was sent.",
    "assumed": "Taken for read after the fixed wait. Nothing proves it.",
    "failed": "Nothing more happens with it until somebody acts.",
    "superseded": "Not sent: a newer version took its place.",
    "abandoned": "Given up by a person.",
}
REASONS = {
    "empty_id": "A user ID is never empty, nor made of blanks alone",
    "id_colon": "A DPUUID holds neither ':' nor '%3A'",
    "duplicate_line": "The same line came before",
    "no_items": "A row without traits or signals says nothing",
}
SOURCES = (
    ("478", "daily_crm", "format"),
    ("1201", "loyalty", "format_loyalty"),
    ("478", "snapshot", "diff"),
)
Json = dict[str, Any]


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def rows(count: int = 200, *, now: datetime | None = None) -> list[Json]:
    """Rows of the table, outstanding first, then newest; the same ones for the same moment."""
    chance = random.Random(14)
    today = (now or datetime.now(UTC)).replace(second=0, microsecond=0) - timedelta(minutes=4)
    made = [_row(number, today, chance) for number in range(count)]
    return sorted(made, key=lambda row: (row["is_outstanding"], row["created_at"]), reverse=True)


def _row(number: int, today: datetime, chance: random.Random) -> Json:
    target, dag_id, task_id = SOURCES[number % len(SOURCES)]
    created = today - timedelta(days=number // 3, hours=number % 3)
    state = (
        STATES[number] if number < len(STATES) else chance.choice(["reconciled"] * 9 + STATES[7:])
    )
    if 60 < number < 70:
        state = "acknowledged"
    is_sync = number % 17 == 5
    read = chance.randint(20_000, 90_000) * (12 if target == "1201" else 1)
    aside = {"empty_id": chance.randint(1, 40), "duplicate_line": chance.randint(1, 90)}
    if number % 4 == 0:
        aside = {"id_colon": 1}
    if number % 5 == 0:
        aside = {}
    if number == 0:
        aside = {reason: 3 + at * 7 for at, reason in enumerate(REASONS)}
    lines = read - sum(aside.values())
    counted = state in ("reconciled",)
    received = lines if counted else None
    stored = int(lines * (0.97 - (number % 23) / 300)) if counted else None
    sent = state not in ("staged", "queued", "superseded")
    start = created.replace(hour=0, minute=0, second=0) - timedelta(days=1)
    run = f"scheduled__{iso(start)}" if number % 9 else f"backfill__{iso(start)}"
    return {
        "delivery_id": f"{created:%Y%m%d}-{target}-{number:04d}ab3f",
        "created_at": iso(created),
        "kind": "id_sync" if is_sync else "data",
        "window": None
        if number % 31 == 7
        else {"start": iso(start), "end": iso(start + timedelta(days=1))},
        "connection": "adobe_audience_manager" if number % 7 else "adobe_beta",
        "environment": "production" if number % 7 else "beta",
        "destination": "production/acme" if number % 7 else "beta/acme",
        "data_source": "478" if target == "478" else "900",
        "target_data_source": None if is_sync else target,
        "mode": None if is_sync else ("overwrite" if number % 11 == 3 else "sync"),
        "state": state,
        "standing": SPECIAL.get(number, state),
        "state_words": WORDS[SPECIAL.get(number, state)],
        "since": iso(min(created + timedelta(minutes=chance.randint(5, 200)), today)),
        "is_outstanding": state in OUTSTANDING,
        "needs_attention": number in SPECIAL,
        "reason": "the guard: 48,210 lines are 61 % fewer than the median of the last 7, 123,000"
        if state == "failed"
        else "s3://demdex-s2s-clients/acme: S3 answered 403 AccessDenied to PutObject; the keys of "
        "connection adobe_s3 may not write there"
        if number == 2
        else None,
        "rows_read": read,
        "rows_written": lines,
        "rows_set_aside": sum(aside.values()),
        "set_aside": aside,
        "lines": lines,
        "parts": 1 + read // 400_000,
        "bytes": read * 41,
        "received": received,
        "stored": stored,
        "match_rate": stored / received if received and stored else None,
        "times_sent": (2 if number % 13 == 6 else 1) if sent else 0,
        "dag_id": dag_id,
        "run_id": run,
        "task_id": task_id,
        "map_index": number % 3 if dag_id == "loyalty" else -1,
        "is_backfill": run.startswith("backfill"),
        "run_url": f"/dags/{dag_id}/runs/{run}",
        "task_url": f"/dags/{dag_id}/runs/{run}/tasks/{task_id}",
    }


def one(row: Json) -> Json:
    """All that the page shows of one delivery."""
    created = datetime.fromisoformat(row["created_at"])
    at = [iso(created + timedelta(minutes=minutes)) for minutes in (14, 46, 190)]
    reached = {"picked_up": 1, "acknowledged": 2, "reconciled": 3}.get(row["state"], 0)
    sent_lines = row["lines"] if row["times_sent"] else None
    stem = f"ftp_dpm_{row['data_source']}_{row['target_data_source'] or 'sync'}"
    name = f"{stem}_{int(created.timestamp())}"
    place = f"s3://demdex-s2s-clients/acme/date={created:%Y-%m-%d}"
    names = [f"{name}_{part}.sync.gz" for part in range(1, row["parts"] + 1)]
    return {
        **row,
        "funnel": [
            {"step": "rows_read", "label": "rows read", "count": row["rows_read"]},
            {"step": "rows_written", "label": "rows written", "count": row["rows_written"]},
            {"step": "lines", "label": "lines", "count": sent_lines},
            {"step": "received", "label": "records received", "count": row["received"]},
            {"step": "stored", "label": "records stored", "count": row["stored"]},
        ],
        "files": [
            {
                "name": file,
                "address": f"{place}/{file}",
                "bytes": row["bytes"] // len(names),
                "lines": row["lines"] // len(names),
            }
            for file in names
        ],
        "signs": [
            {
                "name": sign,
                "rungs": [
                    {
                        "rung": rung,
                        "reached": level < min(reached, most),
                        "at": at[level] if level < min(reached, most) else None,
                        "unreached": None
                        if level < min(reached, most)
                        else "only a receipt says so"
                        if level == most
                        else "not yet"
                        if row["is_outstanding"]
                        else "not seen, and not needed: it is acknowledged",
                    }
                    for level, rung in enumerate(("picked_up", "processed", "counted"))
                ],
            }
            for sign, most in (("receipts", 3), ("markers", 2))
        ],
        "set_aside_reasons": [
            _reason(reason, count, row) for reason, count in row["set_aside"].items()
        ],
        "guard": _guard(row, created),
        "waiting": _waiting(row, at) if row["state"] == "sent" else None,
        "sendings": [
            {
                "number": number,
                "at": at[0],
                "why": "the receipt was lost: sent again by anna" if number == 2 else None,
            }
            for number in range(1, row["times_sent"] + 1)
        ],
        "problems": [],
        "disagreements": ["The marker says processed, and the receipt names 2 files fewer"]
        if row["state"] == "acknowledged"
        else [],
        "actions": _actions(row),
        "commands": [
            {
                "label": "Show this delivery",
                "command": f"airflow-am deliveries show {row['delivery_id']}",
            },
            {
                "label": "Send it again",
                "command": f"airflow-am deliveries resend {row['delivery_id']}",
            },
        ],
    }


def _actions(row: Json) -> list[Json]:
    run = {"label": "Open the run in Airflow", "url": row["run_url"], "hint": None}
    label, url, hint = {
        "approval_waiting": (
            "Approve or reject in Airflow",
            f"{row['task_url']}/required_actions",
            "The guard waits for a person: nothing is sent before",
        ),
        "sending_failed": (
            "Clear the upload in Airflow",
            f"{row['run_url']}/tasks/upload",
            "Once what it says is mended: it goes on where it stopped",
        ),
        "failed": ("Clear the task that formatted it in Airflow", row["task_url"], None),
    }.get(row["standing"], (None, None, None))
    return [{"label": label, "url": url, "hint": hint}, run] if label else [run]


def _waiting(row: Json, at: list[str]) -> Json:
    place = "mailbox adobe_mail, folder INBOX, for mails since 2026-11-27 23:12 UTC"
    facts = [
        ("For", f"a sign that delivery {row['delivery_id']} (1 file) was counted", None),
        ("Looked for in", place, None),
        ("Looked for in", "s3://demdex-s2s-clients/acme for .processed markers", None),
        ("Every", "5 min", None),
        ("Until", None, at[2]),
        ("Given up", None, None),
        ("Last noted", None, at[1]),
        ("To check", "do Adobe's mails come in there", None),
    ]
    return {
        "title": "Waiting for Audience Manager",
        "facts": [{"label": label, "text": text, "at": when} for label, text, when in facts],
    }


def _reason(reason: str, count: int, row: Json) -> Json:
    return {
        "reason": reason,
        "words": REASONS[reason],
        "count": count,
        "first_rows": [17, 1_024, 5_611, 9_002][:count],
        "examples": ["ab••••:42", "x9••••:7"][:count] if reason == "id_colon" else [],
        "command": f"airflow-am deliveries show {row['delivery_id']} --rejects {reason}",
    }


def _guard(row: Json, created: datetime) -> Json | None:
    if row["dag_id"] != "daily_crm":
        return None
    history = [
        {
            "date": f"{created - timedelta(days=days):%Y-%m-%d}",
            "figures": {
                "rows_read": 61_204 - days * 97,
                "lines": 61_190 - days * 97,
                "set_aside": 14 + days,
            },
        }
        for days in range(1, 8)
    ]
    decision = None
    if row["state"] == "failed":
        decision = {
            "by": "anna",
            "at": row["since"],
            "approved": False,
            "note": "The CRM export stopped half way.",
        }
    return {
        "limits": ["Lines: at most 50 % fewer or more than the median of the last 7 deliveries"],
        "history": history,
        "decision": decision,
    }


def batches() -> list[Json]:
    """Batches that Audience Manager sends, in every state, missing ones first."""
    states = ("missing", "missing", "arrived", "loaded", "loaded")
    return [_batch(number, state) for number, state in enumerate(states)]


def _batch(number: int, state: str) -> Json:
    made = datetime(2026, 11, 27, 14, 3, tzinfo=UTC) - timedelta(days=number)
    is_there, is_loaded = number > 0, state == "loaded"
    task = "load" if is_loaded else "arrived"
    run = f"scheduled__{iso(made)}"
    read, aside = 1_200_000 * (number - 2), {"no ID": 2, "not a number": 1}
    return {
        "batch": f"S3_1234_20914_full_{int(made.timestamp())}000" if is_there else None,
        "destination": "1234",
        "series": "1234_20914",
        "day": f"{made:%Y-%m-%d}",
        "made_at": iso(made) if is_there else None,
        "mode": "full" if is_there else None,
        "state": state,
        "since": iso(made + timedelta(minutes=20)),
        "lacks": "S3_1234_20914_full.sync has 1,024 of 8,192 bytes" if number == 1 else None,
        "files": 3 if is_there else None,
        "bytes": 48_000_000 if is_there else None,
        "lines_read": read if is_loaded else None,
        "rows_loaded": read - sum(aside.values()) if is_loaded else None,
        "lines_set_aside": sum(aside.values()) if is_loaded else None,
        "set_aside": aside if is_loaded else None,
        "url": "segments" if is_loaded else None,
        "dag_id": "audience_manager_outbound",
        "run_id": run,
        "task_id": task,
        "map_index": -1,
        "run_url": f"/dags/audience_manager_outbound/runs/{run}",
        "task_url": f"/dags/audience_manager_outbound/runs/{run}/tasks/{task}",
    }
