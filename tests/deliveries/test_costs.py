"""What decisions cost: as much after many deliveries of a target as after a few."""

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.queue_gate import QueueGate
from airflow_am_provider.deliveries.target import history
from airflow_am_provider.deliveries.target.commands import (
    Acknowledge,
    Begin,
    Complete,
    End,
    Enqueue,
    OnOlder,
    Stage,
)
from airflow_am_provider.deliveries.target.decide import decide
from airflow_am_provider.deliveries.target.events import Refused
from airflow_am_provider.deliveries.target.homes import Loaded
from airflow_am_provider.deliveries.target.queries import to_follow
from airflow_am_provider.deliveries.target.state import DeliveryEntry, DeliveryState, TargetState
from airflow_am_provider.deliveries.target.target import Target
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.window import Window
from tests.formatting.memory_folder import MemoryFolder, MemoryHome
from tests.staged_deliveries import send, stage

_PAGE = 50


def _live(targets: Targets, number: int) -> None:
    """A delivery's life: staged, waiting for one look, sent, acknowledged."""
    manifest = stage(
        targets,
        {"ftp_dpm_478_1366545717.sync.gz": b"%d" % number},
        delivery_id=f"d{number}",
        removes=True,
        window=(f"{2000 + number}-01-01T00:00:00+00:00", f"{2001 + number}-01-01T00:00:00+00:00"),
    )
    assert QueueGate(targets=targets, manifest=manifest).waits_for() == []
    send(targets, manifest, in_order=True)
    targets.of(manifest).decide(
        Acknowledge(
            delivery_id=manifest.delivery_id, sending=1, at="", state=DeliveryState.RECONCILED
        )
    )


def test_a_delivery_costs_the_same_after_150_as_after_a_few() -> None:
    asked: Counter[str] = Counter()

    class Counted(MemoryHome):
        def load(self, key: str) -> Loaded | None:
            asked["read"] += 1
            return super().load(key)

        def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
            asked["write"] += 1
            return super().store(key, content, if_version=if_version)

    targets = Targets(MemoryFolder(), Counted())
    costs = []
    for number in range(150 + _PAGE):
        before = asked.copy()
        _live(targets, number)
        costs.append(asked - before)
    # A page of history is written now and then: what fifty deliveries cost, whenever they come.
    early, late = (sum(costs[at : at + _PAGE], Counter()) for at in (_PAGE, 150))
    assert early == late
    assert late.total() <= 23 * _PAGE
    assert max(cost.total() for cost in costs) <= 31


def test_a_replay_reads_no_more_history_than_is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE", 10)
    asked: list[str] = []

    class Counted(MemoryHome):
        def load(self, key: str) -> Loaded | None:
            asked.append(key)
            return super().load(key)

    targets = Targets(MemoryFolder(), Counted())
    for number in range(60):
        _live(targets, number)
    target = next(targets.all())
    read = []
    for number in (59, 52, 39, 2):
        late = _late(target, window_end=f"{2001 + number}-01-01T00:00:00+00:00")
        asked.clear()
        newer = to_follow(late, target.deliveries(newer_than=late))
        assert len(newer) == 59 - number
        read.append(sum("/history/" in key for key in asked))
    assert read == [0, 0, 1, 5]


def test_what_is_left_out_of_history_is_never_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE", 2)
    for seed in range(20):
        chance = random.Random(seed)
        targets = Targets(MemoryFolder(), MemoryHome())
        target = targets.named("production/acme", "478")
        for number in range(30):
            _random_life(target, chance, number)
        everything = list(target.deliveries())
        for late in everything:
            found = [one.delivery_id for one in to_follow(late, target.deliveries(newer_than=late))]
            wanted = [one.delivery_id for one in to_follow(late, everything)]
            assert found == wanted, f"seed {seed}, {late.title}"


def _random_life(target: Target, chance: random.Random, number: int) -> None:
    """A delivery of either mode, with a window or without, of any day; how far it comes is open."""
    day = chance.choice((None, chance.randrange(1, 29)))
    mode = chance.choice((Mode.SYNC, Mode.SYNC, Mode.OVERWRITE))
    end = None if day is None else f"2026-03-{day:02}T00:00:00+0{chance.randrange(3)}:00"
    content_id, subject = (
        chance.choice((f"d{number}", f"again{day}{mode}")),
        f"{mode} {day or number}",
    )
    removes = chance.random() < 0.7

    def command(state: TargetState) -> Stage:
        known = target.versions(subject)
        return Stage(
            content_id=content_id,
            folder="deliveries/data",
            name="ftp_dpm_478",
            now=number,
            at="",
            mode=mode,
            removes=removes,
            series=f"{mode}/format",
            subject=subject,
            window=Window.parse(None, end),
            latest=known.latest,
            latest_left=known.latest_left,
            known=target.closed(content_id, state),
        )

    with suppress(Refused):
        entry = target.decide(command).entry
        assert entry is not None
        delivery_id = entry.delivery_id
        for step in (
            Enqueue(delivery_id=delivery_id, at="", on_older=OnOlder.REPLAY),
            Begin(delivery_id=delivery_id, url="s3://b", day="", at="", in_order=False),
            Complete(delivery_id=delivery_id, sending=1, at=""),
            Acknowledge(delivery_id=delivery_id, sending=1, at="", state=DeliveryState.RECONCILED),
        ):
            if chance.random() < 0.1:
                ended = DeliveryState.ABANDONED
                target.decide(End(delivery_id=delivery_id, at="", state=ended, reason="lost"))
            target.decide(step)


def _late(target: Target, *, window_end: str) -> DeliveryEntry:
    """The entry of a delivery that is staged now, of older rows."""
    entry = next(target.deliveries())
    return replace(
        entry,
        delivery_id="late",
        subject="late",
        window=Window.parse(None, window_end),
        staged=target.state().sequence + 1,
    )


def test_however_many_are_staged_in_one_second_each_has_a_name() -> None:
    # Each mode has every other second, so the last name is two seconds a delivery ahead, no more.
    state, given = TargetState(), []
    for number in range(1001):
        command = Stage(
            content_id=f"d{number}",
            folder="deliveries/data",
            name="ftp_dpm_478",
            now=1_366_545_717,
            at="",
            mode=Mode.SYNC,
            removes=False,
            series="daily/format",
            subject=f"run {number}",
        )
        state, event = decide(state, command)
        assert event.entry is not None
        given.append(event.entry.timestamp)
    assert given == list(range(1_366_545_717, 1_366_545_717 + 2 * 1001, 2))
