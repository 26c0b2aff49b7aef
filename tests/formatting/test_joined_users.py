"""``.overwrite``: one line a user, whatever the order of the rows and wherever lines were kept."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import numpy as np
import pytest

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.formatting import waiting_lines
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.repeats import line_file
from tests.formatting.running import in_pieces, run, table, users

SPEC = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",), mode=Mode.OVERWRITE)


def overwritten(rows, rows_at_a_time=1000, **options):
    return run(in_pieces(table(rows), rows_at_a_time), DataLineWriter(SPEC), **options)


def long_form(count, seed=1):
    random = Random(seed)
    rows = [(f"user-{n % (count // 5):05d}", str(random.randint(1, 40))) for n in range(count)]
    random.shuffle(rows)
    return rows


def items_of_users(text):
    found = dict(line.split("\t") for line in text.decode().splitlines())
    return {user: items.split(",") for user, items in found.items()}


def test_a_users_rows_become_one_line_with_each_item_once():
    done = overwritten([("ann", "1"), ("bob", "7"), ("ann", "2,1"), ("cal", "5,5"), ("ann", "2")])

    assert items_of_users(done.text) == {
        "ann": ["d_sid=1", "d_sid=2"],
        "bob": ["d_sid=7"],
        "cal": ["d_sid=5", "d_sid=5"],
    }
    assert (done.result.rows_read, done.result.rows_written) == (5, 5)
    assert (done.result.parts[0].lines, done.result.items) == (3, 5)


def test_users_with_one_row_each_stay_in_the_order_of_the_rows():
    rows = [(f"user-{n:05d}", "1,1") for n in (5, 3, 9)]

    assert overwritten(rows).text == b"".join(
        f"{user}\td_sid=1,d_sid=1\n".encode() for user, _ in rows
    )


@pytest.mark.parametrize("room", [None, 0.0, 100_000.0])
@pytest.mark.parametrize("is_divided", [False, True])
def test_the_parts_are_the_same_wherever_lines_were_kept(monkeypatch, room, is_divided):
    rows = long_form(20_000)
    usual = overwritten(rows).text
    if is_divided:
        monkeypatch.setattr(line_file, "_LARGE_SHARE_BYTES", 1_000)
        monkeypatch.setattr(line_file, "_PIECE_BYTES", 500)
    if room is not None:
        # Of no room there is a byte at least, and 256 shares of the users.
        monkeypatch.setattr(waiting_lines, "_room", lambda: room or 10_000.0)

    assert overwritten(rows, rows_at_a_time=777).text == usual
    expected = defaultdict(list)
    for user, trait in rows:
        if f"d_sid={trait}" not in expected[user]:
            expected[user].append(f"d_sid={trait}")
    assert items_of_users(usual) == expected


def test_a_user_whose_rows_do_not_fit_on_one_line_is_left_as_before():
    half = [(",".join(map(str, range(start, start + 6_000)))) for start in (10**9, 2 * 10**9)]
    rows = [("ann", half[0]), ("bob", "1"), ("ann", half[1]), ("ann", "3"), ("bob", "2")]

    done = overwritten(rows, max_set_aside=1.0)

    assert items_of_users(done.text) == {"bob": ["d_sid=1", "d_sid=2"]}
    assert done.result.set_aside_by_reason == {"joined_line_too_long": 3}
    assert [row["row_number"] for row in done.rejects] == ["1", "3", "4"]
    assert (done.result.rows_read, done.result.rows_written) == (5, 2)


def test_of_a_user_with_a_row_that_breaks_a_rule_nothing_is_replaced():
    rows = [("ann", "1"), ("bob", "1"), ("ann", "x"), ("cal", "2"), ("cal", ""), (None, "1")]

    done = overwritten(rows, max_set_aside=1.0)

    assert sorted(items_of_users(done.text)) == ["bob", "cal"]
    assert done.result.set_aside_by_reason == {
        "empty_id": 1,
        "no_items": 1,
        "trait_not_numeric": 1,
        "user_incomplete": 1,
    }


def test_rows_without_a_user_make_no_parts_be_written_anew(monkeypatch):
    monkeypatch.setattr(waiting_lines, "LineFile", None)

    done = overwritten([("bob", "1"), (None, "1"), (None, "2"), ("ann", "1")], max_set_aside=1.0)

    assert done.text == b"bob\td_sid=1\nann\td_sid=1\n"


def test_a_user_with_very_many_rows_takes_no_room_for_them():
    numbers = np.random.default_rng(3).integers(0, 500, 60_000)
    rows = [("ann", str(number)) for number in numbers] + [("bob", "1")]

    done = overwritten(rows, rows_at_a_time=10_000)

    assert len(items_of_users(done.text)["ann"]) == 500
    assert done.result.rows_written == len(rows)


def test_a_sync_is_written_row_by_row():
    rows = [("ann", "1"), ("ann", "2")]

    assert run([table(rows)]).text == b"ann\td_sid=1\nann\td_sid=2\n"
    assert overwritten(rows).text == b"ann\td_sid=1,d_sid=2\n"
    assert run([users(2)], DataLineWriter(SPEC)).result.parts[0].lines == 2
