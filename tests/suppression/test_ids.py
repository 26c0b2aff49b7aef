"""Suppression lists: who is on them, and what becomes of their rows."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.identifiers import AAM_UUID, DPUUID, IDFA
from airflow_am_provider.audience_manager.names import IdSyncPrefix, Mode
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter, IdSyncSpec
from airflow_am_provider.formatting.remarks import together, warnings_of
from airflow_am_provider.formatting.repeats.digest_file import DigestFile
from airflow_am_provider.suppression.ids import Suppression
from tests.formatting.running import TRAITS, run, table

UUID = "68079982765673198504052656074456196039"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def listed(*ids: str | None, **options: Any) -> Suppression:
    suppression = Suppression()
    suppression.add([table([(i,) for i in ids], ["id"])], "list", **options)
    return suppression


def on(suppression: Suppression, *ids: str | None) -> list[bool]:
    return suppression.among(pa.array([i and i.encode() for i in ids], pa.binary())).tolist()


def test_ids_are_compared_byte_for_byte() -> None:
    some = listed("bob", None, "", "jürgen", "a,b")
    assert on(some, "bob", "Bob", "bob ", "jürgen", "a,b", "", None) == [
        True, False, False, True, True, False, False,
    ]  # fmt: skip


def test_a_hashed_list_finds_ids_by_their_hash_and_hashed_emails_as_they_are() -> None:
    email = sha256("jane@example.com")
    some = listed(sha256("bob"), email.upper(), hashed=True)
    assert on(some, "bob", "ann", email, sha256("bob"), sha256("ann")) == [
        True, False, True, True, False,
    ]  # fmt: skip


def test_an_address_on_a_list_finds_the_hash_that_is_sent_for_it() -> None:
    some = listed("c1", " Jane@Example.com")
    assert on(some, sha256("jane@example.com"), "jane@example.com", "c1") == [True, False, True]


def test_lists_add_up() -> None:
    some = listed("bob")
    some.add([table([(sha256("ann"),)], ["id"])], "second", hashed=True)
    assert on(some, "ann", "bob", "cid") == [True, True, False]


@pytest.mark.parametrize("hashed", [False, True])
def test_no_one_is_taken_for_another_among_many(hashed: bool) -> None:
    ids = [f"user-{number}" for number in range(50_000)]
    random.Random(7).shuffle(ids)
    there, absent = ids[:25_000], ids[25_000:]
    some = Suppression()
    for start in range(0, len(there), 4_000):
        chunk = there[start : start + 4_000]
        some.add(
            [table([(sha256(i) if hashed else i,) for i in chunk], ["id"])], "l", hashed=hashed
        )
    assert all(on(some, *there))
    assert not any(on(some, *absent))


def test_digests_that_share_a_half_are_told_apart_and_small_memory_finds_the_same() -> None:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 2**64, 5_000, np.uint64)
    # Many with the same first half, and the largest number that there is.
    first[:1_000] = first[0]
    first[-1] = np.uint64(2**64 - 1)
    second = rng.integers(0, 2**64, 5_000, np.uint64)
    for at_a_time in (100, 1 << 20):
        digests = DigestFile(at_a_time)
        digests.add(first[:2_000], second[:2_000])
        digests.add(first[2_000:], second[2_000:])
        assert digests.holds(first, second).all()
        assert not digests.holds(first, second + np.uint64(1)).any()
        assert not digests.holds(first + np.uint64(1), second).any()


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        ([], {}, DataError, "list: no ID in it, and an empty list is taken for a broken one"),
        ([("",), (None,)], {}, DataError, "list: no ID in it"),
        ([(" ",), ("NULL",), ("\u00a0",)], {}, DataError, "list: none of its 3 values can be"),
        ([("mailto:bob@example.com",)], {}, DataError, "list: none of its 1 values can be"),
        ([(sha256("a"),), ("bob",)], {"hashed": True}, DataError, "list: value 2 is no SHA-256"),
        ([(sha256("a"),)], {}, ConfigurationError, "list: all of its 1 values look like SHA-256"),
        ([(1.5,)], {}, ConfigurationError, "column 'id': IDs come as floating-point numbers"),
    ],
)
def test_a_list_that_would_leave_nobody_out_is_an_error(rows, options, error, message) -> None:
    with pytest.raises(error) as caught:
        Suppression().add([table(rows, ["id"])], "list", **options)
    assert str(caught.value).startswith(message)
    assert "bob" not in str(caught.value)


def test_an_empty_list_may_be_allowed() -> None:
    some = Suppression()
    assert some.add([table([], ["id"])], "list", allow_empty=True) == 0
    assert on(some, "bob") == [False]


def test_the_column_may_be_left_out_where_there_is_one_only() -> None:
    with pytest.raises(ConfigurationError, match="list: 2 columns; name the one"):
        Suppression().add([table([("bob", "2026")], ["id", "since"])], "list")


def test_rows_of_users_on_the_list_are_set_aside_and_hold_nothing_up() -> None:
    writer = DataLineWriter(TRAITS)
    writer.suppression = listed("bob", "eve")
    done = run(
        [table([("ann", "1"), ("bob", "2"), ("eve", "x"), ("eve", None), ("cid", "3")])],
        writer,
        max_set_aside=0,
    )
    assert done.text == b"ann\td_sid=1\ncid\td_sid=3\n"
    assert done.result.set_aside_by_reason == {"suppressed": 3}
    assert [(row["row_number"], row["reason"]) for row in done.rejects] == [
        ("2", "suppressed"), ("3", "suppressed"), ("4", "suppressed"),
    ]  # fmt: skip


def test_what_only_takes_traits_away_is_sent() -> None:
    writer = DataLineWriter(
        DataFileSpec(
            dpid=478, id_column="id", traits_columns=("more",), removed_traits_columns=("less",)
        )
    )
    writer.suppression = listed("bob", "eve")
    done = run([table([("bob", None, "5"), ("eve", "1", "5")], ["id", "more", "less"])], writer)
    assert done.text == b"bob\td_unsid=5\n"
    all_of_them = DataFileSpec(
        dpid=478,
        id_column="id",
        traits_columns=("traits",),
        mode=Mode.OVERWRITE,
        remove_all_of_users_without_items=True,
    )
    writer = DataLineWriter(all_of_them)
    writer.suppression = listed("bob", "eve")
    assert run([table([("bob", None), ("eve", "1")])], writer).text == b"bob\t\n"


def test_any_id_of_an_id_sync_counts() -> None:
    spec = IdSyncSpec(master_dpid=0, dpids=(478,), columns=("uuid", "id"))
    writer = IdSyncLineWriter(spec)
    writer.suppression = listed("bob", UUID)
    other = UUID[::-1]
    done = run([table([(UUID, "ann"), (other, "bob"), (other, "cid")], ["uuid", "id"])], writer)
    assert done.text == f"{other}\tcid\n".encode()
    assert done.result.set_aside_by_reason == {"suppressed": 2}


def test_any_hashed_email_of_a_person_counts() -> None:
    spec = IdSyncSpec(
        prefix=IdSyncPrefix.C2C_ID,
        master_dpid=478,
        dpids=(901,),
        columns=("id", "mail"),
        hash_columns=("mail",),
    )
    writer = HashedEmailLineWriter(spec)
    writer.suppression = listed("eve", "bob@example.com")
    rows = [("ann", "ann@example.com"), ("bob", "Bob@example.com"), ("eve", "eve@example.com")]
    done = run([table(rows, ["id", "mail"])], writer)
    assert done.text == f"ann\t{sha256('ann@example.com')}\n".encode()
    assert done.result.set_aside_by_reason == {"suppressed": 2}


@pytest.mark.parametrize(
    ("kind", "entries", "no_ids"),
    [
        (IDFA, [IDFA.example, IDFA.example.lower(), f" {IDFA.example}", "1001", "a@b.com"], 4),
        (DPUUID, ["1001", "1001.00", "0001001", "c:1", "NULL", "1.2E+12", "  "], 4),
        # An address finds the hash that is sent for it.
        (DPUUID, ["jane@example.com", "mailto:jane@example.com", "Jane <jane@example.com>"], 2),
        (AAM_UUID, [UUID, UUID[1:], f"{UUID} "], 2),
    ],
)
def test_entries_that_can_be_no_id_of_the_delivery_are_counted(kind, entries, no_ids) -> None:
    some = listed(*entries, kinds=(kind,))
    assert some.remarks["suppression_no_ids"] == no_ids
    # What is one of any kind may be found.
    both = listed(*entries, kinds=(kind, DPUUID))
    assert both.remarks["suppression_no_ids"] <= no_ids


def test_of_each_list_it_is_counted_how_often_it_found_an_id() -> None:
    some = listed("bob", "ann")
    some.add([table([(sha256("cid"),)], ["id"])], "second", hashed=True)
    some.add([table([("BOB",)], ["id"])], "third")
    assert on(some, "bob", "bob", "cid", "dan") == [True, True, True, False]
    assert [(one.label, one.entries, one.found) for one in some.lists] == [
        ("list", 2, 2), ("second", 1, 1), ("third", 1, 0),
    ]  # fmt: skip
    assert some.remarks == {
        "suppression_entries": 4,
        "suppression_found": 3,
        "suppression_no_ids": 0,
    }


def test_a_list_that_finds_nobody_is_a_warning() -> None:
    writer = DataLineWriter(TRAITS)
    writer.suppression = listed("0001001", "BOB", "c:1", kinds=writer.id_kinds)
    done = run([table([("1001", "1"), ("bob", "2")])], writer)
    assert done.result.rows_written == 2
    assert warnings_of(done.result.remarks) == [
        (
            "1 of 3 entries of the suppression lists cannot be IDs of this delivery, so they "
            "match nobody: check that they are written like its IDs"
        ),
        (
            "none of 3 entries of the suppression lists is among the user IDs: IDs are compared "
            "byte for byte, so check that case, leading zeros and blanks are the same in both"
        ),
    ]
    writer.suppression = listed("bob", kinds=writer.id_kinds)
    assert warnings_of(run([table([("1001", "1"), ("bob", "2")])], writer).result.remarks) == []
    # Of no rows at all nothing can be said.
    writer.suppression = listed("bob", kinds=writer.id_kinds)
    assert warnings_of(run([table([])], writer).result.remarks) == []


def test_partitions_read_the_same_list_and_find_of_it_what_they_have() -> None:
    of_one = {"suppression_entries": 3, "suppression_no_ids": 1, "suppression_found": 0}
    assert together([of_one, {**of_one, "suppression_found": 2}, {"padded_ids": 4}]) == {
        "padded_ids": 4,
        "suppression_entries": 3,
        "suppression_found": 2,
        "suppression_no_ids": 1,
    }
