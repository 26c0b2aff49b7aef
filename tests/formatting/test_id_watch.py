"""IDs that are sent as they are and may not be what was meant: counted, in flat memory."""

from __future__ import annotations

from random import Random

import numpy as np
import pyarrow as pa
import pytest

from airflow_am_provider.formatting.id_watch import IdWatch
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter, IdSyncSpec
from airflow_am_provider.formatting.remarks import warnings_of
from tests.formatting.arrow_columns import LAYOUTS
from tests.formatting.running import run, table


def remarks(*ids: str | None, most_kept: int = 1 << 18, batch: int = 1000) -> dict[str, int]:
    watch = IdWatch(most_kept)
    for start in range(0, len(ids), batch):
        some = pa.array([i and i.encode() for i in ids[start : start + batch]], pa.binary())
        watch.add(some, np.zeros(len(some), np.uint8))
    return watch.remarks


@pytest.mark.parametrize(
    ("ids", "counts"),
    [
        ([], {}),
        (["ann", "bob", "1001", "10.5", "a.0", "1.2.0", ".0", "0.", "é.0", "v1.00"], {}),
        (["ann ", " bob", "c d", "\u00a0"], {"padded_ids": 2}),
        (["1001.00", "1001.0", "7.0", "1.000", "1002.00  "], {"decimal_ids": 4, "padded_ids": 1}),
        (["Ann", "ann", "ANN", "ann", "bob"], {"alike_ids": 3}),
        (["ann ", "ann", "  ann"], {"alike_ids": 3, "padded_ids": 2}),
        (["C-0001", "c-0001 ", "C-0002"], {"alike_ids": 2, "padded_ids": 1}),
        # The same bytes but for one bit that is no case: of letters beyond ASCII nothing is said.
        (["日本", "本日", "\u0410", "\u0430", "Ü1", "ü1", "À", "à"], {}),
        (["Üa", "ÜA"], {"alike_ids": 2}),
        (["a", "A", "ab", "aB", "abcdefgh", "abcdefgH"], {"alike_ids": 6}),
        (["abcdefghi", "Abcdefghi", "abcdefgh", "bcdefghi"], {"alike_ids": 2}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_what_is_counted(ids: list[str], counts: dict[str, int], batch: int) -> None:
    assert remarks(*ids, batch=batch) == counts


@pytest.mark.parametrize("layout", LAYOUTS[:3])
def test_what_lies_behind_nulls_and_around_slices_is_not_looked_at(layout) -> None:
    watch = IdWatch()
    ids = layout([b"Ann", None, b"ann", b"bob "])
    watch.add(ids, np.array([0, 1, 0, 0], np.uint8))
    assert watch.remarks == {"alike_ids": 2, "padded_ids": 1}


def test_rows_that_are_set_aside_do_not_count() -> None:
    done = run([table([("ann", "x"), ("Ann", "1"), ("ann ", "x"), ("7.0", "")])], max_set_aside=1.0)
    assert done.result.remarks == {}
    done = run([table([("ann", "1"), ("Ann", "1"), ("ann ", "1"), ("7.0", "1")])])
    assert done.result.remarks == {"alike_ids": 3, "decimal_ids": 1, "padded_ids": 1}
    assert done.result.rows_written == 4


@pytest.mark.parametrize("template", ["user-{:09d}-x", "{:d}", "{:x}-日", "C{:030d}"])
def test_of_many_about_as_many_are_counted_as_there_are(template: str) -> None:
    random = Random(template)
    many = [template.format(random.getrandbits(29)) for _ in range(60_000)]
    many = [text.lower() if number % 2 else text for number, text in enumerate(many)]
    twins = [text.upper() + " " for text in many[:20_000]]
    ids = [*many, *twins]
    random.shuffle(ids)
    exact = remarks(*ids, batch=10_000)["alike_ids"]
    assert exact >= 39_900
    watch = IdWatch(2_000)
    for start in range(0, len(ids), 1_000):
        some = pa.array([text.encode() for text in ids[start : start + 1_000]], pa.binary())
        watch.add(some, np.zeros(len(some), np.uint8))
        assert sum(len(kept[0]) for kept in watch._kept) <= 2_000
    assert 0.75 * exact < watch.remarks["alike_ids"] < 1.25 * exact


def test_without_twins_none_are_counted_however_many_there_are() -> None:
    ids = [f"{number:08x}" for number in range(100_000)]
    assert remarks(*ids, most_kept=1_000) == {}
    # The rows of one user fill no room.
    assert remarks(*["ann"] * 10_000, most_kept=100) == {}


def test_the_warnings_say_what_to_do_and_quote_no_id() -> None:
    said = warnings_of(remarks("Jane-1 ", "jane-1", "1001.00"))
    assert said == [
        (
            "1 row has a user ID that begins or ends with a blank, as CHAR columns do, and is sent "
            "with it: IDs are compared byte for byte. If the blanks are not part of it, trim it in "
            "the source"
        ),
        (
            "1 row has a user ID such as 1001.00, and it is sent so: IDs are compared byte for "
            "byte. If that is a number, cast it to an integer in the source"
        ),
        (
            "about 2 user IDs differ from another one only in upper and lower case, or in blanks "
            "around them: IDs are compared byte for byte, so each is a user of its own"
        ),
    ]


def test_all_ids_of_an_id_sync_are_looked_at_each_by_itself() -> None:
    spec = IdSyncSpec(
        master_dpid=478, dpids=(479, 480), columns=("a", "b", "c"), allow_crm_master=True
    )
    rows = [("ann", "Ann", "1.0"), ("bob", " x", "2"), ("BOB", "y", "3"), ("dan", "z ", "c:1")]
    done = run([table(rows, ["a", "b", "c"])], IdSyncLineWriter(spec), max_set_aside=1)
    assert done.result.remarks == {"alike_ids": 2, "decimal_ids": 1, "padded_ids": 1}


def test_few_users_with_many_rows_are_counted_all_the_same() -> None:
    random = Random(3)
    ids = random.choices([f"user-{number}" for number in range(400)], k=40_000)
    ids += random.choices([f"User-{number}" for number in range(200)], k=10_000)
    random.shuffle(ids)
    assert 250 < remarks(*ids, most_kept=200)["alike_ids"] < 600
