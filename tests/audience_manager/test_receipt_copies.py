"""Copies of receipts among many that differ."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from airflow_am_provider.audience_manager.receipts import copies as receipt_copies
from airflow_am_provider.audience_manager.receipts.copies import (
    MAX_FIELD_SETS,
    Facts,
    Fields,
    Values,
    without_copies,
)
from airflow_am_provider.audience_manager.receipts.receipt import COUNT_LABELS, Receipt

PATHS = ("s3n://bucket/2026-11-23/ftp_dpm_7_901_1368806402.sync",)
NAMES = list(COUNT_LABELS)


def said(receipt: Receipt) -> dict[str, object]:
    more = {name: getattr(receipt, name) for name in ("partner_id", "job_start", "job_end")}
    return receipt.counts | {name: value for name, value in more.items() if value is not None}


def compared_in_pairs(receipts: list[Receipt]) -> list[Receipt]:
    """What the rule says, one receipt after the other."""
    kept: list[Receipt] = []
    for one in sorted(receipts, key=lambda one: (-len(said(one)), one.digest)):
        mine = said(one)
        others = map(said, kept)
        if not any(
            all(other.get(name, value) == value for name, value in mine.items()) for other in others
        ):
            kept.append(one)
    return kept


def some_receipts(chance: random.Random) -> list[Receipt]:
    """Few fields and few values, so that many agree."""
    names = NAMES[: chance.randint(1, 4)]
    start = datetime(2026, 11, 23, 6, tzinfo=UTC)
    found = []
    for _ in range(chance.randint(1, 40)):
        counts = {name: chance.randint(0, 2) for name in names if chance.random() < 0.7}
        found.append(
            Receipt(
                paths=PATHS,
                partner_id=chance.choice((None, 7)),
                job_start=chance.choice((None, start, start + timedelta(days=1))),
                **(counts or {"format_errors": 0}),
            )
        )
    return found


@pytest.mark.parametrize("seed", range(300))
def test_each_pair_would_say_the_same(seed: int) -> None:
    chance = random.Random(seed)
    receipts = some_receipts(chance)
    wanted = {one.digest for one in compared_in_pairs(receipts)}
    chance.shuffle(receipts)
    field_sets = {frozenset(said(one)) for one in receipts}
    assert len(field_sets) <= MAX_FIELD_SETS
    assert {one.digest for one in without_copies(receipts)} == wanted


def hostile(count: int, seed: int) -> Iterator[Receipt]:
    """Receipts for one file that differ: whole ones, and ones with any of the fields."""
    chance = random.Random(seed)
    for number in range(count):
        if number % 2:
            values = {name: chance.randrange(10**9) for name in NAMES}
        else:
            values = {name: chance.randrange(2) for name in chance.sample(NAMES, 7)}
        yield Receipt(paths=PATHS, **values)


def work(receipts: list[Receipt], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often what a receipt says is looked at."""
    looks = 0
    values = receipt_copies._values

    def counted(facts: Facts, fields: Fields) -> Values:
        nonlocal looks
        looks += 1
        return values(facts, fields)

    with monkeypatch.context() as patch:
        patch.setattr(receipt_copies, "_values", counted)
        without_copies(receipts)
    return looks


@pytest.mark.parametrize("kind", ["one field differs", "any fields differ"])
def test_many_that_differ_take_work_by_their_number(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "one field differs":
        receipts = [Receipt(paths=PATHS, records_received=number) for number in range(4_000)]
    else:
        receipts = list(hostile(4_000, seed=1))
    # In pairs it would be 8,000,000.
    assert work(receipts, monkeypatch) <= 3 * MAX_FIELD_SETS * len(receipts)
    assert work(receipts, monkeypatch) <= 2.5 * work(receipts[:2_000], monkeypatch)


def test_copies_are_found_whatever_their_fields_up_to_equal_ones_beyond() -> None:
    receipts = list(hostile(400, seed=2))
    assert len({frozenset(one.counts) for one in receipts}) > MAX_FIELD_SETS
    found = without_copies(receipts)
    assert [one.digest for one in without_copies([*receipts, *receipts])] == [
        one.digest for one in found
    ]
    assert len({one.digest for one in found}) == len(found)
