"""Traits go when nobody sends them again."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from airflow_am_provider.sandbox import Account, SignalRule
from airflow_am_provider.sandbox.events import Kind
from tests.sandbox.conftest import Bench, T

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86_400


def ann(bench: Bench) -> frozenset[str]:
    with bench.profiles() as profiles:
        return profiles.traits(478, "ann")


def test_after_120_days_a_trait_that_was_not_sent_again_is_gone(
    bench: Bench, synced: Callable[..., None]
) -> None:
    synced("ann")
    bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1,d_sid=2"])
    bench.run(after_s=60 * DAY)
    bench.take(f"ftp_dpm_478_{T + 1}.sync", ["ann\td_sid=2"])
    bench.run(after_s=60 * DAY - 7200)
    assert ann(bench) == {"1", "2"}

    events = bench.run(after_s=7200)

    assert ann(bench) == {"2"}
    told = [event for event in events if event.kind is Kind.TRAITS_EXPIRED]
    assert [event.details for event in told] == [{"traits": 1}]
    bench.run(after_s=60 * DAY)
    assert ann(bench) == frozenset()


@pytest.mark.parametrize("mode", ["sync", "overwrite"])
def test_the_time_begins_anew_with_each_file_of_either_mode(
    bench: Bench, synced: Callable[..., None], mode: str
) -> None:
    synced("ann")
    for number in range(4):
        bench.take(f"ftp_dpm_478_{T + number}.{mode}", ["ann\td_sid=1"])
        bench.run(after_s=100 * DAY)
        assert ann(bench) == {"1"}


def test_traits_have_times_of_their_own_and_0_is_never(
    bench: Bench, synced: Callable[..., None]
) -> None:
    rule = SignalRule(dpid=478, key="city", value="Rome", trait="4")
    bench.configure(Account(trait_ttl_days=30, trait_ttls={"2": 7, "3": 0}, rules=(rule,)))
    synced("ann")
    bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1,d_sid=2,d_sid=3,city=Rome"])
    bench.run(after_s=7 * DAY)
    assert ann(bench) == {"1", "3", "4"}
    bench.run(after_s=1000 * DAY)
    assert ann(bench) == {"3"}


def test_a_sandbox_that_never_expires_anything(bench: Bench, synced: Callable[..., None]) -> None:
    bench.configure(Account(trait_ttl_days=0))
    synced("ann")
    bench.take(f"ftp_dpm_478_{T}.sync", ["ann\td_sid=1"])
    bench.run(after_s=1000 * DAY)
    assert ann(bench) == {"1"}


def test_a_database_of_an_earlier_version_goes_on_and_its_traits_begin_anew(bench: Bench) -> None:
    database = sqlite3.connect(bench.config.database)
    database.executescript(
        """CREATE TABLE traits (
            user INTEGER NOT NULL, dpid INTEGER NOT NULL, trait TEXT NOT NULL,
            delivery INTEGER NOT NULL, PRIMARY KEY (user, dpid, trait)) WITHOUT ROWID;
        INSERT INTO traits VALUES (1, 478, '1', 1);"""
    )
    database.close()
    bench.run()
    with bench.profiles() as profiles:
        assert profiles.traits(478, "ann") == frozenset()
    database = sqlite3.connect(bench.config.database)
    assert database.execute("SELECT count(*) FROM traits WHERE said_at > 0").fetchone() == (1,)
    database.close()
