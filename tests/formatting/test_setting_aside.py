"""Rows that are not sent: what is kept of them, how many there may be, and what never leaks."""

import hashlib

import pyarrow as pa
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.names import Encoding, IdSyncPrefix
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter, IdSyncSpec
from airflow_am_provider.formatting.pipeline import FormatOptions
from tests.formatting.arrow_columns import GARBAGE, LAYOUTS, with_garbage
from tests.formatting.memory_folder import MemoryFolder
from tests.formatting.running import in_pieces, rejects, run, table, users

SECRET = b"TOPSECRET"
ALL = DataFileSpec(
    dpid=478,
    id_column="id",
    traits_columns=("traits",),
    removed_traits_columns=("gone",),
    ic_columns=("ic",),
    signal_columns={"signal": "key"},
)
NAMES = ("id", "traits", "gone", "ic", "signal")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("rows_per_batch", [3, 100])
def test_nothing_of_a_rejected_row_leaks(layout, place, rows_per_batch):
    good = [b"good-id", b"24", b"28", b"52", b"value"]
    rows = []
    for number in range(40):
        row = [b"good-%d" % number, *good[1:]]
        if number % 4 == 1:
            # One cell breaks a rule; all of them hold what must not be seen again.
            row = [SECRET + b"-%d" % number, b"1", b"2", SECRET.lower(), b"a" + SECRET]
            row[place] = SECRET + b'\t,"' if place else SECRET + b"\n"
        elif number % 4 == 2:
            row[place] = None
        rows.append(row)
    columns = [layout(column) for column in zip(*rows, strict=True)]
    batch = pa.RecordBatch.from_arrays(columns, NAMES)
    done = run(
        in_pieces(batch, rows_per_batch),
        DataLineWriter(ALL),
        encoding=Encoding.PLAIN,
        max_set_aside=1.0,
    )
    assert done.result.set_aside_by_reason.keys() <= {
        "id_control_character",
        "trait_not_numeric",
        "ic_code",
        "value_control_character",
        "empty_id",
    }
    assert done.result.rows_set_aside == (20 if place == 0 else 10)
    for content in done.storage.files.values():
        assert SECRET not in content.upper()
        assert GARBAGE[:6] not in content


def test_what_lies_behind_nulls_is_not_sent():
    values = [None, b"a", None, b"b", None]
    batch = pa.RecordBatch.from_arrays(
        [pa.array([b"u%d" % row for row in range(5)]), with_garbage(values)], ("id", "signal")
    )
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"signal": "key"})
    done = run([batch], DataLineWriter(spec))
    assert done.text == b'u1\t"key"="a"\nu3\t"key"="b"\n'


def test_rejects_tell_rows_and_reasons_and_hide_ids():
    batch = table(
        [("user-0001", "24"), ("customer:0002", "24"), ("abc", "x"), ("", "24"), ("no items", "")]
    )
    done = run([batch], max_set_aside=3)
    digests = [hashlib.sha256(value).hexdigest() for value in (b"customer:0002", b"abc", b"")]
    assert done.storage.files["d/rejects.csv"].decode() == (
        "row_number,reason,id_masked,id_sha256\n"
        f"2,id_colon,cu… (13 characters),{digests[0]}\n"
        f"3,trait_not_numeric,… (3 characters),{digests[1]}\n"
        f"4,empty_id,… (0 characters),{digests[2]}\n"
        f"5,no_items,no… (8 characters),{hashlib.sha256(b'no items').hexdigest()}\n"
    )


@pytest.mark.parametrize(
    "user_id", ["jane@example.com", "+442079460958", "+442079460958\n", "jane@example.com\t"]
)
def test_ids_that_are_personal_data_are_not_even_hashed(user_id):
    done = run([table([(user_id, "24"), ("bob", "24")])], max_set_aside=1)
    (row,) = done.rejects
    assert (row["id_masked"], row["id_sha256"]) == ("", "")
    assert hashlib.sha256(user_id.encode()).hexdigest() not in str(done.storage.files)


@pytest.mark.parametrize("allowed", [2, 0.02])
def test_as_many_rows_as_allowed_may_be_set_aside(allowed):
    bad = table([("a:b", "24"), ("user", "x")])
    assert run([users(98), bad], max_set_aside=allowed).result.rows_written == 98


