"""Columns of any type as bytes, and batches of any size."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.files import FileReader
from airflow_am_provider.audience_manager.identifiers import ID_KINDS, OPTED_OUT_GUID
from airflow_am_provider.audience_manager.lines import Severity
from airflow_am_provider.audience_manager.names import named
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting import batches
from airflow_am_provider.formatting.columns.byte_columns import ByteView, as_bytes, column_of
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.remarks import warnings_of
from tests.formatting.arrow_columns import LAYOUTS
from tests.formatting.running import in_pieces, run, table, users
from tests.own_log import own_records

UUID = uuid.UUID("07c7dc4a-cea7-4a89-b328-810ff5acb15d")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_pass_as_they_are(layout):
    values = [
        b" a ",
        None,
        b"\xff\xfe",
        "e\u0301 é".encode(),
        b"",
        b"\0",
        b"\xef\xbb\xbfb",
        b"x" * 9,
    ]
    array = as_bytes(layout(values), "c")
    assert array.type == pa.binary()
    assert array.to_pylist() == values
    assert as_bytes(layout([]), "c").to_pylist() == []


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([1, None, -3]), [b"1", None, b"-3"]),
        (pa.array([2**64 - 1], pa.uint64()), [b"18446744073709551615"]),
        (pa.array([True, None, False]), [b"true", None, b"false"]),
        (pa.array([Decimal("1.50"), None]), [b"1.50", None]),
        (pa.array([Decimal(10**37)], pa.decimal128(38, 0)), [b"1" + b"0" * 37]),
        (pa.array([date(2026, 7, 30)]), [b"2026-07-30"]),
        (pa.array([datetime(2026, 7, 30, tzinfo=UTC)], pa.timestamp("s", "UTC")), None),
        (pa.array([0.5, 3.0]), [b"0.5", b"3"]),
        (pa.array([None, None]), [None, None]),
        (pa.array([1, 1, None]).dictionary_encode(), [b"1", b"1", None]),
        (pa.array([b"\xffa", None], pa.binary(2)), [b"\xffa", None]),
        (pc.run_end_encode(pa.array(["a", "a", None])), [b"a", b"a", None]),
        (pa.array([UUID.bytes, None], pa.uuid()), [str(UUID).encode(), None]),
    ],
)
def test_other_types_become_their_plain_text(array, texts):
    assert as_bytes(array, "c").to_pylist() == (texts or [b"2026-07-30 00:00:00Z"])


@pytest.mark.parametrize("array", [pa.array([1001.0]), pa.array([1001.0]).dictionary_encode()])
def test_ids_never_come_as_floating_point_numbers(array):
    with pytest.raises(ConfigurationError) as caught:
        as_bytes(array, "id", is_id=True)
    assert str(caught.value) == (
        "column 'id': IDs come as floating-point numbers, which changes them; cast the "
        "column to text or to an integer in the source"
    )


@pytest.mark.parametrize("array", [pa.array([1001.0]), pa.array([True])])
def test_what_is_no_id_in_a_signal_is_one_there(array):
    assert as_bytes(array, "c").to_pylist() in ([b"1001"], [b"true"])


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (
            pa.array([Decimal("1.00"), None]),
            (
                "IDs come as decimals, which changes them, as 1001 to 1001.00; "
                "cast the column to an integer in the source"
            ),
        ),
        (
            pa.array([True]),
            "IDs come as truth values, which are none; name another column",
        ),
        (
            pa.array([timedelta(hours=1)]),
            (
                "a length of time would be sent as a number without its unit; make "
                "a number or text of it in the source"
            ),
        ),
    ],
    ids=["decimals", "truth values", "lengths of time"],
)
def test_a_column_that_holds_no_ids_is_refused(array, what):
    for layout in (array, array.dictionary_encode()):
        with pytest.raises(ConfigurationError) as caught:
            as_bytes(layout, "id", is_id=True)
        assert str(caught.value) == f"column 'id': {what}"
    # Without digits behind the point they are integers.
    assert as_bytes(pa.array([Decimal(7)]), "id", is_id=True).to_pylist() == [b"7"]


def test_lengths_of_time_are_no_values_of_signals():
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"t": "key"})
    batch = table([("ann", timedelta(1))], ("id", "t"))
    with pytest.raises(ConfigurationError, match="column 't': a length of time"):
        run([batch], DataLineWriter(spec))


def test_not_a_number_is_no_value_of_a_signal():
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"x": "key"})
    values = [0.5, float("nan"), float("inf"), float("-inf"), None, -1.0]
    batch = table(list(zip("abcdef", values, strict=True)), ("id", "x"))
    done = run([batch], DataLineWriter(spec), max_set_aside=1.0)
    assert done.text == b'a\t"key"="0.5"\nf\t"key"="-1"\n'
    assert done.result.set_aside_by_reason == {"no_items": 1, "value_not_a_number": 3}


def test_trait_ids_never_do_either():
    batch = table([("ann", [24.0])])
    with pytest.raises(ConfigurationError, match="column 'traits': IDs come as floating-point"):
        run([batch])


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (
            pa.array([["1"]]),
            "lists of text have no plain text; only columns of traits or ic codes may be lists",
        ),
        (
            pa.array([{"a": 1}]),
            (
                "records of several fields have no plain text; only columns of traits or ic codes "
                "may be lists"
            ),
        ),
        (
            pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
            "lengths of time have no plain text; cast the column to text in the source",
        ),
    ],
    ids=["list", "record", "interval"],
)
def test_what_has_no_plain_text_is_refused(array, what):
    with pytest.raises(ConfigurationError) as caught:
        as_bytes(array, "c")
    assert str(caught.value) == f"column 'c': {what}"


def test_a_column_must_be_there_once():
    batch = table([("a", "b", "c")], ("id", "x", "x"))
    with pytest.raises(ConfigurationError) as caught:
        column_of(batch, "x")
    assert str(caught.value) == "column 'x': the source has it 2 times; rename one"
    with pytest.raises(ConfigurationError) as caught:
        column_of(batch, "y")
    assert str(caught.value) == "column 'y': the source has no such column among its 3"
    with pytest.raises(ConfigurationError) as caught:
        column_of(batch, "ID")
    assert str(caught.value) == (
        "column 'ID': the source has no such column among its 3; there is 'id', which differs in "
        "case or blanks"
    )


def test_columns_are_checked_though_there_are_no_rows():
    with pytest.raises(ConfigurationError, match="column 'traits': the source has no such column"):
        run([table([], ("id", "nothing"))])


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], None, []],
        pa.array([[1, 2], None, []], pa.large_list(pa.int32())),
        pa.array([[1, 2], None, [None, None]], pa.list_(pa.int64(), 2)),
        pa.array([["1", None, "2"], [None], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.array(["{1,2}", "{NULL}", "{}"]),
        pa.array([" 1 ,2,", ",", None]),
    ],
)
def test_traits_come_as_lists_or_as_text(values):
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["a", "b", "c"]), pa.array(values)], ("id", "traits")
    )
    done = run([batch])
    assert done.text == b"a\td_sid=1,d_sid=2\n"
    assert done.result.set_aside_by_reason == {"no_items": 2}


def test_what_stands_in_a_list_is_no_syntax():
    spec = DataFileSpec(dpid=478, id_column="id", ic_columns=("traits",))
    batch = table([("ann", ["{a", "b}"]), ("bob", ["{NULL}"]), ("eve", ["a,b"])])
    done = run([batch], DataLineWriter(spec), max_set_aside=1)
    assert done.text == b"ann\tic={a,ic=b}\nbob\tic={NULL}\n"
    assert done.result.set_aside_by_reason == {"ic_code": 1}


def test_flags_may_be_all_unknown():
    spec = DataFileSpec(dpid=478, id_column="id", trait_flags={"vip": 7})
    known = table([("ann", True), ("bob", False)], ("id", "vip"))
    unknown = pa.RecordBatch.from_arrays([pa.array(["eve"]), pa.nulls(1)], ("id", "vip"))
    done = run([unknown, known], DataLineWriter(spec))
    assert done.text == b"ann\td_sid=7\n"


def test_flags_are_boolean():
    spec = DataFileSpec(dpid=478, id_column="id", trait_flags={"vip": 7})
    with pytest.raises(ConfigurationError) as caught:
        run([table([("ann", "true")], ("id", "vip"))], DataLineWriter(spec))
    assert str(caught.value) == (
        "column 'vip': a flag for trait 7 must be boolean, not text; cast it in the source"
    )


def test_types_may_change_from_batch_to_batch():
    done = run([table([("a", 1)]), table([(2, "2")]), table([("c", [3])]), table([("d", None)])])
    assert done.text == b"a\td_sid=1\n2\td_sid=2\nc\td_sid=3\n"


def test_a_view_looks_at_a_slice_without_its_surroundings():
    array = pa.array([b"xx", b"", b"abc", b"yy"]).slice(1, 2)
    view = ByteView.of(array)
    assert view.data.tobytes() == b"abc"
    assert view.lengths.tolist() == [0, 3]
    assert view.first_bytes.tolist() == [0, ord("a")]
    assert view.last_bytes.tolist() == [0, ord("c")]
    assert view.rows_where(np.array([False, True, False])).tolist() == [False, True]
    assert view.rows_where(np.array([True, True, True])).tolist() == [False, True]
    assert view.rows_where(np.array([False, False, False])).tolist() == [False, False]


def sizes(source, columns=("id", "traits")):
    return [batch.num_rows for batch in batches.bounded(source, columns)]


def test_batches_have_few_rows():
    whole = users(150_000)
    assert sizes([whole]) == [32_768] * 4 + [18_928]
    assert sizes([whole.slice(0, 10), whole.slice(0, 0)]) == [10, 0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_binary(), pa.string_view(), "dictionary"])
def test_batches_have_few_bytes(kind, monkeypatch):
    monkeypatch.setattr(batches, "MAX_BYTES", 1 << 20)
    texts = pa.array(["x" * 10_000] * 1000)
    texts = texts.dictionary_encode() if kind == "dictionary" else texts.cast(kind)
    batch = pa.RecordBatch.from_arrays([texts, pa.array(range(1000))], ("id", "traits"))
    found = list(batches.bounded([batch], ("id", "traits")))
    assert sum(piece.num_rows for piece in found) == 1000
    assert max(piece.num_rows for piece in found) <= 104
    # Columns that are not needed do not count.
    assert sizes([batch], ("traits",)) == [1000]


def test_long_lists_are_cut_as_well(monkeypatch):
    monkeypatch.setattr(batches, "MAX_BYTES", 1 << 16)
    for kind in (pa.list_(pa.string()), pa.list_(pa.string_view())):
        lists = pa.array([["1234567890"] * 100] * 500, kind)
        batch = pa.RecordBatch.from_arrays([pa.array(range(500)), lists], ("id", "traits"))
        assert sum(sizes([batch])) == 500
        assert 20 <= max(sizes([batch])) <= 64


def test_rows_stay_in_order_however_they_are_cut(monkeypatch):
    monkeypatch.setattr(batches, "MAX_BYTES", 5000)
    monkeypatch.setattr(batches, "MAX_ROWS", 90)
    whole = users(2000)
    done = run(in_pieces(whole, 700))
    assert done.text == b"".join(b"user-%07d\td_sid=24\n" % number for number in range(2000))


def test_keys_that_no_trait_rule_can_use_are_warned_of_and_sent(caplog):
    spec = DataFileSpec(
        dpid=478, id_column="id", signal_columns={"a": "home_city", "b": "price!123", "c": "123"}
    )

    lines = (
        DataLineWriter(spec).format(table([("ann", "1", "2", "3")], ("id", "a", "b", "c"))).lines
    )

    assert lines.to_pylist() == [b'ann\t"home_city"="1","price!123"="2","123"="3"\n']
    assert [record.args[0] for record in own_records(caplog)] == ["price!123", "123"]
    assert "most likely realises no trait" in caplog.text


def test_experience_cloud_ids_stand_in_a_data_source_of_ones_own():
    ecid = "27145613820947213864301775284613928461"
    spec = {"id_column": "id", "id_kind": ID_KINDS["ecid"], "traits_columns": ("traits",)}
    writer = DataLineWriter(DataFileSpec(dpid=478, **spec))

    done = run([table([(ecid, "1"), (ecid[1:], "1")])], writer, max_set_aside=1)

    assert done.text == f"{ecid}\td_sid=1\n".encode()
    assert done.result.set_aside_by_reason == {"id_form": 1}
    with pytest.raises(ConfigurationError, match="Experience Cloud ID does not go with dpid 20914"):
        DataFileSpec(dpid=20914, target_dpid=1, **spec)


@pytest.mark.parametrize("is_refused", [False, True])
def test_hyphens_that_adobe_has_not_confirmed_are_a_warning_or_refused(is_refused):
    tifa = "08f1c36b-74d8-4be5-b0d3-a1c2e4f56789"
    spec = DataFileSpec(
        dpid=963906,
        target_dpid=1,
        id_column="id",
        traits_columns=("traits",),
        refuse_hyphens=is_refused,
    )
    rows = [(tifa, "1"), (f"{tifa}-", "1"), ("a1", "1"), (OPTED_OUT_GUID, "1")]

    done = run([table(rows)], DataLineWriter(spec), max_set_aside=1.0)

    refused = {"id_form": 1, "id_opted_out": 1}
    if is_refused:
        assert done.text == b"a1\td_sid=1\n"
        assert done.result.set_aside_by_reason == {**refused, "id_hyphen": 1}
        assert done.result.remarks == {}
    else:
        assert done.text == f"{tifa}\td_sid=1\na1\td_sid=1\n".encode()
        assert done.result.set_aside_by_reason == refused
        assert done.result.remarks == {"hyphen_ids": 1}
        (warning,) = warnings_of(done.result.remarks)
        assert "1 row has a MAID, TIFA or Vizio IFA with hyphens, and is sent so" in warning
    reader = FileReader(named(DataLineWriter(spec).file_kind, 1366545717))
    assert len(list(reader.lines([f"{tifa}\td_sid=1\n".encode()]))) == 1
    assert [(found.rule, found.severity) for found in reader.findings] == [
        (Rule.ID_HYPHEN, Severity.WARNING)
    ]


def rich(user: str, traits: int) -> list[tuple[str, str]]:
    """Rows that give a user so many traits."""
    starts = range(0, traits, 6_000)
    return [
        (user, ",".join(map(str, range(start, min(start + 6_000, traits))))) for start in starts
    ]


def test_users_who_get_more_traits_than_a_profile_holds_are_told_and_sent():
    rows = [*rich("ann", 150_500), ("cy", "1"), *rich("bob", 150_000)]
    source = list(in_pieces(table(rows), 5))
    done = run(source)
    assert done.result.rows_set_aside == 0
    assert done.result.remarks == {"full_profiles": 1}
    (warning,) = warnings_of(done.result.remarks)
    assert warning == (
        "1 user has more than 150,000 traits by this delivery alone. A profile holds no more, and "
        "the oldest go first (features/administration/usage-limits.md): look for an ID that stands "
        "for many people, or send fewer traits"
    )


def test_traits_that_are_taken_away_and_other_items_fill_no_profile():
    spec = DataFileSpec(dpid=478, id_column="id", removed_traits_columns=("traits",))
    done = run([table(rich("ann", 160_000))], DataLineWriter(spec))
    assert (done.result.rows_written, done.result.remarks) == (27, {})
    spec = DataFileSpec(dpid=478, id_column="id", ic_columns=("traits",))
    done = run([table(rich("ann", 160_000))], DataLineWriter(spec))
    assert (done.result.rows_written, done.result.remarks) == (27, {})
