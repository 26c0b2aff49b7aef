"""Deliveries in staging as many runs of several DAGs would have left them, for the page.

They are written as they lie there, without tasks that make them: two hundred take a second, and a
hundred thousand a minute.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.staging import write_manifest
from airflow_am_provider.deliveries.target.document import to_text
from airflow_am_provider.deliveries.target.history import PAGE
from airflow_am_provider.deliveries.target.state import (
    PROCESSED_WELL,
    DeliveryEntry,
    DeliveryState,
    Sending,
    TargetState,
)
from airflow_am_provider.deliveries.target.target import target_keys
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.window import Window, with_texts

BUCKET = "s3://demdex-s2s-clients-us-east-1"
_REASONS = ("empty_id", "personal_data", "suppressed", "duplicate_line", "trait_not_numeric")
_OPEN = (
    DeliveryState.STAGED,
    DeliveryState.QUEUED,
    DeliveryState.SENDING,
    DeliveryState.SENT,
    DeliveryState.PICKED_UP,
)
_DONE = {
    DeliveryState.RECONCILED: 82,
    DeliveryState.ACKNOWLEDGED: 6,
    DeliveryState.ASSUMED: 3,
    DeliveryState.FAILED: 4,
    DeliveryState.SUPERSEDED: 2,
    DeliveryState.ABANDONED: 3,
}
_WHY = {
    DeliveryState.FAILED: "no_matching_aam_id: 2,511 of 10,000 records received are 25.11 %, over "
    "the limit of 5 %",
    DeliveryState.SUPERSEDED: "superseded: the rows are again those of an earlier delivery",
    DeliveryState.ABANDONED: "Rejected by jane: the consent list was that of last week",
}


@dataclass(frozen=True)
class Stream:
    """Deliveries of one task to one target."""

    destination: str
    target: str
    name: str
    mode: Mode | None
    dag_id: str
    rows: int

    @property
    def kind(self) -> str:
        return "id_sync" if self.mode is None else "data"


STREAMS = (
    Stream("production/acme", "478", "ftp_dpm_478", Mode.SYNC, "audience_manager_daily", 250_000),
    Stream(
        "production/acme",
        "567",
        "ftp_dpm_478_567",
        Mode.OVERWRITE,
        "audience_manager_monthly_overwrite",
        1_200_000,
    ),
    Stream(
        "production/acme",
        "adobe_id_0_12345",
        "adobe_id_0_12345",
        None,
        "audience_manager_mobile",
        90_000,
    ),
    Stream("beta/acme", "478", "ftp_dpm_478", Mode.SYNC, "audience_manager_deliver", 5_000),
)


def fill(
    targets: Targets,
    count: int,
    *,
    now: datetime | None = None,
    seed: int = 0,
    files: bool = True,
    streams: tuple[Stream, ...] = STREAMS,
) -> None:
    """Fill a staging location.

    :param targets: of the location; nothing may be there.
    :param count: how many deliveries in all, shared out evenly.
    :param now: the time; the newest deliveries are of the day before.
    :param files: whether each has its manifest, its reconciliation and its rejects beside it.
    """
    now = now or datetime.now(UTC)
    for number, stream in enumerate(streams):
        chance = random.Random(f"{seed}/{number}")
        share = count // len(streams) + (number < count % len(streams))
        entries = [_entry(stream, at, share, now, chance) for at in range(share)]
        if files:
            for entry in entries:
                _write_files(targets, stream, entry, chance)
        _write_target(targets, stream, entries)


def _entry(
    stream: Stream, at: int, count: int, now: datetime, chance: random.Random
) -> DeliveryEntry:
    """The ``at``-th of ``count``, oldest first, a window a day."""
    age = count - at
    start = (now - timedelta(days=age)).replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=1)
    created = end + timedelta(hours=1, minutes=chance.randrange(30))
    if age <= len(_OPEN):
        state = _OPEN[age - 1]
    else:
        state = chance.choices([*_DONE], weights=[*_DONE.values()])[0]
    was_sent = state not in (
        DeliveryState.STAGED,
        DeliveryState.QUEUED,
        DeliveryState.SUPERSEDED,
        DeliveryState.ABANDONED,
    )
    sent = created + timedelta(minutes=chance.randrange(5, 50))
    acknowledged = sent + timedelta(hours=chance.randrange(4, 40))
    is_open = state in _OPEN
    is_backfill = chance.random() < 0.1
    run_type = "backfill" if is_backfill else "scheduled"
    delivery_id = f"{chance.getrandbits(80):020x}"
    task_id = "format"
    return DeliveryEntry(
        delivery_id=delivery_id,
        content_id=delivery_id,
        location=f"deliveries/{stream.kind}/{delivery_id}",
        name=stream.name,
        timestamp=int(created.timestamp()),
        mode=stream.mode,
        removes=stream.mode is not Mode.SYNC,
        series=f"{stream.dag_id}/{task_id}",
        subject=f"{stream.name} {start:%Y-%m-%d}",
        window=Window(start=start, end=end),
        staged=2 * at + 1,
        state=state,
        since=(created if not was_sent else sent if is_open else acknowledged).isoformat(),
        reason=_WHY.get(state),
        sending=_sending(stream, at, created, sent, state, chance) if was_sent else None,
        may_have_left=was_sent,
        decided=0 if is_open else 2 * at + 2,
        figures=_figures(stream, created, state, chance)
        | {
            "origin": {
                "dag_id": stream.dag_id,
                "run_id": f"{run_type}__{end.isoformat()}",
                "task_id": task_id,
                "map_index": -1,
                "run_type": run_type,
            }
        },
    )


def _sending(
    stream: Stream,
    at: int,
    created: datetime,
    sent: datetime,
    state: DeliveryState,
    chance: random.Random,
) -> Sending:
    return Sending(
        number=2 if chance.random() < 0.03 else 1,
        url=f"{BUCKET}/acme",
        day=f"{sent:%Y-%m-%d}",
        begun=2 * at + 1,
        begun_at=created.isoformat(),
        sent_at=None if state is DeliveryState.SENDING else sent.isoformat(),
    )


def _figures(
    stream: Stream, created: datetime, state: DeliveryState, chance: random.Random
) -> dict[str, Any]:
    read = int(stream.rows * chance.uniform(0.8, 1.2))
    aside = {
        reason: chance.randrange(1, max(2, read // 2000))
        for reason in chance.sample(_REASONS, chance.randrange(4))
    }
    written = read - sum(aside.values())
    figures: dict[str, Any] = {
        "created_at": created.isoformat(timespec="seconds"),
        "rows_read": read,
        "rows_written": written,
        "rows_set_aside": sum(aside.values()),
        "set_aside_by_reason": aside,
        "lines": written - written // 50,
        "files": 1 + written // 500_000,
        "bytes": written * 58,
        "max_set_aside": 0.01,
    }
    if state in (*PROCESSED_WELL, DeliveryState.FAILED) and state is not DeliveryState.ASSUMED:
        lost = chance.uniform(0.2, 0.3) if state is DeliveryState.FAILED else chance.uniform(0, 0.1)
        received = figures["lines"]
        failed = {"no_matching_aam_id": int(received * lost), "no_trait_realized": received // 900}
        figures |= {
            "records_received": received,
            "stored_records": received - sum(failed.values()),
            "failed_records": failed,
            "limits": {"no_matching_aam_id": 0.12},
            "timeout_s": 48 * 3600.0,
            "verdict": str(state) if state is DeliveryState.RECONCILED else "shared",
            "acknowledged_by": "counted",
        }
    return figures


def _write_target(targets: Targets, stream: Stream, entries: list[DeliveryEntry]) -> None:
    """The target's document, and what is done with on pages of history."""
    key, details = target_keys(stream.destination, stream.target)
    done = [one for one in entries if one.decided]
    is_open = [one for one in entries if not one.decided]
    before: str | None = None
    while len(done) > PAGE:
        full, done = done[:PAGE], done[PAGE:]
        name = f"{details}/history/{full[-1].decided:010d}-sample"
        page = {
            "before": before,
            "before_until": "",
            "entries": [with_texts(one) for one in full],
        }
        targets.home.store(name, json.dumps(page, indent=1).encode(), if_version=None)
        before = name
    state = TargetState(
        sequence=2 * len(entries) + 2,
        names={stream.name: entries[-1].timestamp},
        entries={one.delivery_id: one for one in is_open},
        queue=tuple(one.delivery_id for one in is_open if one.state is not DeliveryState.STAGED),
        done=tuple(done),
        history=before,
        history_until=None,
        previous={entries[0].series: tuple(one.delivery_id for one in done[-20:])},
        said_since={entries[0].series: str(entries[0].window)[:10]},
    )
    text = to_text(state, stream.destination, stream.target)
    targets.home.store(key, text, if_version=None)


