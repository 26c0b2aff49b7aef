"""Lists of the API that are not as they should be: what is taken, and what is told."""

import pytest

from airflow_am_provider.audience_manager.api.answers import Trait
from airflow_am_provider.audience_manager.api.paging import pages


def listed(*answers: object) -> list[object]:
    """What comes of these answers; the last one is given again and again."""
    way = pages({}, "sid")
    next(way)
    try:
        for number in range(10):
            way.send(answers[min(number, len(answers) - 1)])
    except StopIteration as done:
        return list(done.value)
    raise AssertionError("it does not end")


def test_entries_without_their_number_do_not_hide_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entries = [{"sid": 1}, {}, {"sid": None}, {"sid": "2"}]
    assert listed({"total": 4, "list": entries}) == [{"sid": 1}, {"sid": "2"}]
    assert caplog.messages == ["Left out: 2 entries of the API without 'sid'"]


@pytest.mark.parametrize("page", [[], [{"sid": 1}]])
def test_a_list_that_is_shorter_than_its_total_is_told(
    page: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    assert listed({"total": 1000, "list": page}) == page
    (said,) = caplog.messages
    assert said == f"The API says that there are 1000 entries, and gave {len(page)}: taken for all"


def test_numbers_may_come_as_text() -> None:
    trait = Trait.from_json({"sid": "31", "dataSourceId": "478", "ttl": "120"})
    assert (trait.sid, trait.dpid, trait.ttl_days) == (31, 478, 120)
