"""What has changed since a snapshot, held against dictionaries."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.identifiers import DPUUID
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.deliveries.staging import DeliveryContext
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.snapshots import user_traits
from airflow_am_provider.snapshots.comparison import Base
from airflow_am_provider.snapshots.difference import Difference, DiffOptions, difference
from tests.examples import examples
from tests.formatting import naive
from tests.formatting.arrow_columns import column
from tests.formatting.hostile_rows import Mixer, pools
from tests.formatting.memory_folder import MemoryFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SPEC = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))
NOTHING = Base(path=None)
State = dict[bytes, set[int]]
Row = tuple[bytes | None, bytes | None]


def compare(
    storage: MemoryFolder,
    rows: Iterable[Sequence[Any]],
    *bases: Base,
    snapshot: str = "new",
    random: Random | None = None,
    **options: Any,
) -> Difference:
    """Compare rows with snapshots."""
    spec = options.pop("spec", SPEC)
    names = (spec.id_column, *spec.item_columns)
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    arrays = [pa.array(one) if random is None else column(one, random) for one in columns]
    batch = pa.RecordBatch.from_arrays(arrays, names)
    at_a_time = options.pop("at_a_time", 1000)
    return difference(
        (batch.slice(start, at_a_time) for start in range(0, batch.num_rows, at_a_time)),
        spec,
        storage,
        FormatOptions(max_set_aside=options.pop("max_set_aside", 1.0)),
        DiffOptions(max_removed=options.pop("max_removed", 1.0), **options),
        bases=bases or (NOTHING,),
        snapshot=snapshot,
        context=DeliveryContext(destination="beta/acme"),
        now=datetime(2026, 3, 1, tzinfo=UTC),
    )


def text_of(storage: MemoryFolder, found: Difference) -> bytes:
    parts = [storage.files[part.path] for part in found.content.result.parts]
    return b"".join(map(gzip.decompress, parts))


def apply(text: bytes, state: State) -> State:
    """What Audience Manager knows when it has read a file."""
    after = {user: set(traits) for user, traits in state.items()}
    for line in text.splitlines():
        user, _, items = line.partition(b"\t")
        for item in items.split(b","):
            key, _, trait = item.partition(b"=")
            traits = after.setdefault(user, set())
            {b"d_sid": traits.add, b"d_unsid": traits.discard}[key](int(trait))
    return {user: traits for user, traits in after.items() if traits}


def state_of(storage: MemoryFolder, path: str) -> State:
    """What a snapshot says users have once its delivery is processed."""
    table = pq.read_table(pa.BufferReader(storage.files[path])).to_pylist()
    found = {row["id"]: {*row["unchanged"], *row["added"]} for row in table}
    return {user: traits for user, traits in found.items() if traits}


@dataclass
class Truth:
    """What rows say, read one by one."""

    has: State = field(default_factory=dict)
    held: set[bytes] = field(default_factory=set)
    aside: dict[int, Rule] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Truth:
        truth = cls()
        for number, (user, traits) in enumerate(rows, start=1):
            try:
                known = naive.checked_id(user, DPUUID)
            except naive.Aside as aside:
                truth.aside[number] = aside.rule
                continue
            try:
                found = {int(item) for item in naive.trait_items(traits, "")}
                if any(trait >= 1 << 32 for trait in found):
                    raise naive.Aside(Rule.TRAIT_TOO_LARGE)
            except naive.Aside as aside:
                truth.aside[number] = aside.rule
                truth.held.add(known)
                continue
            truth.has.setdefault(known, set()).update(found)
        return truth

    def after(self, last: State) -> State:
        """What users have now, when they had that before."""
        now = {user: set(traits) for user, traits in self.has.items()}
        for user in self.held:
            now.setdefault(user, set()).update(last.get(user, ()))
        return {user: traits for user, traits in now.items() if traits}


def hostile_rows(mixer: Mixer, count: int, ids: Sequence[bytes]) -> list[Row]:
    """Rows of few users, so that they meet again, and some with no user at all."""
    random = mixer.random
    rows: list[Row] = []
    for _ in range(count):
        user = random.choice(ids) if random.random() < 0.8 else mixer.maybe()
        traits: bytes | None = b",".join(
            b"%d" % random.choice((1, 2, 3, 24, 4294967295)) for _ in range(random.randint(0, 4))
        )
        if random.random() < 0.15:
            traits = mixer.maybe(
                b"24", b"007", b"4294967296", b"{1,2}", b"0" * 30 + b"7", b"9" * 30
            )
        rows.append((user, traits))
    return rows


@settings(
    max_examples=examples(60), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(pool=pools, seed=st.integers(0, 2**32), states=st.integers(1, 5), is_open=st.booleans())
def test_the_same_lines_are_right_from_every_state_that_is_possible(
    pool: list[bytes], seed: int, states: int, is_open: bool
) -> None:
    mixer, storage = Mixer(pool, Random(seed)), MemoryFolder()
    ids = [mixer.value(b"ann", b"bob") for _ in range(12)] + [b"ann", b"bob", b"cem"]
    bases: list[Base] = [NOTHING]
    possible: list[State] = [{}]
    for number in range(states):
        rows = hostile_rows(mixer, 30, ids)
        truth = Truth.of(rows)
        path = f"snapshot-{number}"
        found = compare(
            storage, rows, *bases, snapshot=path, random=mixer.random, run_bytes=2000, at_a_time=7
        )
        result, text = found.content.result, text_of(storage, found)
        now = truth.after(possible[-1])

        assert result.set_aside_by_reason == naive.Outcome(aside=truth.aside).reasons
        assert result.rows_read == len(rows) == result.rows_written + result.rows_set_aside
        assert found.counts.rows_changed + found.counts.rows_unchanged == result.rows_written
        for state in possible:
            assert apply(text, state) == now
        expected = set()
        for user in {*now, *(user for state in possible for user in state)}:
            has = now.get(user, set())
            before = [state.get(user, set()) for state in possible]
            added, removed = has - set.intersection(*before), set.union(*before) - has
            items = [b"d_sid=%d" % trait for trait in sorted(added)]
            items += [b"d_unsid=%d" % trait for trait in sorted(removed)]
            if items:
                expected.add(user + b"\t" + b",".join(items))
        lines = text.splitlines()
        assert len(lines) == len(expected) == found.counts.users_changed
        assert set(lines) == expected
        if not lines:
            assert path not in storage.files
            continue
        assert state_of(storage, path) == now
        possible.append(now)
        bases = [Base(path=path, is_open=True)] if is_open else [*bases, Base(path=path)]


def test_the_order_of_rows_and_how_they_are_cut_make_no_difference() -> None:
    random, storage = Random(7), MemoryFolder()
    old = [(b"u%d" % n, b"%d,%d" % (n % 5, 5 + n % 7)) for n in range(3000)]
    new = [(b"u%d" % n, b"%d" % (n % 11)) for n in range(500, 3500)]
    compare(storage, old, snapshot="old")
    texts, snapshots = set(), set()
    for run_bytes, at_a_time in ((1 << 25, 10_000), (50_000, 77), (1, 500)):
        random.shuffle(new)
        found = compare(storage, new, Base(path="old"), run_bytes=run_bytes, at_a_time=at_a_time)
        texts.add(text_of(storage, found))
        snapshots.add(storage.files["new"])
    assert len(texts) == len(snapshots) == 1
    old_state = {user: set(map(int, traits.split(b","))) for user, traits in old}
    assert apply(texts.pop(), old_state) == {user: {int(trait)} for user, trait in new}


def test_users_whose_ids_have_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def poor(data: Any, starts: Any, lengths: Any) -> Any:
        return (lengths % 3).astype(np.uint64) << np.uint64(62)

    monkeypatch.setattr(user_traits, "hash_rows", poor)
    storage = MemoryFolder()
    old = [(f"user-{'x' * (n % 9)}{n}", str(n % 4)) for n in range(200)]
    new = [(f"user-{'x' * (n % 9)}{n}", str(n % 3)) for n in range(100, 300)]
    compare(storage, old, snapshot="old", run_bytes=3000, at_a_time=50)
    found = compare(storage, new, Base(path="old"), run_bytes=3000, at_a_time=30)
    state = {user.encode(): {int(trait)} for user, trait in old}
    assert apply(text_of(storage, found), state) == {u.encode(): {int(t)} for u, t in new}


def test_the_hash_that_snapshots_are_ordered_by_stays() -> None:
    # Another one would make every snapshot that lies in a user's staging unreadable.
    ids = pa.array([b"", b"a", b"customer-0001", b"x" * 100], pa.binary())
    users = user_traits.UserTraits.of(
        ids, np.empty(0, np.uint64), rows=np.zeros(4, np.int64), held=np.zeros(4, bool)
    )
    assert [f"{value:016x}" for value in users.hashes.tolist()] == [
        "0000000000000000",
        "cb0b9aee787b7437",
        "ecdab8a0d0a787d2",
        "9cfd2ac857fa0943",
    ]


def test_rows_of_one_user_are_put_together_and_equal_ones_are_no_matter() -> None:
    storage = MemoryFolder()
    rows = [
        ("ann", "3,1"),
        ("bob", "2"),
        ("ann", "2,1"),
        ("ann", "2,1"),
        ("cem", ""),
        ("cem", None),
    ]
    found = compare(storage, rows)
    assert sorted(text_of(storage, found).splitlines()) == [
        b"ann\td_sid=1,d_sid=2,d_sid=3",
        b"bob\td_sid=2",
    ]
    counts, result = found.counts, found.content.result
    assert (result.rows_read, result.rows_written, result.rows_set_aside) == (6, 6, 0)
    assert (counts.rows_changed, counts.rows_unchanged, counts.users_unchanged) == (4, 2, 1)


def test_flags_and_several_columns_of_traits() -> None:
    spec = DataFileSpec(
        dpid=478,
        id_column="id",
        traits_columns=("one", "many"),
        trait_flags={"gold": 7, "silver": 8},
    )
    storage = MemoryFolder()
    rows = [("ann", 1, [2, None, 3], True, None), ("bob", None, None, False, True)]
    first = compare(storage, rows, spec=spec, snapshot="first")
    assert sorted(text_of(storage, first).splitlines()) == [
        b"ann\td_sid=1,d_sid=2,d_sid=3,d_sid=7",
        b"bob\td_sid=8",
    ]
    rows = [("ann", 1, [3, 3], False, True), ("bob", None, [], None, False)]
    second = compare(storage, rows, Base(path="first"), spec=spec)
    assert sorted(text_of(storage, second).splitlines()) == [
        b"ann\td_sid=8,d_unsid=2,d_unsid=7",
        b"bob\td_unsid=8",
    ]


def test_a_user_with_very_many_traits_gets_several_lines() -> None:
    storage = MemoryFolder()
    traits = ",".join(str(4_000_000_000 + n) for n in range(30_000))
    found = compare(storage, [("ann", "1"), ("bob", traits), ("cem", "2")])
    text = text_of(storage, found)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 102_400
    assert len([line for line in lines if line.startswith(b"bob\t")]) == 5
    assert apply(text, {})[b"bob"] == set(map(int, traits.split(",")))
    assert found.counts.users_changed == 3
    assert sum(part.lines for part in found.content.result.parts) == len(lines) == 7


def test_changes_that_fill_more_lines_than_are_read_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_LINES_PER_USER", 4)
    storage = MemoryFolder()
    traits = ",".join(str(4_000_000_000 + n) for n in range(30_000))
    with pytest.raises(DataError, match="the changes of one user fill 5 lines, and at most 4 of"):
        compare(storage, [("ann", "1"), ("bob", traits)])
    assert storage.files == {}


def test_an_id_that_leaves_no_room_for_a_trait_is_set_aside() -> None:
    storage = MemoryFolder()
    longest = 102_400 - len("\td_unsid=4294967295")
    found = compare(storage, [("a" * longest, "4294967295"), ("b" * (longest + 1), "1")])
    assert found.content.result.set_aside_by_reason == {"line_too_long": 1}


class TestTooMuchWouldBeRemoved:
    OLD = tuple((f"user-{n}", "1,2") for n in range(50))

    @pytest.fixture
    def storage(self) -> MemoryFolder:
        storage = MemoryFolder()
        compare(storage, self.OLD, snapshot="old")
        return storage

    def test_a_share(self, storage: MemoryFolder) -> None:
        before = dict(storage.files)
        with pytest.raises(DataError) as caught:
            compare(storage, self.OLD[:39], Base(path="old"), max_removed=0.2)
        assert str(caught.value) == (
            "22 of 100 traits that users had in a snapshot before are not in this extract "
            "(22.00%), max_removed allows 20.00%. Nothing was staged. Check that the extract is "
            "whole. If so many traits are to be removed, raise max_removed for this run"
        )
        assert storage.files == before
        assert compare(storage, self.OLD[:40], Base(path="old"), max_removed=0.2).counts.removals

    def test_a_count(self, storage: MemoryFolder) -> None:
        with pytest.raises(DataError, match=r"2 of 100 traits .* max_removed allows 1\."):
            compare(storage, self.OLD[:49], Base(path="old"), max_removed=1)
        assert compare(storage, self.OLD[:49], Base(path="old"), max_removed=2).counts.removals == 2

    def test_everybody(self, storage: MemoryFolder) -> None:
        with pytest.raises(DataError, match=r"100 of 100 traits"):
            compare(storage, [], Base(path="old"), max_removed=0.99)

    def test_it_is_held_against_each_that_may_be_in_force(self, storage: MemoryFolder) -> None:
        less = self.OLD[:40]
        compare(storage, less, Base(path="old"), snapshot="less", max_removed=0.2)
        with pytest.raises(DataError, match=r"20 of 100 traits .* max_removed allows 0\."):
            compare(storage, less, Base(path="old"), Base(path="less"), max_removed=0)
        again = compare(storage, less, Base(path="old"), Base(path="less"), max_removed=0.2)
        assert again.counts.removals == 20
        assert (again.counts.traits_before, again.counts.traits_lost) == ((100, 80), (20, 0))

    def test_rows_set_aside_take_nothing_away(self, storage: MemoryFolder) -> None:
        rows = [*self.OLD[:49], ("user-49", "1;2")]
        found = compare(storage, rows, Base(path="old"), max_removed=0)
        assert found.content.result.parts == ()
        assert found.counts.rows_unchanged == 49
        rows.append(("user-49", "3"))
        found = compare(storage, rows, Base(path="old"), max_removed=0)
        assert text_of(storage, found) == b"user-49\td_sid=3\n"
        assert state_of(storage, "new")[b"user-49"] == {1, 2, 3}


def test_users_who_have_more_traits_than_a_profile_holds_are_counted() -> None:
    storage = MemoryFolder()
    begin = range(0, 150_000, 10_000)
    rows: list[tuple[str, Any]] = [
        (user, ",".join(map(str, range(start, start + 10_000))))
        for start in begin
        for user in ("ann", "bob")
    ]
    found = compare(storage, [*rows, ("ann", "150000"), ("cy", "1")])
    assert found.counts.full_profiles == 1
    assert found.content.result.remarks["full_profiles"] == 1
    # What they have counts, not what is said of it.
    again = compare(
        storage, [*rows, ("ann", "150000"), ("cy", "2")], Base(path="new"), snapshot="more"
    )
    assert (again.counts.additions, again.counts.full_profiles) == (1, 1)
    less = compare(storage, [*rows, ("cy", "2")], Base(path="new"), snapshot="less")
    assert (less.counts.removals, less.counts.full_profiles) == (2, 0)
    assert "full_profiles" not in less.content.result.remarks


def test_too_many_rows_set_aside_leave_their_list_and_nothing_else() -> None:
    storage = MemoryFolder()
    rows = [("ann", "1"), ("bob", "x"), ("cem", "2")]
    with pytest.raises(DataError, match=r"1 of 3 rows break a rule.*Rows set aside are listed in"):
        compare(storage, rows, max_set_aside=0)
    assert [path.rpartition("/")[2] for path in storage.files] == ["rejects.csv"]


def test_an_id_that_is_personal_data_is_in_no_snapshot() -> None:
    storage = MemoryFolder()
    rows = [("ann", "1"), ("bob", "1"), ("jane@example.com", "x"), ("jim@example.com", "2")]
    compare(storage, [*rows, *((f"u{n}", "1") for n in range(9))])
    assert not [path for path, content in storage.files.items() if b"@example" in content]


def test_what_is_no_snapshot_is_said() -> None:
    storage = MemoryFolder()
    other = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["ann"]}), other)
    storage.write_bytes("other", other.getvalue().to_pybytes())
    storage.write_bytes("text", b"not Parquet at all")
    for path in ("other", "text"):
        with pytest.raises(DataError, match=rf"memory://staging/{path}: not a snapshot"):
            compare(storage, [("ann", "1")], Base(path=path))


def test_a_snapshot_in_another_order_is_refused() -> None:
    storage = MemoryFolder()
    compare(storage, [(f"u{n}", "1") for n in range(99)], snapshot="old")
    table = pq.read_table(pa.BufferReader(storage.files["old"]))
    shuffled = pa.BufferOutputStream()
    order = list(range(99))
    Random(1).shuffle(order)
    pq.write_table(table.take(order), shuffled)
    storage.write_bytes("old", shuffled.getvalue().to_pybytes())
    with pytest.raises(DataError, match="its users are not in order"):
        compare(storage, [("u1", "1")], Base(path="old"))


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ({"ic_columns": ("a",)}, "nothing takes back an ic code or a signal"),
        ({"signal_columns": {"a": "b"}}, "nothing takes back an ic code or a signal"),
        ({"removed_traits_columns": ("a",)}, "what is removed follows from the comparison"),
        ({"traits_columns": ("a",), "mode": Mode.OVERWRITE}, "an .overwrite holds everything"),
    ],
)
def test_what_cannot_be_compared_is_refused(items: dict[str, Any], said: str) -> None:
    spec = DataFileSpec(dpid=478, id_column="id", **items)
    with pytest.raises(ConfigurationError, match=said):
        compare(MemoryFolder(), [("ann", "1")], spec=spec)
