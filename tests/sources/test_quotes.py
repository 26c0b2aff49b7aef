"""Quotation marks in CSV files: none may hide rows."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.sources.quotes import QuoteCheck
from airflow_am_provider.sources.tables import read_table

GOOD = "".join(f"u{n},24,Rome\n" for n in range(300_000))


def read(text: str, name: str = "crm.csv", **options: str) -> int:
    batches = read_table(io.BytesIO(text.encode()), name, ["id", "traits"], **options)
    return sum(batch.num_rows for batch in batches)


@pytest.mark.parametrize("rows_behind", [GOOD, "ben,24,Rome\n", ""])
def test_a_mark_that_is_never_closed_is_an_error_wherever_it_stands(rows_behind: str) -> None:
    with pytest.raises(DataError, match=r"the quotation mark in line 3 is never closed"):
        read(f'id,traits,city\nann,24,Rome\nann1,24,"Rome\n{rows_behind}')


def test_a_mark_that_another_one_far_behind_seems_to_close_is_an_error() -> None:
    text = f'id,traits,city\nann,24,"Rome\n{GOOD}ben,24,"Paris"\n'
    with pytest.raises(DataError, match=r"mark in line 300,003 neither begins nor ends a field"):
        read(text)


def test_a_mark_within_a_field_is_an_error() -> None:
    with pytest.raises(DataError, match=r"line 2 neither begins nor ends a field"):
        read('id,traits,size\nann,24,5" pipe\n')


@pytest.mark.parametrize(
    "text",
    [
        'id,traits\n"a\nb","1,2"\r\n"","x""y"\n"""",""""""\n',
        '"id","traits"\n"a","1"',
        'id,traits\r"a","1"\r',
    ],
)
def test_marks_that_belong_there_are_no_error(text: str) -> None:
    assert read(text) == len(list(csv.reader(io.StringIO(text, newline="")))) - 1


@given(
    st.lists(st.lists(st.text('ab",\n\r\t;'), min_size=2, max_size=3), min_size=1),
    st.integers(1, 5),
    st.sampled_from(",;\t"),
)
def test_whatever_a_writer_of_csv_writes_passes_in_pieces_of_any_size(rows, size, delimiter):
    target = io.StringIO(newline="")
    csv.writer(target, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        rows
    )
    content = target.getvalue().encode()
    check = QuoteCheck("crm.csv", delimiter)
    for start in range(0, len(content), size):
        check.see(content[start : start + size])
    check.end()
    with pytest.raises(DataError):  # noqa: PT012  # one mark more, wherever it is noticed
        check = QuoteCheck("crm.csv", delimiter)
        check.see(content + b'"x\n')
        check.end()


@pytest.mark.parametrize("delimiter", ["", "\\t", ";;", "ß"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ConfigurationError, match="is not one character"):
        read("id,traits\na,1\n", delimiter=delimiter)
