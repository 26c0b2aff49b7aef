"""When traits expire, by the REST API of the sandbox whose clock takes them away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from airflow_am_provider.audience_manager.api.answers import Trait
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook
from airflow_am_provider.sandbox.account import Account
from airflow_am_provider.sandbox.rest import RestApi, RestConfig
from airflow_am_provider.snapshots.api_times import times_by_api
from airflow_am_provider.snapshots.refresh import TimesToLive
from tests.sandbox.conftest import Bench, T, bench, synced
from tests.snapshots.test_staging_difference import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.connections import Connect

__all__ = ["bench", "synced"]

DAY = 86_400
USERS = [f"u{number}" for number in range(12)]
ACCOUNT = Account(
    traits={478: frozenset({"1", "2", "30", "99"}), 500: frozenset({"7"})},
    trait_ttl_days=40,
    trait_ttls={"30": 12, "99": 0},
)


def asked(api: RestApi, api_connection: Connect, dpid: int = 478) -> TimesToLive:
    """What the hook gets over HTTP."""
    return times_by_api(AudienceManagerApiHook(api_connection(api)), dpid)


@pytest.mark.parametrize("seed", [None, 3])
def test_the_api_tells_the_times_that_the_clock_goes_by(
    api_connection: Connect, seed: int | None
) -> None:
    with RestApi(RestConfig.of(ACCOUNT, seed=seed)) as api:
        assert asked(api, api_connection) == TimesToLive(named={1: 40, 2: 40, 30: 12, 99: 0})
        if seed is None:
            # A token, and the list.
            assert len(api.requests) == 2


def test_audiences_stay_full_by_the_times_of_the_api_and_not_by_the_default(
    bench: Bench, synced: Callable[..., None], api_connection: Connect
) -> None:
    bench.configure(ACCOUNT)
    synced(*USERS)
    crm = dict.fromkeys(USERS, frozenset({1, 2, 30, 99}))
    with RestApi(RestConfig.of(ACCOUNT)) as api:
        assert kept(bench, crm, asked(api, api_connection), T) == {"1", "2", "30", "99"}
    assert kept(bench, crm, TimesToLive(), T + 1000) == {"99"}


def kept(
    bench: Bench, crm: dict[str, frozenset[int]], ttl: TimesToLive, timestamp: int
) -> set[str]:
    """Which traits everybody has after 88 days with a run every four."""
    world, day = World(), date(2026, 3, 1)
    for number in range(23):
        staged = world.extract(crm, number, run_day=day + timedelta(days=4 * number), ttl=ttl)
        lines = world.text(staged) if staged.manifest.parts else []
        if lines:
            bench.take(f"ftp_dpm_478_{timestamp + number}.sync", lines)
        world.acknowledge(staged)
        bench.run(after_s=4 * DAY)
    with bench.profiles() as profiles:
        found = [profiles.traits(478, user) for user in USERS]
    return set(frozenset.intersection(*found))


@dataclass
class Told:
    """An API that tells these traits."""

    list: Sequence[Trait]

    def traits(self, dpids: Sequence[int]) -> Sequence[Trait]:
        assert dpids == [478]
        return self.list


def trait(sid: int, ttl_days: int | None, kind: str = "ON_BOARDED_TRAIT") -> Trait:
    return Trait(sid=sid, kind=kind, dpid=478, ttl_days=ttl_days)


def test_what_is_not_told_counts_as_120_days_and_what_no_file_sets_does_not_count() -> None:
    told = Told([trait(1, None), trait(2, 120), trait(3, 7), trait(4, 9, "RULE_BASED_TRAIT")])
    assert times_by_api(told, 478) == TimesToLive(others=120, named={3: 7})


def test_an_api_that_shows_no_trait_or_a_time_that_is_none_is_no_ground_to_go_by() -> None:
    with pytest.raises(ConfigurationError) as nothing:
        times_by_api(Told([trait(4, 9, "RULE_BASED_TRAIT")]), 478)
    assert str(nothing.value) == (
        "trait_ttl_days: the API shows no onboarded trait of data source 478. Put its technical "
        "account into a group that may view them, or set days"
    )
    with pytest.raises(ConfigurationError, match="that trait 3 expires after -1 days; set days"):
        times_by_api(Told([trait(3, -1)]), 478)
