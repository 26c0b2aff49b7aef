"""A task that sends changes alone is told when what it sent first begins to expire.

A trait that is not sent again for a user expires, after 120 days where nothing else is set
(features/traits/create-onboarded-rule-based-traits.md). Who sends only what has changed loses every
user who never changes, while every receipt is green.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.state import TargetState

TTL_DAYS: Final = 120
#: So many days before the first traits expire it is a warning.
WARN_DAYS: Final = 40

_WHY: Final = (
    "a trait that is not sent again for a user is gone after 120 days, unless it was given another "
    "time in Audience Manager. A task cannot know whether its rows are all or changes alone. If "
    "they are changes alone, send everything {when}, as an .overwrite or with SnapshotDiffOperator "
    "(docs/operators.md, Traits expire)"
)


def expiry_warning(state: TargetState, series: str, today: date) -> str | None:
    """What to tell a task whose ``.sync`` files may hold changes alone; None for nothing as yet.

    :param state: of the target, as it was when the delivery was staged.
    :param series: the task's.
    :param today: the day, in UTC. It decides nothing but whether something is told.
    """
    since = state.said_since.get(series)
    if since is None:
        if not state.previous.get(series):
            return None
        return (
            f"On which day what {series} sent first begins to expire cannot be known, as its first "
            f"deliveries were sent before that was kept: {_WHY.format(when='now')}"
        )
    ends = date.fromisoformat(since) + timedelta(days=TTL_DAYS)
    if today < ends - timedelta(days=WARN_DAYS):
        return None
    begins = "begins" if today < ends else "began"
    when = "before that day" if today < ends else "now"
    return (
        f"What {series} sent first, on {since}, {begins} to expire on {ends}: "
        f"{_WHY.format(when=when)}"
    )