def _write_files(
    targets: Targets, stream: Stream, entry: DeliveryEntry, chance: random.Random
) -> None:
    figures, staging = entry.figures, targets.staging
    attempt = f"deliveries/{stream.kind}/attempts/{entry.since[:10]}-{entry.delivery_id[:12]}"
    reasons: Mapping[str, int] = figures["set_aside_by_reason"]
    if reasons:
        rejects = "\n".join(["row_number,reason,id_masked,id_sha256", *_rejects(reasons, chance)])
        staging.write_bytes(f"{attempt}/rejects.csv", f"{rejects}\n".encode())
    manifest = Manifest(
        delivery_id=entry.delivery_id,
        kind=stream.kind,
        staging=staging.url,
        location=entry.location,
        destination=stream.destination,
        removes=entry.removes,
        series=entry.series,
        rows_read=figures["rows_read"],
        rows_written=figures["rows_written"],
        rows_set_aside=figures["rows_set_aside"],
        set_aside_by_reason=dict(reasons),
        window=entry.window,
        rejects=f"{attempt}/rejects.csv" if reasons else None,
        created_at=figures["created_at"],
        parts=tuple(_parts(stream, entry, attempt)),
    )
    write_manifest(staging, manifest)
    if "records_received" in figures:
        found = _reconciliation(entry, manifest)
        number = "" if entry.sending is None or entry.sending.number == 1 else "-2"
        path = f"{entry.location}/reconciliation{number}.json"
        staging.write_bytes(path, json.dumps(found, indent=2).encode())


