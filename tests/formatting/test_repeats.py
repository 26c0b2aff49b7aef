"""Duplicates, the 200 lines of a user, and CRM IDs that come again."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import IdSyncPrefix
from airflow_am_provider.formatting import rejects, waiting_lines
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncSpec
from airflow_am_provider.formatting.parts import PartSizes
from airflow_am_provider.formatting.repeats import early_repeats, exact_repeats, line_file
from airflow_am_provider.formatting.repeats import repeat_finder as repeats
from airflow_am_provider.formatting.repeats.hash_file import HashFile
from airflow_am_provider.formatting.repeats.repeat_finder import RepeatFinder
from tests.formatting.running import in_pieces, run, table, users

SMALL = PartSizes(part_bytes=limits.MAX_LINE_BYTES + 1)


def lines(*texts: bytes) -> pa.Array:
    return pa.array([text + b"\n" for text in texts], pa.binary())


def found(finder: RepeatFinder, *batches: pa.Array) -> list[tuple[int, str]]:
    for batch in batches:
        finder.observe(batch)
    try:
        return sorted(
            (line, rule)
            for some in finder.repeats(lambda: batches)
            for rule, numbers in (
                ("duplicate_line", some.duplicates),
                ("too_many_lines_per_user", some.too_many),
            )
            for line in numbers.tolist()
        )
    finally:
        finder.close()


def test_the_last_of_equal_lines_stays():
    ann, bob = b"ann\td_sid=1", b"bob\td_sid=1"
    batches = (lines(ann, bob, ann), lines(b"ann\td_sid=2", ann), lines(bob))
    assert found(RepeatFinder(200), *batches) == [
        (0, "duplicate_line"),
        (1, "duplicate_line"),
        (2, "duplicate_line"),
    ]


def test_a_trait_that_comes_again_after_its_removal_stays():
    changes = pa.RecordBatch.from_pydict(
        {
            "id": ["ann", "ann", "ann"],
            "traits": ["24", None, "24"],
            "removed": [None, "24", None],
        }
    )
    writer = DataLineWriter(
        DataFileSpec(
            dpid=478,
            id_column="id",
            traits_columns=("traits",),
            removed_traits_columns=("removed",),
        )
    )
    done = run([changes], writer)
    assert done.text == b"ann\td_unsid=24\nann\td_sid=24\n"
    assert [(row["row_number"], row["reason"]) for row in done.rejects] == [("1", "duplicate_line")]


def test_duplicates_do_not_count_among_the_200():
    ann = [b"ann\td_sid=%d" % (number // 2) for number in range(500)]
    rules = Counter(rule for _, rule in found(RepeatFinder(200), lines(*ann)))
    assert rules == {"duplicate_line": 200, "too_many_lines_per_user": 100}


@pytest.mark.parametrize("at_a_time", [1, 7, 64, 1000])
def test_memory_for_a_few_hashes_is_enough(at_a_time):
    batches = [
        lines(*(b"user-%d\td_sid=1" % number for number in range(start, start + 300)))
        for start in range(0, 1500, 200)
    ]
    again = [
        (300 * batch + line, "duplicate_line") for batch in range(7) for line in range(200, 300)
    ]
    assert found(RepeatFinder(200, at_a_time), *batches) == again


def test_colliding_hashes_change_nothing(monkeypatch):
    rows = [(f"user-{number % 300}", str(number % 301)) for number in range(1000)]
    rows += [("ann", str(number)) for number in range(250)]
    source = table(rows + rows[:40])
    expected = run([source], sizes=SMALL, max_set_aside=0.1)
    for module in (early_repeats, exact_repeats, repeats):
        monkeypatch.setattr(module, "hash_rows", lambda data, starts, lengths: _constant(lengths))
    collided = run([source], sizes=SMALL, max_set_aside=0.1)
    assert collided.text == expected.text
    assert collided.result.set_aside_by_reason == expected.result.set_aside_by_reason
    assert expected.result.set_aside_by_reason == {
        "duplicate_line": 40,
        "too_many_lines_per_user": 50,
    }
    number_and_reason = [
        sorted((int(row["row_number"]), row["reason"]) for row in done.rejects)
        for done in (expected, collided)
    ]
    assert number_and_reason[0] == number_and_reason[1]


def _constant(lengths):
    return np.full(len(lengths), 12345, np.uint64)


@pytest.mark.parametrize("rows_per_batch", [13, 999, 100_000])
def test_repeats_are_taken_out_of_any_part_and_their_rows_are_named(rows_per_batch):
    good = [(f"user-{number:07d}", "24") for number in range(9000)]
    # Two rows have no line, so that rows and lines are not the same numbers.
    batch = table([("", "24"), *good, ("no items", None), *good[4000:4002]])
    done = run(in_pieces(batch, rows_per_batch), sizes=SMALL)
    order = [*range(4000), *range(4002, 9000), 4000, 4001]
    assert done.text == b"".join(b"user-%07d\td_sid=24\n" % number for number in order)
    assert [(row["row_number"], row["reason"]) for row in done.rejects] == [
        ("1", "empty_id"),
        ("9002", "no_items"),
        ("4002", "duplicate_line"),
        ("4003", "duplicate_line"),
    ]
    assert [part.path for part in done.result.parts] == [
        "d/parts-without-repeats/00001.gz",
        "d/parts-without-repeats/00002.gz",
    ]
    assert set(done.storage.files) == {"d/rejects.csv", *(part.path for part in done.result.parts)}


def test_users_with_many_different_lines_are_left_alone():
    rows = [(f"user-{number % 50}", str(number)) for number in range(200 * 50)]
    done = run([table(rows)])
    assert done.result.rows_written == 10_000
    assert done.result.rejects is None


def test_many_repeats_are_handed_over_in_pieces(monkeypatch):
    monkeypatch.setattr(line_file, "_RUN_BYTES", 100)
    monkeypatch.setattr(line_file, "_PIECE_BYTES", 1000)
    source = users(100)
    done = run([source, source, source])
    assert done.result.set_aside_by_reason == {"duplicate_line": 200}
    assert sorted(int(row["row_number"]) for row in done.rejects) == list(range(1, 201))
    assert done.result.rows_written == 100


def _drawn(shape: str) -> list[tuple[str, str]]:
    draw = np.random.default_rng(11)
    numbers = {
        "adjacent": np.repeat(np.arange(700), 3),
        "shuffled": draw.integers(0, 1500, 3000),
        "few": np.concatenate((np.arange(3000), [17, 2500])),
        "far apart": np.concatenate((np.arange(1500), np.arange(1500))),
        "one": np.where(draw.random(3000) < 0.9, 0, np.arange(3000)),
        "all": np.zeros(3000, np.int64),
        "none": np.arange(3000),
    }
    if shape in numbers:
        return [(f"user-{number}", str(number % 7 + 1)) for number in numbers[shape].tolist()]
    # More lines than a user may have, some of them again and again.
    users, traits = draw.integers(0, 8, 4000), draw.integers(0, 400, 4000)
    return [(f"user-{user}", str(trait + 1)) for user, trait in zip(users, traits, strict=True)]


def _one_by_one(rows: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """What stays, and why rows are set aside, by their numbers from 1."""
    of_user: dict[str, dict[str, int]] = {}
    reasons: dict[int, str] = {}
    for number, (user, trait) in enumerate(rows, start=1):
        seen = of_user.setdefault(user, {})
        if trait in seen:
            reasons[seen[trait]] = "duplicate_line"
        elif len(seen) == limits.MAX_LINES_PER_USER:
            reasons[number] = "too_many_lines_per_user"
            continue
        seen[trait] = number
    return [row for number, row in enumerate(rows, start=1) if number not in reasons], reasons


@pytest.mark.parametrize("way", ["waiting on disk", "no room on disk", "in parts"])
@pytest.mark.parametrize(
    "shape",
    ["adjacent", "shuffled", "few", "far apart", "one", "all", "none", "too many"],
)
def test_the_same_is_set_aside_as_when_looking_at_one_row_after_another(shape, way, monkeypatch):
    monkeypatch.setattr(line_file, "_RUN_BYTES", 2000)
    monkeypatch.setattr(line_file, "_PIECE_BYTES", 9000)
    monkeypatch.setattr(early_repeats, "_LINES", 10**9 if way == "in parts" else 3)
    if way == "in parts":
        monkeypatch.setattr(early_repeats, "_OTHER_USERS", np.uint64(2**64 - 1))
    if way == "no room on disk":
        monkeypatch.setattr(waiting_lines, "_MOST_BYTES", 20_000)
    rows = _drawn(shape)
    kept, reasons = _one_by_one(rows)
    done = run(in_pieces(table(rows), 97), sizes=SMALL, max_set_aside=1.0)
    assert done.text == b"".join(f"{user}\td_sid={trait}\n".encode() for user, trait in kept)
    assert {int(row["row_number"]): row["reason"] for row in done.rejects} == reasons
    assert done.result.rows_read == done.result.rows_written + done.result.rows_set_aside
    assert done.result.rows_set_aside == len(reasons)
    assert sum(part.lines for part in done.result.parts) == done.result.rows_written
    left = {part.path for part in done.result.parts} | {done.result.rejects} - {None}
    assert set(done.storage.files) == left


def test_users_with_too_many_lines_are_seen_while_lines_come(monkeypatch):
    monkeypatch.setattr(early_repeats, "_OTHER_USERS", np.uint64(0))
    found = []
    for lines_of_each in (200, 201):
        finder = RepeatFinder(200)
        for number in range(lines_of_each):
            finder.observe(lines(b"ann\td_sid=%d" % number, b"bob%d\td_sid=1" % number))
        found.append(finder.found_some)
        finder.close()
    assert found == [False, True]


@pytest.mark.parametrize("allowed", [1, 2])
def test_users_who_share_a_slot_by_chance_are_not_counted_as_one(monkeypatch, allowed):
    monkeypatch.setattr(early_repeats, "_OTHER_USERS", np.uint64(0))
    monkeypatch.setattr(early_repeats, "_SLOT_SHIFT", np.uint64(64 - 4))  # 16 slots
    finder = RepeatFinder(allowed)
    for start in range(0, 1000, 100):
        finder.observe(lines(*(b"user-%d\t1" % number for number in range(start, start + 100))))
    assert not finder.found_some
    found = []
    for number in range(allowed + 1):
        finder.observe(lines(b"ann\t%d" % number))
        found.append(finder.found_some)
    finder.close()
    assert found == [*[False] * allowed, True]


def test_ids_of_the_first_duplicates_are_told_and_of_all_rows_that_are_lost(monkeypatch):
    monkeypatch.setattr(rejects, "MOST_IDS_OF_A_REASON", 3)
    rows = [("bob:1", "1"), *[("some-user", "1")] * 6, *[("bob:2", "1")] * 5]
    done = run([table(rows)], max_set_aside=1.0)
    assert [row["reason"] for row in done.rejects if row["id_sha256"] == ""] == [
        "duplicate_line"
    ] * 2
    assert Counter(row["reason"] for row in done.rejects) == {"id_colon": 6, "duplicate_line": 5}
    assert {row["id_masked"] for row in done.rejects} == {
        "… (5 characters)",
        "so… (9 characters)",
        "",
    }


def test_hashes_that_occur_again_are_counted_over_all_shares():
    file = HashFile(at_a_time=10)
    try:
        spread = np.arange(1000, dtype=np.uint64) * np.uint64(2**54)
        for part in (spread, spread[:500], spread[:100]):
            file.add(part)
        found = {
            int(value): int(count)
            for values, counts in file.repeated()
            for value, count in zip(values, counts, strict=True)
        }
    finally:
        file.close()
    expected = {number * 2**54: 3 if number < 100 else 2 for number in range(500)}
    assert found == expected


def test_of_many_hashes_those_that_occur_again_are_found():
    drawn = np.random.default_rng(7).integers(0, 2**64 - 1, 400_000, dtype=np.uint64)
    # Alike in most of their bytes, the middle ones among them, and yet others.
    near = drawn[:1000] ^ np.uint64(1)
    far = drawn[1000:2000] ^ np.uint64(2**62)
    file = HashFile()
    try:
        for part in np.array_split(np.concatenate((drawn, near, far, drawn[::100])), 17):
            file.add(part)
        found = [
            (int(value), int(count))
            for values, counts in file.repeated()
            for value, count in zip(values, counts, strict=True)
        ]
    finally:
        file.close()
    assert sorted(found) == sorted((int(value), 2) for value in drawn[::100])


EMAILS = IdSyncSpec(
    master_dpid=478,
    dpids=(479,),
    columns=("crm_id", "email"),
    prefix=IdSyncPrefix.C2C_ID,
    hash_columns=("email",),
)


@pytest.mark.parametrize("rows_per_batch", [1, 2, 5, 100])
def test_rows_of_a_crm_id_that_are_apart_are_named(rows_per_batch):
    rows = [("ann", "a@example.com"), ("ann", "b@example.com"), ("", "x@example.com")]
    rows += [(f"user-{number}", "c@example.com") for number in range(20)]
    rows += [("ann", "d@example.com")]
    with pytest.raises(DataError) as caught:
        run(
            in_pieces(table(rows, ("crm_id", "email")), rows_per_batch),
            HashedEmailLineWriter(EMAILS),
        )
    assert str(caught.value) == (
        "rows 1 and 24: the same CRM ID, with others between them. All hashed e-mails of a CRM ID "
        "stand on one line, so its rows must follow each other: add ORDER BY crm_id "
        "(people-based-destinations-workflow-combined.md). Rows set aside are listed in "
        "memory://staging/d/rejects.csv"
    )


@pytest.mark.parametrize("rows_per_batch", [1, 3, 100])
def test_hashed_emails_of_a_crm_id_stand_on_one_line(rows_per_batch):
    rows = [(f"user-{number // 4}", f"{number}@example.com") for number in range(40)]
    done = run(
        in_pieces(table(rows, ("crm_id", "email")), rows_per_batch), HashedEmailLineWriter(EMAILS)
    )
    assert done.result.rows_written == 40
    assert [line.count(b"\t") for line in done.text.splitlines()] == [4] * 10
