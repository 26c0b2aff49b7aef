"""Extracts one after the other, whatever becomes of their deliveries."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.cleaning import clean
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.staging import DeliveryContext
from airflow_am_provider.deliveries.target.commands import (
    Acknowledge,
    Begin,
    Command,
    Complete,
    Enqueue,
    OnOlder,
    Stage,
)
from airflow_am_provider.deliveries.target.snapshots import STRAGGLERS_LAST
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.snapshots.comparison import MOST_STATES
from airflow_am_provider.snapshots.difference import DiffOptions
from airflow_am_provider.snapshots.series import SnapshotSeries
from airflow_am_provider.snapshots.staging_difference import StagedDifference, stage_difference
from airflow_am_provider.storage import LocalFolder
from tests.examples import examples
from tests.formatting.memory_folder import memory_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_am_provider.storage import Folder

SPEC = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))
START = datetime(2026, 3, 1, tzinfo=UTC)
State = dict[str, frozenset[int]]


@dataclass
class World:
    """A staging location, and an Audience Manager that tests decide about."""

    targets: Targets = field(default_factory=memory_targets)
    profiles: dict[str, set[int]] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    now: datetime = START

    @property
    def staging(self) -> Any:
        return self.targets.staging

    @property
    def series(self) -> SnapshotSeries:
        return SnapshotSeries.of(self.targets, "beta/acme", SPEC, "customers")

    def decide(self, command: Command) -> None:
        self.series.target.decide(command)

    def extract(
        self,
        state: State,
        day: int = 0,
        *,
        broken: tuple[str, ...] = (),
        meanwhile: Callable[[], object] | None = None,
        **options: Any,
    ) -> StagedDifference:
        """Run the task of a day on a CRM that is in this state."""
        self.now += timedelta(seconds=7)

        def read() -> Iterator[pa.RecordBatch]:
            if meanwhile is not None:
                meanwhile()
            rows = [(user, ",".join(map(str, sorted(traits)))) for user, traits in state.items()]
            rows += [(user, "what?") for user in broken]
            columns = list(zip(*rows, strict=True)) or [(), ()]
            arrays = [pa.array(column, pa.string()) for column in columns]
            yield pa.RecordBatch.from_arrays(arrays, ["id", "traits"])

        return stage_difference(
            read,
            SPEC,
            FormatOptions(max_set_aside=1.0),
            DiffOptions(max_removed=options.pop("max_removed", 1.0)),
            series=self.series,
            context=DeliveryContext(destination="beta/acme", run=f"daily/{day}"),
            now=self.now,
            **options,
        )

    def send(self, staged: StagedDifference, *, is_processed: bool = True) -> None:
        """Upload: what was sent once is not sent again."""
        manifest = staged.manifest
        if not manifest.parts or manifest.delivery_id in self.sent:
            return
        text = b"".join(
            gzip.decompress(self.staging.read_bytes(part.path) or b"") for part in manifest.parts
        )
        self.sent[manifest.delivery_id] = text
        self.begin(manifest.delivery_id)
        self.decide(Complete(delivery_id=manifest.delivery_id, sending=1, at=""))
        if is_processed:
            self.process(text)

    def begin(self, delivery_id: str) -> None:
        self.decide(Enqueue(delivery_id=delivery_id, at="", on_older=OnOlder.SEND))
        self.decide(
            Begin(delivery_id=delivery_id, url="s3://beta", day="2026-03-01", at="", in_order=False)
        )

    def process(self, text: bytes) -> None:
        """Read a file."""
        for line in text.decode().splitlines():
            user, items = line.split("\t")
            for item in items.split(","):
                key, trait = item.split("=")
                traits = self.profiles.setdefault(user, set())
                (traits.add if key == "d_sid" else traits.discard)(int(trait))

    def acknowledge(self, staged: StagedDifference) -> None:
        if staged.manifest.parts:
            target, delivery_id = self.series.target, staged.manifest.delivery_id
            target.decide(
                lambda state: Acknowledge(
                    delivery_id=delivery_id,
                    sending=1,
                    at="",
                    state=DeliveryState.RECONCILED,
                    closed=target.closed(delivery_id, state),
                )
            )

    def deliver(self, state: State, day: int) -> StagedDifference:
        staged = self.extract(state, day)
        self.send(staged)
        self.acknowledge(staged)
        return staged

    def text(self, staged: StagedDifference) -> list[str]:
        self.send(staged, is_processed=False)
        return sorted(self.sent[staged.manifest.delivery_id].decode().splitlines())

    def overwrite(self, state: State) -> None:
        """Another task sends everybody's traits."""
        delivery_id = f"overwrite{len(self.sent)}"
        self.decide(
            Stage(
                content_id=delivery_id,
                folder="deliveries/data",
                name="ftp_dpm_478",
                now=int(self.now.timestamp()),
                at="",
                mode=Mode.OVERWRITE,
                removes=True,
                series="monthly/format",
                subject=delivery_id,
            )
        )
        self.begin(delivery_id)
        self.sent[delivery_id] = b""
        self.profiles = {user: set(traits) for user, traits in state.items()}

    @property
    def state(self) -> State:
        return {user: frozenset(traits) for user, traits in self.profiles.items() if traits}

    @property
    def snapshots(self) -> list[str]:
        return [e.path for e in self.staging.list("snapshots/") if e.path.endswith(".parquet")]


