"""Traits expire, and users who never change keep them all the same."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.commands import Acknowledge, End
from airflow_am_provider.deliveries.target.document import from_text, to_text
from airflow_am_provider.deliveries.target.snapshots import STRAGGLERS_LAST
from airflow_am_provider.deliveries.target.state import DeliveryState, Refreshed
from airflow_am_provider.snapshots.refresh import NEVER, Refresh, TimesToLive, turn_days
from airflow_am_provider.snapshots.user_traits import pairs_of
from tests.snapshots.test_staging_difference import World

if TYPE_CHECKING:
    from airflow_am_provider.snapshots.staging_difference import StagedDifference
    from tests.snapshots.test_staging_difference import State

FIRST = date(2026, 3, 1)
#: Trait 30 expires sooner than the others, trait 99 never.
TTL = TimesToLive(others=120, named={30: 30, 99: 0})
TRAITS = (1, 2, 3, 30, 99)
# What is sent can be used 48 hours later (faq/faq-inbound-data-ingestion.md).
PROCESSING_DAYS = 2
Pair = tuple[str, int]


def ttl_of(trait: int) -> int:
    return TTL.named.get(trait, TTL.others)


@dataclass
class Expiring(World):
    """Audience Manager forgets a trait that was not said for its time to live.

    :ivar said: when each trait of a user was said last in a file that was read.
    :ivar shown: likewise, in a file that was read and acknowledged.
    """

    today: int = 0
    said: dict[Pair, int] = field(default_factory=dict)
    shown: dict[Pair, int] = field(default_factory=dict)
    counts: list[Counter[str]] = field(default_factory=list)

    def run(self, crm: State, ttl: TimesToLive, run: int = 0) -> StagedDifference:
        staged = self.extract(
            crm, self.today * 10 + run, run_day=FIRST + timedelta(days=self.today), ttl=ttl
        )
        counts = staged.counts
        self.counts.append(
            Counter(refreshed=counts.refreshed, added=counts.additions, traits=counts.traits)
        )
        return staged

    def process(self, text: bytes) -> None:
        for pair, has in said_in(text):
            if has:
                self.said[pair] = self.today
            else:
                self.said.pop(pair, None)

    def show(self, text: bytes, sent_on: int) -> None:
        for pair, has in said_in(text):
            if has:
                self.shown[pair] = max(sent_on, self.shown.get(pair, 0))
            else:
                self.shown.pop(pair, None)

    def end(self, staged: StagedDifference, state: DeliveryState) -> None:
        """Without an acknowledgement: rejected, given up, or taken for processed after a time."""
        delivery_id = staged.manifest.delivery_id
        if state is DeliveryState.ABANDONED:
            self.decide(End(delivery_id=delivery_id, at="", state=state, reason="lost"))
        else:
            self.decide(Acknowledge(delivery_id=delivery_id, sending=1, at="", state=state))

    @property
    def audience(self) -> set[Pair]:
        return {
            (user, trait)
            for (user, trait), day in self.said.items()
            if not ttl_of(trait) or self.today - day <= ttl_of(trait)
        }


def said_in(text: bytes) -> list[tuple[Pair, bool]]:
    found = []
    for line in text.decode().splitlines():
        user, items = line.split("\t")
        for item in items.split(","):
            key, trait = item.split("=")
            found.append(((user, int(trait)), key == "d_sid"))
    return found


def pairs(crm: State) -> set[Pair]:
    return {(user, trait) for user, traits in crm.items() for trait in traits}


def changed(random: Random, crm: State) -> State:
    """A day later: most users never change, a few come, go, gain and lose."""
    after = dict(crm)
    for number in random.sample(range(100, 110), 2):
        traits = frozenset(trait for trait in TRAITS if random.random() < 0.5)
        after[f"u{number}"] = traits
    return {user: traits for user, traits in after.items() if traits}


FATES = ("good", "good", "good", "late", "lost", "rejected", "abandoned", "no receipt", "missed",
         "unsent", "twice", "assumed")  # fmt: skip


def simulate(seed: int, ttl: TimesToLive, *, days: int = 200) -> tuple[Expiring, State]:
    """Runs day after day, with fates by a seed.

    The last one is good, and of four in succession one is: a third of the time to live is left for
    what goes wrong, and that of trait 30 is 30 days.
    """
    random, world = Random(seed), Expiring()
    crm: State = {f"u{number}": frozenset(TRAITS) for number in range(20)}
    late: list[tuple[int, StagedDifference, bytes, int]] = []

    def run(fate: str, number: int) -> None:
        staged = world.run(crm, ttl, number)
        if fate == "unsent" or not staged.manifest.parts:
            return
        world.send(staged, is_processed=False)
        text = world.sent[staged.manifest.delivery_id]
        if fate in {"good", "late", "no receipt"}:
            world.process(text)
        if fate == "rejected":
            world.end(staged, DeliveryState.FAILED)
        elif fate == "abandoned":
            world.end(staged, DeliveryState.ABANDONED)
        elif fate == "assumed":
            # And lost: nothing shows it.
            world.end(staged, DeliveryState.ASSUMED)
        elif fate in {"good", "late"}:
            after = random.randint(1, 4) if fate == "late" else 0
            late.append((world.today + after, staged, text, world.today))

    bad = 0
    for world.today in range(days + 1):
        crm = changed(random, crm)
        fate = random.choice(FATES) if 0 < world.today < days and bad < 3 else "good"
        bad = 0 if fate in {"good", "late", "twice"} else bad + 1
        if fate == "twice":
            run(random.choice(("good", "lost")), 1)
        if fate != "missed":
            run("good" if fate == "twice" else fate, 0)
        due = [one for one in late if one[0] <= world.today]
        late = [one for one in late if one[0] > world.today]
        for _, staged, text, sent_on in due:
            world.acknowledge(staged)
            world.show(text, sent_on)
        for (user, trait), day in world.shown.items():
            if ttl is TTL and ttl_of(trait) and trait in crm.get(user, ()):
                assert world.today - day <= ttl_of(trait) - PROCESSING_DAYS, (user, trait, day)
    return world, crm


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long])])
def test_after_200_days_with_all_that_can_happen_nobody_has_lost_a_trait(seed: int) -> None:
    world, crm = simulate(seed, TTL)
    assert world.audience == pairs(crm)
    # No day is a full export.
    assert max(one["refreshed"] / one["traits"] for one in world.counts) < 0.5


def test_without_saying_again_the_same_200_days_lose_most_of_the_audience() -> None:
    world, crm = simulate(0, NEVER)
    kept = world.audience & pairs(crm)
    assert len(kept) < 0.5 * len(pairs(crm))
    assert {trait for user, trait in kept if user == "u7"} == {99}
    assert sum(one["refreshed"] for one in world.counts) == 0


def test_a_day_says_its_share_and_all_days_together_say_each_trait_once() -> None:
    hashes = np.random.default_rng(1).integers(0, 1 << 64, 100_000, np.uint64)
    has = pairs_of(np.arange(len(hashes)), np.full(len(hashes), 1), 1)
    days, said = turn_days(120), np.zeros(len(hashes), int)
    for number in range(1, days + 1):
        refresh = Refresh(
            day=FIRST + timedelta(days=number),
            ttl=TimesToLive(),
            since=(Refreshed(until=str(FIRST + timedelta(number - 1)), turns={"default": days}),),
        )
        due = refresh.due(hashes, has)
        assert due.mean() == pytest.approx(1 / days, rel=0.15)
        said += due
    assert (said == 1).all()


def test_a_dag_that_runs_once_a_month_loses_nothing_either() -> None:
    world = Expiring()
    crm: State = {f"u{number}": frozenset({1, 2}) for number in range(50)}
    for world.today in range(0, 500, 31):
        assert not world.today or world.audience == pairs(crm)
        staged = world.run(crm, TimesToLive())
        world.send(staged)
        world.acknowledge(staged)


class TestTurns:
    """By few users, and the day is all that moves."""

    CRM: ClassVar[State] = {f"u{number}": frozenset({1}) for number in range(120)}

    def start(self, ttl: TimesToLive = TTL) -> Expiring:
        world = Expiring()
        self.deliver(world, ttl)
        return world

    def deliver(self, world: Expiring, ttl: TimesToLive = TTL) -> int:
        staged = world.run(self.CRM, ttl)
        world.send(staged)
        world.acknowledge(staged)
        return staged.counts.refreshed

    def test_missed_days_are_made_up_for(self) -> None:
        one_by_one, at_once = self.start(), self.start()
        shares = []
        for one_by_one.today in range(1, 11):
            shares.append(self.deliver(one_by_one))
        at_once.today = 10
        assert self.deliver(at_once) == sum(shares) > 5

    def test_a_second_run_of_a_day_has_nothing_to_say(self) -> None:
        world = self.start()
        world.today = 20
        assert self.deliver(world) > 0
        assert self.deliver(world) == 0

    @pytest.mark.parametrize("fate", ["unsent", DeliveryState.FAILED, DeliveryState.ABANDONED])
    def test_what_was_not_acknowledged_has_its_turn_again(self, fate: str | DeliveryState) -> None:
        world = self.start()
        world.today = 20
        lost = world.run(self.CRM, TTL)
        if isinstance(fate, DeliveryState):
            world.send(lost, is_processed=False)
            world.end(lost, fate)
        again = world.run(self.CRM, TTL, 1)
        assert again.counts.refreshed == lost.counts.refreshed > 10
        assert again.manifest.delivery_id != lost.manifest.delivery_id

    def test_what_is_assumed_has_its_turn_for_three_extracts_more(self) -> None:
        world = self.start()
        world.today = 20
        shares = []
        for run in range(STRAGGLERS_LAST + 2):
            staged = world.run(self.CRM, TTL, run)
            shares.append(staged.counts.refreshed)
            if staged.manifest.parts:
                world.send(staged)
                world.end(staged, DeliveryState.ASSUMED)
        assert len(set(shares[:-1])) == 1
        assert shares[0] > 10
        assert shares[-1] == 0

    def test_a_run_of_an_earlier_day_says_nothing_and_takes_nothing_back(self) -> None:
        world = self.start()
        world.today = 20
        self.deliver(world)
        world.today = 10
        gone = dict(list(self.CRM.items())[1:])
        staged = world.run(gone, TTL)
        assert (staged.counts.refreshed, staged.counts.removals) == (0, 1)
        world.send(staged)
        world.acknowledge(staged)
        world.today = 20
        assert world.run(gone, TTL).counts.refreshed == 0

    def test_a_retried_task_stages_the_same_delivery_on_whatever_day(self) -> None:
        world = self.start()
        world.today = 20
        first = world.run(self.CRM, TTL)
        world.now += timedelta(days=3)
        assert world.run(self.CRM, TTL).manifest == first.manifest

    def test_a_user_has_one_line_for_what_is_added_and_what_is_said_again(self) -> None:
        world = self.start()
        world.today = 200
        staged = world.run({"u1": frozenset({1, 2}), "u2": frozenset()}, TTL)
        lines = world.text(staged)
        assert lines[:2] == ["u0\td_unsid=1", "u1\td_sid=1,d_sid=2"]
        assert (staged.counts.additions, staged.counts.refreshed) == (1, 1)

    def test_what_is_said_again_is_no_removal_and_no_growth(self) -> None:
        world = self.start()
        world.today = 200
        staged = world.run(self.CRM, TTL)
        assert staged.counts.refreshed == staged.counts.traits == len(self.CRM)
        assert staged.counts.traits_lost == (0,)
        assert staged.manifest.rows_written == len(self.CRM)
        extract = world.series.basis().series.in_force[-1]
        assert extract.counts["refreshed"] == len(self.CRM)

    def test_another_time_to_live_says_the_trait_once_and_then_by_turns(self) -> None:
        world = self.start()
        world.today = 1
        assert self.deliver(world, replace(TTL, named={1: 30})) == len(self.CRM)
        world.today = 2
        assert 0 < self.deliver(world, replace(TTL, named={1: 30})) < 30

    def test_when_it_was_never_said_again_all_is_said_once(self) -> None:
        world = self.start(NEVER)
        world.today = 1
        assert self.deliver(world) == len(self.CRM)

    def test_a_document_that_says_nothing_of_turns_is_read_and_all_is_said_once(self) -> None:
        world = self.start()
        document = json.loads(to_text(world.series.target.state(), "beta/acme", "478"))
        del document["snapshots"][world.series.location]["acknowledged"]["refreshed"]
        before = from_text(json.dumps(document).encode(), "here")
        refresh = Refresh.of(before.snapshots[world.series.location], FIRST, TTL)
        hashes = np.arange(3, dtype=np.uint64)
        assert refresh.due(hashes, pairs_of(np.arange(3), np.ones(3, int), 1)).all()

    def test_a_long_silence_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        world = self.start()
        world.today = 41
        world.run(self.CRM, TTL)
        assert "had the turns up to 2026-03-01, 41 days before this run" in caplog.text


def test_the_document_keeps_turns() -> None:
    world = TestTurns().start()
    state = world.series.target.state()
    assert from_text(to_text(state, "beta/acme", "478"), "here") == state
    known = state.snapshots[world.series.location].acknowledged
    assert known is not None
    assert known.refreshed == (
        Refreshed(until="2026-03-01", turns={"default": 80, "30": 20, "99": 0}),
    )


class TestTimesToLive:
    @pytest.mark.parametrize("value", [0, "0", None, "None", ""])
    def test_never(self, value: object) -> None:
        assert TimesToLive.parse("trait_ttl_days", value) == NEVER

    def test_by_trait_with_and_without_a_default(self) -> None:
        parse = TimesToLive.parse
        assert parse("trait_ttl_days", "60") == TimesToLive(others=60)
        assert parse("trait_ttl_days", {"default": 60, 24: "7"}) == TimesToLive(
            others=60, named={24: 7}
        )

    @pytest.mark.parametrize("value", [-1, 1.5, True, "soon", {"default": "x"}, {24: -1}])
    def test_no_number_of_days(self, value: object) -> None:
        with pytest.raises(ConfigurationError, match="is not a number of days"):
            TimesToLive.parse("trait_ttl_days", value)

    @pytest.mark.parametrize("trait", ["gold", "-1", str(1 << 32)])
    def test_no_trait(self, trait: str) -> None:
        with pytest.raises(ConfigurationError, match="is neither a trait ID"):
            TimesToLive.parse("trait_ttl_days", {trait: 30})

    @pytest.mark.parametrize("ttl", range(5, 400))
    def test_turns_leave_time_for_processing(self, ttl: int) -> None:
        assert 1 <= turn_days(ttl) <= ttl - 4