def _rejects(reasons: Mapping[str, int], chance: random.Random) -> Iterator[str]:
    row = 0
    for reason, count in reasons.items():
        for _ in range(min(count, 40)):
            row += chance.randrange(1, 900)
            hidden = (
                ","
                if reason == "personal_data"
                else f"c0… ({chance.randrange(8, 40)} characters),{row:064x}"
            )
            yield f"{row},{reason},{hidden}"


def _parts(stream: Stream, entry: DeliveryEntry, attempt: str) -> Iterator[Part]:
    files, mode = entry.figures["files"], entry.mode or Mode.SYNC
    for number in range(1, files + 1):
        split = f".{number}" if files > 1 else ""
        lines = entry.figures["lines"] // files + (
            entry.figures["lines"] % files if number == 1 else 0
        )
        yield Part(
            path=f"{attempt}/parts/{number:05}.gz",
            file_name=f"{stream.name}_{entry.timestamp}.{mode}{split}.gz",
            lines=lines,
            bytes=lines * 137,
            compressed_bytes=entry.figures["bytes"] // files,
            sha256=f"{number:064x}",
        )


def _reconciliation(entry: DeliveryEntry, manifest: Manifest) -> dict[str, Any]:
    names, figures = [part.file_name for part in manifest.parts], entry.figures
    counts = {
        "records_received": figures["records_received"],
        "stored_records": figures["stored_records"],
        **figures["failed_records"],
    }
    return {
        "delivery_id": entry.delivery_id,
        "sending": entry.sending.number if entry.sending else 1,
        "concluded_at": entry.since,
        "acknowledged_by": "counted",
        "acknowledged": True,
        "assumed": False,
        "signs": [
            {
                "sign": "receipts",
                "picked_up": len(names),
                "processed": len(names),
                "counted": len(names),
                "figures": {name: counts[name] for name in ("records_received", "stored_records")},
            },
            {
                "sign": "markers",
                "picked_up": len(names),
                "processed": len(names),
                "counted": 0,
                "figures": {},
            },
        ],
        "disagreements": [],
        "problems": [entry.reason] if entry.state is DeliveryState.FAILED else [],
        "verdict": figures["verdict"],
        "counts": counts,
    }
