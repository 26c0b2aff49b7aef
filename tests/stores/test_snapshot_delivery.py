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
from airflow_am_provider.audience_manager.ordering import Turn
from airflow_am_provider.formatting.comparison import MOST_STATES
from airflow_am_provider.formatting.data_lines import DataFileSpec
from airflow_am_provider.formatting.delivery import Scope
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.formatting.snapshot_diff import DiffOptions
from airflow_am_provider.stores.deliveries import DeliveryRecords
from airflow_am_provider.stores.lanes import Lane
from airflow_am_provider.stores.snapshot_delivery import StagedDifference, stage_difference
from airflow_am_provider.stores.snapshot_series import RecordedDeliveries, SnapshotSeries
from tests.deliveries import stage
from tests.formatting.memory_folder import MemoryFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_am_provider.stores import Folder

SPEC = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))
START = datetime(2026, 3, 1, tzinfo=UTC)
State = dict[str, frozenset[int]]


@dataclass
class World:
    """A staging location, and an Audience Manager that tests decide about."""

    staging: Folder = field(default_factory=MemoryFolder)
    known: set[str] = field(default_factory=set)
    profiles: dict[str, set[int]] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    now: datetime = START

    @property
    def series(self) -> SnapshotSeries:
        return SnapshotSeries.of(self.staging, "beta/acme", SPEC, "customers")

    def is_acknowledged(self, delivery_id: str) -> bool:
        return delivery_id in self.known

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
            self.staging,
            FormatOptions(max_set_aside=1.0),
            DiffOptions(max_removed=options.pop("max_removed", 1.0)),
            series=self.series,
            deliveries=self,
            scope=Scope(destination="beta/acme", run=f"daily/{day}"),
            now=self.now,
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
        if is_processed:
            self.process(text)

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
            self.known.add(staged.manifest.delivery_id)

    def deliver(self, state: State, day: int) -> StagedDifference:
        staged = self.extract(state, day)
        self.send(staged)
        self.acknowledge(staged)
        return staged

    def text(self, staged: StagedDifference) -> list[str]:
        self.send(staged, is_processed=False)
        return sorted(self.sent[staged.manifest.delivery_id].decode().splitlines())

    @property
    def lane(self) -> Lane:
        return Lane(self.staging, "beta/acme", "478")

    def overwrite(self, state: State) -> None:
        """Another task sends everybody's traits."""
        turn = Turn(
            number=0,
            delivery_id=f"overwrite{len(self.lane.numbers()) + 1}",
            location="",
            name="ftp_dpm_478",
            mode=Mode.OVERWRITE,
            removes=True,
        )
        self.lane.take(turn, lambda _: None)
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


@settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
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
    world.deliver(state, 98)
    assert world.extract(state, 99).manifest.parts == ()
    assert world.state == some(state)


def some(state: State) -> State:
    """Users who have any trait."""
    return {user: traits for user, traits in state.items() if traits}


def _stop() -> None:
    raise RuntimeError


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
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
    assert (again.manifest, again.record) == (first.manifest, first.record)
    assert set(world.staging.files) == files
    assert first.record is not None
    assert first.record.number == 2
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
    assert (staged.manifest.parts, staged.record) == ((), None)
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

    with pytest.raises(TransientError, match="another task has made a snapshot"):
        world.extract({"cem": frozenset({3})}, 3, meanwhile=other_run)
    assert set(world.staging.files) == before
    world.send(world.extract({}, 3))
    assert world.state == {}


def test_a_name_of_its_own_is_a_series_of_its_own() -> None:
    world = World()
    series = [
        SnapshotSeries.of(world.staging, *facts).location
        for facts in (
            ("beta/acme", SPEC, "customers"),
            ("beta/acme", SPEC, "apps"),
            ("production/acme", SPEC, "customers"),
            ("beta/acme", DataFileSpec(dpid=479, id_column="id", traits_columns=("t",)), "x"),
        )
    ]
    assert max(Counter(series).values()) == 1
    other = DataFileSpec(dpid=478, id_column="key", traits_columns=("t",), trait_flags={"a": 1})
    assert SnapshotSeries.of(world.staging, "beta/acme", other, "customers").location == series[0]


class TestWhatIsKept:
    def test_the_acknowledged_one_and_those_after_it(self) -> None:
        world = World()
        kept = []
        for day in range(6):
            staged = world.deliver({"ann": frozenset({day})}, day)
            kept.append(staged.record.path)
        # The task that comes next sees the last acknowledgement.
        world.extract({"ann": frozenset({9})}, 9)
        assert set(kept) & set(world.snapshots) == set(kept[-2:])
        assert len(list(world.staging.list(f"{world.series.location}/records/"))) == 7

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
        assert "may have taken everything away (delivery overwrite1)" in caplog.text
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
        assert world.extract(ONE, 1).record.bases == (None,)


class TestWhatIsGoneOrDamaged:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        world.deliver(ONE, 1)
        world.send(world.extract(TWO, 2))
        return world

    def test_the_newest_snapshot(self, world: World) -> None:
        world.staging.delete(world.series.basis(world, world.lane).newest.path)
        with pytest.raises(DataError, match=r"snapshots/.*\.parquet: the newest snapshot is gone"):
            world.extract(ONE, 3)

    def test_an_older_one_is_stood_in_for_by_the_newest(self, world: World) -> None:
        world.staging.delete(world.series.basis(world, world.lane).acknowledged.path)
        staged = world.extract(ONE, 3)
        assert world.text(staged) == ["ann\td_sid=1,d_unsid=2", "bob\td_unsid=1"]

    def test_a_record(self, world: World) -> None:
        for content, said in (
            (b"{", "not the record of a snapshot"),
            (b'{"version": 2}', "version 2 is not 1"),
            (b'{"version": 1}', "'bases'"),
        ):
            world.staging.write_bytes(f"{world.series.location}/records/00000002.json", content)
            with pytest.raises(DataError, match=said):
                world.extract(ONE, 3)

    def test_a_record_under_another_number(self, world: World) -> None:
        folder = f"{world.series.location}/records"
        world.staging.write_bytes(
            f"{folder}/00000003.json", world.staging.read_bytes(f"{folder}/00000002.json")
        )
        with pytest.raises(DataError, match=r"00000003\.json: the record of number 2"):
            world.extract(ONE, 3)


def test_on_a_real_folder_and_a_real_bucket(folder: Folder) -> None:
    world = World(staging=folder)
    world.deliver(ONE, 1)
    world.send(world.extract({}, 2), is_processed=False)
    assert world.extract(TWO, 3).manifest == world.extract(TWO, 3).manifest
    staged = world.deliver(TWO, 3)
    assert world.text(staged) == ["ann\td_sid=2,d_unsid=1", "bob\td_sid=1"]
    assert world.state == TWO
    world.deliver(ONE, 4)
    world.deliver(TWO, 5)
    # A bucket tells times to the second, so old ones of the same second may stay a little longer.
    basis = world.series.basis(world, world.lane)
    assert {basis.acknowledged.path, basis.before.path} <= set(world.snapshots)
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
    staging = MemoryFolder()
    manifest = stage(staging)
    if found is not None:
        DeliveryRecords(staging).conclude(manifest.location, 1, found)
    deliveries = RecordedDeliveries(staging)
    assert deliveries.is_acknowledged(manifest.delivery_id) is is_acknowledged
    assert not deliveries.is_acknowledged("0000")
