"""When traits expire, as Adobe's REST API tells it (aam-api-getting-started.md)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.snapshots.refresh import DEFAULT_TTL_DAYS, MAX_TTL_DAYS, TimesToLive
from airflow_am_provider.snapshots.user_traits import MAX_TRAIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.audience_manager.api.answers import Trait

log = logging.getLogger(__name__)

#: What a user sets in place of days.
BY_API: Final = "api"


class Api(Protocol):
    """Who is asked: the hook of the API."""

    def traits(self, dpids: Sequence[int]) -> Sequence[Trait]:
        """All traits of some data sources."""
        ...


def times_by_api(api: Api, target_dpid: int) -> TimesToLive:
    """After how many days the traits of a data source expire.

    The list of its traits is read once, page by page, whatever the extract names. A trait that is
    not in it, or whose time it does not tell, counts as 120 days, which is Audience Manager's own
    time: to say a trait too often costs some bytes, and to say it too seldom loses it.

    :param api: who is asked.
    :param target_dpid: the data source whose traits are set.
    :raises ConfigurationError: when the API shows no onboarded trait of it, or a time that is none.
    :raises TransientError: when the API does not answer.
    """
    traits = [one for one in api.traits([target_dpid]) if one.is_onboarded and one.sid <= MAX_TRAIT]
    if not traits:
        raise ConfigurationError(
            f"trait_ttl_days: the API shows no onboarded trait of data source {target_dpid}. Put "
            f"its technical account into a group that may view them, or set days"
        )
    told = {one.sid: one.ttl_days for one in traits if one.ttl_days is not None}
    for sid, days in told.items():
        if not 0 <= days <= MAX_TTL_DAYS:
            raise ConfigurationError(
                f"trait_ttl_days: the API says that trait {sid} expires after {days} days; set days"
            )
    named = {sid: days for sid, days in told.items() if days != DEFAULT_TTL_DAYS}
    log.info(
        "%s traits of data source %s: the API says that %s of them expire after %s days, "
        "and %s after others; it says nothing of %s, and they count as %s",
        f"{len(traits):,}",
        target_dpid,
        f"{len(told) - len(named):,}",
        DEFAULT_TTL_DAYS,
        f"{len(named):,}",
        f"{len(traits) - len(told):,}",
        DEFAULT_TTL_DAYS,
    )
    return TimesToLive(named=named)