@pytest.mark.parametrize(("allowed", "words"), [(1, "1"), (0.019, "1.90%"), (0, "0")])
def test_more_than_allowed_fails_with_the_reasons(allowed, words):
    storage = MemoryFolder()
    bad = table([("a:b", "24"), ("user", "x"), ("user-0000000", "24"), ("silent", "")])
    with pytest.raises(DataError) as caught:
        run([users(98), bad], storage=storage, max_set_aside=allowed)
    assert str(caught.value) == (
        f"2 of 102 rows break a rule, max_set_aside allows {words}: 1 id_colon (a DPUUID holds "
        f"neither ':' nor '%3A'), 1 trait_not_numeric (trait IDs are digits only). Traits that "
        f"are JSON, or separated by ';' or '|', need traits_separator. Nothing was sent; mend "
        f"the source, or raise max_set_aside if these rows may be left out. Rows set "
        f"aside are listed in memory://staging/d/rejects.csv"
    )
    assert list(storage.files) == ["d/rejects.csv"]
    assert [row["row_number"] for row in rejects(storage)] == ["99", "100", "102", "1"]


def test_what_loses_nothing_does_not_count():
    twice = users(50)
    done = run([twice, twice, table([("silent", "")] * 50)], max_set_aside=0)
    assert done.result.set_aside_by_reason == {"duplicate_line": 50, "no_items": 50}
    assert (done.result.rows_read, done.result.rows_written) == (150, 50)


@pytest.mark.parametrize("allowed", [-1, -0.1, 1.5, float("nan"), True])
def test_a_limit_is_a_count_or_a_share(allowed):
    with pytest.raises(ConfigurationError) as caught:
        FormatOptions(max_set_aside=allowed)
    assert str(caught.value) == (
        f"max_set_aside: {allowed!r} is neither a number of rows nor a share from 0.0 to 1.0"
    )


ADVICE = (
    " are e-mail addresses or phone numbers in the clear, which must not be sent. Choose another "
    "column, or hash it; for hashed e-mails use hash_columns in an ID sync "
    "(batch-data-transfer-overview.md). Rows set aside are listed in "
    "memory://staging/d/rejects.csv"
)


def test_a_column_of_personal_data_fails_at_once():
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield table([(f"jane.{number}.{row}@example.com", "24") for row in range(600)])

    storage = MemoryFolder()
    with pytest.raises(DataError) as caught:
        run(source(), storage=storage, max_set_aside=1.0)
    message = "column 'id' holds personal data: 1,200 of its first 1,200 values" + ADVICE
    assert str(caught.value) == message
    assert "jane" not in str(caught.value)
    assert len(taken) < 10
    assert list(storage.files) == ["d/rejects.csv"]
    assert b"jane" not in storage.files["d/rejects.csv"]


def test_a_few_strange_values_at_the_start_say_nothing():
    first = table([("jane@example.com", "24")])
    assert run([first, users(500)], max_set_aside=1).result.rows_written == 500


def test_a_short_column_of_personal_data_fails_at_the_end():
    batch = table([("user", "+442079460958"), ("other", "+442079460959"), ("third", "x")])
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"traits": "phone"})
    with pytest.raises(DataError) as caught:
        run([batch], DataLineWriter(spec), max_set_aside=1.0)
    message = "column 'traits' holds personal data: 2 of its first 3 values" + ADVICE
    assert str(caught.value) == message


def test_a_column_with_few_values_is_judged_by_these():
    rows = [(f"user-{number}", None, "x") for number in range(900)]
    rows += [(f"{number}", f"u{number}@example.com", "x") for number in range(100)]
    batch = table(rows, ("id", "contact", "other"))
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"contact": "c", "other": "o"})
    with pytest.raises(
        DataError, match="column 'contact' holds personal data: 100 of its first 100"
    ):
        run([batch], DataLineWriter(spec), max_set_aside=1.0)


def test_codes_that_are_personal_data_are_found_as_well():
    spec = DataFileSpec(dpid=478, id_column="id", ic_columns=("traits",))
    batch = table([("user", "jane@example.com"), ("other", "joe@example.com")])
    with pytest.raises(DataError, match="column 'traits' holds personal data: 2 of its first 2"):
        run([batch], DataLineWriter(spec), max_set_aside=1.0)


def test_linked_ids_that_are_personal_data_are_found():
    spec = IdSyncSpec(master_dpid=0, dpids=(478,), columns=("uuid", "email"))
    batch = table([("1" * 38, "jane@example.com")], spec.columns)
    with pytest.raises(DataError, match="column 'email' holds personal data: 1 of its first 1"):
        run([batch], IdSyncLineWriter(spec), max_set_aside=1.0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("jane%40example.com", "email_form"),
        ("55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149", "email_form"),
        ("no address", "email_form"),
    ],
)
def test_what_is_no_address_is_not_hashed(value, reason):
    spec = IdSyncSpec(
        master_dpid=478,
        dpids=(479,),
        columns=("id", "email"),
        prefix=IdSyncPrefix.C2C_ID,
        hash_columns=("email",),
    )
    done = run(
        [table([("ann", value)], spec.columns)], HashedEmailLineWriter(spec), max_set_aside=1
    )
    assert done.result.set_aside_by_reason == {reason: 1}
    assert done.text == b""
