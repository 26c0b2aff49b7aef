"""A line that is lost is never lost for a mere warning."""

import pytest

from airflow_am_provider.audience_manager.identifiers import DPUUID, GAID, OPTED_OUT_GUID, IdKind
from airflow_am_provider.audience_manager.lines import WARNINGS, DataLine, read_data_line
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.audience_manager.rules import Rule


def test_a_line_with_nothing_but_empty_items_has_no_items() -> None:
    line, rules = read_data_line(b"ann\t,, ,")

    assert line is None
    assert rules == [*[Rule.EMPTY_ITEM] * 4, Rule.NO_ITEMS]


def test_an_opted_out_device_loses_its_traits_like_any_other() -> None:
    raw = f"{OPTED_OUT_GUID}\t".encode()

    line, rules = read_data_line(raw, kind=GAID, mode=Mode.OVERWRITE)

    assert line == DataLine(user_id=OPTED_OUT_GUID, items=())
    assert rules == [Rule.ID_OPTED_OUT]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", [DPUUID, GAID])
@pytest.mark.parametrize(
    "raw",
    [b"ann\t", b"ann\t ", b"ann\t,", b"ann\td_sid=x", b"ann", b"\td_sid=1", b"a:b\td_sid=1",
     f"{OPTED_OUT_GUID}\t".encode(), f"{OPTED_OUT_GUID}\t,".encode(), b"ann\t\td_sid=1"],
)  # fmt: skip
def test_what_is_not_taken_breaks_a_rule_that_says_so(raw: bytes, kind: IdKind, mode: Mode) -> None:
    line, rules = read_data_line(raw, kind=kind, mode=mode)

    assert line is not None or any(rule not in WARNINGS for rule in rules)
