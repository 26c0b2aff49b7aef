"""Traits in text: by a mark of one's own, and as JSON."""

from __future__ import annotations

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from tests.formatting.running import run, table


def spec(separator: str) -> DataFileSpec:
    return DataFileSpec(
        dpid=478, id_column="id", traits_columns=("traits",), traits_separator=separator
    )


@pytest.mark.parametrize(
    ("separator", "text"),
    [
        (";", "1;22"), (";", " 1 ; 22;"), ("|", "1|22"), (" ", "1  22"), ("\t", "1\t22"),
        ("json", "[1,22]"), ("json", "[1, 22]"), ("json", '["1", "22"]'), ("json", "[\n1,\n22 ]"),
        ("json", "[1, null, 22]"),
    ],
)  # fmt: skip
def test_traits_are_taken_by_a_setting(separator: str, text: str) -> None:
    done = run([table([("ann", text)])], DataLineWriter(spec(separator)))
    assert done.text == b"ann\td_sid=1,d_sid=22\n"
    # Lists need no separator, and have none.
    done = run([table([("ann", ["1", "22"])])], DataLineWriter(spec(separator)))
    assert done.text == b"ann\td_sid=1,d_sid=22\n"


@pytest.mark.parametrize("text", ["1;22", "1|22", "[1,22]"])
def test_without_it_the_message_says_which_setting(text: str) -> None:
    with pytest.raises(DataError, match="Traits that are JSON, or separated by"):
        run([table([("ann", text)])])


def test_a_comma_is_no_separator_when_another_one_is_set() -> None:
    done = run([table([("ann", "1,22")])], DataLineWriter(spec(";")), max_set_aside=1)
    assert done.result.set_aside_by_reason == {"trait_not_numeric": 1}


@pytest.mark.parametrize(
    "separator", ["", "a", "1", ";;", "-", ".", '"', "[", "\n", "\0", "é", "JSON", "None"]
)
def test_what_may_not_stand_between_traits(separator: str) -> None:
    with pytest.raises(ConfigurationError, match=r"traits_separator: .* is neither one character"):
        spec(separator)