def crm(random: Random, before: State) -> State:
    """A CRM a day later."""
    users = [f"u{n}" for n in range(random.choice((0, 3, 8)))]
    if random.random() < 0.2:
        return before
    return {
        user: before.get(user, frozenset())
        if random.random() < 0.5
        else frozenset(trait for trait in range(4) if random.random() < 0.5)
        for user in users
        if random.random() < 0.8
    }


FATES = (
    "acknowledged",
    "processed",
    "lost",
    "staged",
    "failed",
    "late",
    "again",
    "overtaken",
    "overwritten",
)


@settings(
    max_examples=examples(80), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(seed=st.integers(0, 2**32), fates=st.lists(st.sampled_from(FATES), max_size=14))
def test_whatever_became_of_deliveries_the_last_one_makes_it_right(
    seed: int, fates: list[str]
) -> None:
    random, world = Random(seed), World()
    state: State = {}
    extracted: State = {}
    late: list[StagedDifference] = []
    overtaken = b""
    for day, fate in enumerate(fates):
        state = crm(random, state)
        if fate == "failed":
            with pytest.raises(RuntimeError):
                world.extract(state, day, meanwhile=_stop)
            continue
        staged, extracted = world.extract(state, day), state
        if fate == "again":
            # The worker dies before it can tell what it staged.
            again = world.extract(state, day)
            assert again.manifest.delivery_id == staged.manifest.delivery_id
            assert again.manifest.parts == staged.manifest.parts
        if fate == "staged":
            continue
        world.send(staged, is_processed=fate not in {"lost", "overtaken"})
        if fate in {"acknowledged", "again", "overwritten"}:
            world.acknowledge(staged)
        elif fate == "late":
            late.append(staged)
        elif random.random() < 0.3 and late:
            world.acknowledge(late.pop())
        if overtaken:
            world.process(overtaken)
            overtaken = b""
        elif fate == "overtaken":
            overtaken = world.sent.get(staged.manifest.delivery_id, b"")
        elif fate != "lost":
            assert world.state == some(state)
        if fate == "overwritten":
            # With some of what was extracted; and it is processed before what comes after it.
            world.process(overtaken)
            overtaken = b""
            world.overwrite(
                {
                    user: frozenset(t for t in traits if random.random() < 0.5)
                    for user, traits in extracted.items()
                }
            )
    world.process(overtaken)
    state = crm(random, state)
    world.deliver(state, len(fates))
    assert world.state == some(state)
    # What was never acknowledged may still come, so all may be said once more.
    for day in range(90, 91 + STRAGGLERS_LAST):
        world.deliver(state, day)
    assert world.extract(state, 99).manifest.parts == ()
    assert world.state == some(state)


def some(state: State) -> State:
    """Users who have any trait."""
    return {user: traits for user, traits in state.items() if traits}


def _stop() -> None:
    raise RuntimeError


@settings(
    max_examples=examples(40), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(seed=st.integers(0, 2**32), fates=st.lists(st.booleans(), max_size=8))
def test_users_with_a_broken_row_keep_what_they_had(seed: int, fates: list[bool]) -> None:
    random, world = Random(seed), World()
    wanted: State = {}
    for day, is_acknowledged in enumerate([*fates, True]):
        state = crm(random, wanted)
        broken = tuple(f"u{n}" for n in range(8) if random.random() < 0.3)
        wanted = {
            user: state.get(user, frozenset())
            | (wanted.get(user, frozenset()) if user in broken else frozenset())
            for user in {*state, *broken}
        }
        staged = world.extract(state, day, broken=broken)
        world.send(staged)
        if is_acknowledged:
            world.acknowledge(staged)
    assert world.state == some(wanted)


ONE: State = {"ann": frozenset({1})}
TWO: State = {"ann": frozenset({2}), "bob": frozenset({1})}


def test_the_same_again_is_the_same_delivery_and_leaves_nothing_behind() -> None:
    world = World()
    world.deliver(ONE, 1)
    first = world.extract(TWO, 2)
    files = set(world.staging.files)
    again = world.extract(TWO, 2)
    assert again.manifest == first.manifest
    assert set(world.staging.files) == files
    assert first.snapshot in world.snapshots
    assert world.series.basis().series.last_number == 2
    assert first.counts.removals == 1


def test_a_change_back_is_sent_again_though_the_same_lines_were_sent_before() -> None:
    world = World()
    world.deliver({}, 0)
    there = world.deliver(ONE, 1)
    back = world.deliver({}, 2)
    again = world.deliver(ONE, 1)
    assert world.text(again) == world.text(there) == ["ann\td_sid=1"]
    assert again.manifest.delivery_id != there.manifest.delivery_id
    assert back.counts.removals == 1
    assert world.state == ONE


def test_a_change_back_before_anything_is_acknowledged_is_sent_again_too() -> None:
    world = World()
    world.deliver({"bob": frozenset({1})}, 0)
    for day, state in ((1, ONE), (2, TWO), (1, ONE), (2, TWO), (1, ONE)):
        world.send(world.extract(state, day))
        assert world.state == state


def test_nothing_changed_makes_no_delivery_and_no_snapshot() -> None:
    world = World()
    world.deliver(ONE, 1)
    before = world.snapshots
    staged = world.extract(ONE, 2)
    assert (staged.manifest.parts, staged.snapshot) == ((), None)
    assert staged.counts.rows_unchanged == staged.manifest.rows_written == 1
    assert world.snapshots == before
    assert world.text(world.deliver(TWO, 3)) == ["ann\td_sid=2,d_unsid=1", "bob\td_sid=1"]


def test_of_two_at_once_the_slower_one_extracts_again() -> None:
    world = World()
    world.deliver(ONE, 1)
    before: set[str] = set()

    def other_run() -> None:
        world.send(world.extract(TWO, 2))
        before.update(world.staging.files)

    with pytest.raises(TransientError, match="another task has compared the same extract"):
        world.extract({"cem": frozenset({3})}, 3, meanwhile=other_run)
    assert set(world.staging.files) == before
    world.send(world.extract({}, 3))
    assert world.state == {}


def test_a_name_of_its_own_is_a_series_of_its_own() -> None:
    world = World()
    series = [
        SnapshotSeries.of(world.targets, *facts).location
        for facts in (
            ("beta/acme", SPEC, "customers"),
            ("beta/acme", SPEC, "apps"),
            ("production/acme", SPEC, "customers"),
            ("beta/acme", DataFileSpec(dpid=479, id_column="id", traits_columns=("t",)), "x"),
        )
    ]
    assert max(Counter(series).values()) == 1
    other = DataFileSpec(dpid=478, id_column="key", traits_columns=("t",), trait_flags={"a": 1})
    assert SnapshotSeries.of(world.targets, "beta/acme", other, "customers").location == series[0]


class TestWhatIsKept:
    def test_the_acknowledged_one_and_those_after_it(self) -> None:
        world = World()
        kept = []
        for day in range(6):
            staged = world.deliver({"ann": frozenset({day})}, day)
            kept.append(staged.snapshot)
        # The task that comes next sees the last acknowledgement.
        world.extract({"ann": frozenset({9})}, 9)
        assert set(kept) & set(world.snapshots) == set(kept[-2:])
        assert world.series.basis().series.last_number == 7

    def test_no_more_than_a_few_when_nothing_is_ever_acknowledged(self) -> None:
        world = World()
        for day in range(40):
            state = {"ann": frozenset({day})}
            world.send(world.extract(state, day))
            assert world.state == state
        assert len(world.snapshots) <= 2 * MOST_STATES + 1

    def test_what_a_killed_task_left_goes_too(self) -> None:
        world = World()
        world.staging.write_bytes(world.series.new_path(START), b"left")
        for day in range(4):
            world.deliver({"ann": frozenset({day})}, day)
        assert all(world.staging.files[path] != b"left" for path in world.snapshots)


class TestOverwrittenMeanwhile:
    """By another task, whose traits of the same target are these as well."""

    def test_all_is_said_once_more(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        world.deliver(ONE, 1)
        world.overwrite({})
        with caplog.at_level("INFO"):
            staged = world.deliver(TWO, 2)
        assert world.text(staged) == ["ann\td_sid=2,d_unsid=1", "bob\td_sid=1"]
        assert "may have taken everything away" in caplog.text
        assert world.extract(TWO, 3).manifest.parts == ()

    def test_also_while_the_extract_is_read(self) -> None:
        world = World()
        world.deliver(TWO, 1)
        three = {**TWO, "ann": frozenset({3})}
        # It goes before the difference, which was compared with what it took away.
        staged = world.extract(three, 2, meanwhile=lambda: world.overwrite({}))
        world.send(staged)
        world.acknowledge(staged)
        assert world.state == {"ann": {3}}
        world.deliver(three, 3)
        assert world.state == three

    def test_before_anything_was_acknowledged_it_is_no_matter(self) -> None:
        world = World()
        world.overwrite({})
        assert world.text(world.extract(ONE, 1)) == ["ann\td_sid=1"]


class TestWhatIsGoneOrDamaged:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        world.deliver(ONE, 1)
        world.send(world.extract(TWO, 2))
        return world

    def test_the_newest_snapshot(self, world: World) -> None:
        world.staging.delete(world.series.basis().series.in_force[-1].path)
        with pytest.raises(DataError, match=r"snapshots/.*\.parquet: the newest snapshot is gone"):
            world.extract(ONE, 3)

    def test_an_older_one_is_stood_in_for_by_the_newest(self, world: World) -> None:
        known = world.series.basis().series.acknowledged
        assert known is not None
        world.staging.delete(known.path)
        staged = world.extract(ONE, 3)
        assert world.text(staged) == ["ann\td_sid=1,d_unsid=2", "bob\td_unsid=1"]


def test_on_a_real_folder_and_a_real_bucket(folder: Folder) -> None:
    world = World(targets=Targets(folder))
    world.deliver(ONE, 1)
    world.send(world.extract({}, 2), is_processed=False)
    assert world.extract(TWO, 3).manifest == world.extract(TWO, 3).manifest
    staged = world.deliver(TWO, 3)
    assert world.text(staged) == ["ann\td_sid=2,d_unsid=1", "bob\td_sid=1"]
    assert world.state == TWO
    world.deliver(ONE, 4)
    world.deliver(TWO, 5)
    # A bucket tells times to the second, so old ones of the same second may stay a little longer.
    series = world.series.basis().series
    assert series.acknowledged is not None
    assert {series.acknowledged.path, series.before} <= set(world.snapshots)
    assert len(world.snapshots) <= 5


@pytest.mark.parametrize(
    ("found", "is_acknowledged"),
    [
        (None, False),
        ({"acknowledged": True, "verdict": "reconciled"}, True),
        ({"acknowledged": True, "verdict": "shared"}, True),
        ({"acknowledged": False, "verdict": "pending"}, False),
        ({"acknowledged": True, "verdict": "discrepant", "problems": ["2 lost"]}, False),
        ({"acknowledged": True, "verdict": "reconciled", "problems": ["over a limit"]}, False),
    ],
)
def test_only_what_was_processed_well_is_a_base(
    found: dict[str, object] | None, is_acknowledged: bool
) -> None:
    world = World()
    staged = world.extract(ONE, 1)
    world.send(staged)
    records = DeliveryRecords(world.targets)
    if found is not None:
        records.record_reconciliation(records.find(staged.manifest.delivery_id), 1, found)
    series = world.series.basis().series
    assert (series.acknowledged is not None) is is_acknowledged
    assert len(series.in_force) == (not is_acknowledged)


class TestTheLimitOnRemovals:
    """It is held against each snapshot that may be in force, whichever loses more."""

    def users(self, count: int) -> State:
        return {f"u{n:03}": frozenset({1}) for n in range(count)}

    def test_extracts_that_were_given_up_before_they_were_sent_do_not_lower_it(self) -> None:
        world = World()
        world.deliver(self.users(100), 0)
        staged = world.extract(self.users(81), 1, max_removed=0.2)
        self.abandon(world, staged)
        with pytest.raises(DataError, match=r"34 of 100 traits .* max_removed allows 20.00%"):
            world.extract(self.users(66), 2, max_removed=0.2)

    def test_nor_do_those_that_are_not_sent_yet(self) -> None:
        world = World()
        world.deliver(self.users(100), 0)
        world.extract(self.users(81), 1, max_removed=0.2)
        with pytest.raises(DataError, match=r"34 of 100 traits"):
            world.extract(self.users(66), 2, max_removed=0.2)

    def test_what_may_have_left_counts_as_well(self) -> None:
        world = World()
        world.deliver(self.users(10), 0)
        self.abandon(world, world.extract(self.users(100), 1), is_sent=True)
        with pytest.raises(DataError, match=r"90 of 100 traits"):
            world.extract(self.users(10), 2, max_removed=0.2)

    def abandon(self, world: World, staged: StagedDifference, *, is_sent: bool = False) -> None:
        if is_sent:
            world.send(staged)
        records = DeliveryRecords(world.targets)
        delivery_id = staged.manifest.delivery_id
        records.end(delivery_id, DeliveryState.ABANDONED, "the CRM was wrong")


def test_what_was_given_up_and_is_processed_late_is_made_right() -> None:
    world = World()
    world.deliver({"ann": frozenset({1})}, 0)
    late = world.extract(TWO, 1)
    world.send(late, is_processed=False)
    TestTheLimitOnRemovals().abandon(world, late)
    for day in range(2, 5):
        world.deliver(ONE, day)
    world.process(world.sent[late.manifest.delivery_id])
    world.deliver(ONE, 5)
    assert world.state == ONE


@pytest.mark.parametrize("off", [timedelta(days=400), timedelta(days=-400)])
def test_a_clock_that_was_ahead_while_staging_changes_no_order(off: timedelta) -> None:
    world = World()
    world.deliver(ONE, 1)
    world.now += off
    odd = world.extract(TWO, 2)
    world.now -= off
    world.send(odd)
    world.acknowledge(odd)
    world.deliver(ONE, 3)
    assert world.state == ONE


def test_cleaning_leaves_the_base_of_the_next_difference(tmp_path: Path) -> None:
    world = World(targets=Targets(LocalFolder(tmp_path)))
    world.deliver(ONE, 1)
    world.send(world.extract(TWO, 2), is_processed=False)
    cleaned = clean(world.targets, timedelta(days=1), now=datetime.now(UTC) + timedelta(days=1000))
    assert cleaned.unacknowledged == 1
    staged = world.deliver(ONE, 3)
    assert world.text(staged) != []
    assert world.state == ONE
