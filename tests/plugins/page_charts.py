"""What the charts of the page are drawn from, made up from the same deliveries as its table."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

Json = dict[str, Any]


def _days(deliveries: list[Json], query: dict[str, str]) -> dict[str, list[Json]]:
    by_day: dict[str, list[Json]] = defaultdict(list)
    for row in deliveries:
        day = row["created_at"][:10]
        if query.get("since", "") <= day <= query.get("until", "9"):
            by_day[day].append(row)
    return dict(sorted(by_day.items()))


def _source(row: Json) -> str:
    return str(row["target_data_source"] or row["data_source"])


def calendar(deliveries: list[Json], query: dict[str, str]) -> Json:
    found = []
    for day, rows in _days(deliveries, query).items():
        for source in sorted({_source(row) for row in rows}):
            mine = [row for row in rows if _source(row) == source]
            states = {row["state"] for row in mine}
            status = "delivered"
            if any(row["is_outstanding"] for row in mine):
                status = "waiting"
            if any(row["needs_attention"] for row in mine):
                status = "attention"
            if "failed" in states:
                status = "rejected"
            if states <= {"superseded", "abandoned"}:
                status = "nothing"
            found.append({"date": day, "data_source": source, "status": status, "count": len(mine)})
    return {"days": found}


def records(deliveries: list[Json], query: dict[str, str]) -> Json:
    days = []
    for day, rows in _days(deliveries, query).items():
        stored = sum(row["stored"] or 0 for row in rows)
        missed = sum((row["received"] or 0) - (row["stored"] or 0) for row in rows)
        failed = {
            "No matching ID": missed * 6 // 10,
            "Invalid trait": missed * 3 // 10,
            "Opted out": missed // 10,
        }
        days.append({"date": day, "stored": stored, "failed": failed})
    return {"days": days}


def quality(deliveries: list[Json], query: dict[str, str]) -> Json:
    chance = random.Random(3)
    weeks: dict[str, list[Json]] = defaultdict(list)
    for day, rows in _days(deliveries, query).items():
        at = date.fromisoformat(day)
        weeks[(at - timedelta(days=at.weekday())).isoformat()] += rows
    found = []
    for week, rows in weeks.items():
        rates = [row["match_rate"] for row in rows if row["match_rate"]]
        read = sum(row["rows_read"] for row in rows)
        repeated = sum(row["set_aside"].get("duplicate_line", 0) for row in rows)
        aside = sum(row["rows_set_aside"] for row in rows)
        median = chance.uniform(1.5, 4)
        found.append(
            {
                "week": week,
                "match_rate": sum(rates) / len(rates) if rates else None,
                "hours_to_acknowledgement": {
                    "median": median,
                    "longest": median * chance.uniform(1.2, 5),
                },
                "set_aside_share": aside / read,
                "lost_share": (aside - repeated) / read,
            }
        )
    limits = {"min_match_rate": 0.9, "max_hours_to_acknowledgement": 24, "max_set_aside": 0.01}
    return {"weeks": found, "limits": limits}


def audiences(deliveries: list[Json], query: dict[str, str]) -> Json:
    lines: dict[tuple[str, str], int] = defaultdict(int)
    for day, rows in _days(deliveries, query).items():
        for row in rows:
            lines[day, _source(row)] += row["lines"]
    today = date.fromisoformat(deliveries[0]["created_at"][:10])
    expiry = [
        {
            "data_source": source,
            "days_left": left,
            "date": (today + timedelta(days=left)).isoformat(),
        }
        for source, left in (("478", 112), ("1201", 9), ("900", 41))
    ]
    days = [
        {"date": day, "data_source": source, "lines": count}
        for (day, source), count in lines.items()
    ]
    return {"days": days, "expiry": expiry}


CHARTS = {
    "calendar": calendar,
    "charts/records": records,
    "charts/quality": quality,
    "charts/audiences": audiences,
}
