"""Some thousands of hostile inputs; more of them by ``make fuzz N=1000000 SEED=0``."""

import logging
from collections.abc import Iterator

import pytest

from tests.fuzz.running import grow, run


@pytest.fixture(autouse=True)
def log_again() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def test_whatever_comes_in_is_read_as_what_it_is_or_refused() -> None:
    tallies = run(range(5_000))
    assert [said for tally in tallies.values() for said in tally.failures] == []
    assert all(tally.count for tally in tallies.values())


def test_what_is_repeated_over_and_over_takes_no_longer_than_it_is_long() -> None:
    tallies = grow((1_000, 10_000))
    assert [said for tally in tallies.values() for said in tally.failures] == []
