"""What is said again though it still holds, since traits expire.

A trait that is sent for a user expires some days later, 120 by default, unless it is sent again
(features/traits/create-onboarded-rule-based-traits.md, features/traits/segment-ttl-explained.md).
So each user has a turn every so many days, by the hash of the user ID: what the user still has is
sent again then. A run has the turns of all days since the last acknowledged extract, so that what a
missed run, or a delivery that was lost or rejected, should have said is said by the next one.

Days are those of runs, as Airflow says them, and no worker's clock is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.snapshots import STRAGGLERS_LAST
from airflow_am_provider.deliveries.target.state import Refreshed
from airflow_am_provider.snapshots.user_traits import MAX_TRAIT, places_of, traits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_am_provider.deliveries.target.state import SnapshotSeries
    from airflow_am_provider.formatting.columns.byte_columns import Marks
    from airflow_am_provider.formatting.columns.row_hash import Hashes
    from airflow_am_provider.snapshots.user_traits import Pairs

#: Audience Manager's own (features/traits/create-onboarded-rule-based-traits.md).
DEFAULT_TTL_DAYS: Final = 120
#: A hundred years: more is a mistake.
MAX_TTL_DAYS: Final = 36_500
#: The key that stands for all traits that are not named.
OTHERS: Final = "default"
# What is sent can be used after 48 hours (faq/faq-inbound-data-ingestion.md), files are read twice
# a day, and the receipt comes after that.
_PROCESSING_DAYS: Final = 4


def turn_days(ttl_days: int) -> int:
    """Every how many days a trait is said again; 0 for never.

    A third of its time is left for runs that are late, fail, or come once a month.

    >>> [turn_days(days) for days in (120, 30, 7, 1, 0)]
    [80, 20, 3, 1, 0]
    """
    if ttl_days == 0:
        return 0
    return max(1, min(ttl_days * 2 // 3, ttl_days - _PROCESSING_DAYS))


@dataclass(frozen=True, kw_only=True)
class TimesToLive:
    """After how many days traits expire that are not sent again; 0 for never.

    :param others: of traits that are not named.
    :param named: by trait ID.
    """

    others: int = DEFAULT_TTL_DAYS
    named: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, parameter: str, value: object) -> TimesToLive:
        """Read what a user has set: days; or days by trait ID, with ``default`` for the others.

        :param parameter: its name, for messages.
        :raises ConfigurationError: when it is something else.

        >>> TimesToLive.parse("trait_ttl_days", {"24": 30, "28": 0})
        TimesToLive(others=120, named={24: 30, 28: 0})
        """
        if not isinstance(value, Mapping):
            return cls(others=_days(parameter, value))
        named = {}
        for trait, days in value.items():
            if trait != OTHERS:
                place = f"{parameter}[{trait!r}]"
                named[_trait(place, trait)] = _days(place, days)
        others = value.get(OTHERS, DEFAULT_TTL_DAYS)
        return cls(others=_days(f"{parameter}[{OTHERS!r}]", others), named=named)

    @property
    def turns(self) -> dict[str, int]:
        """Every how many days each trait is said again, by its ID or ``default``."""
        named = {str(trait): turn_days(days) for trait, days in sorted(self.named.items())}
        return {OTHERS: turn_days(self.others), **named}


NEVER: Final = TimesToLive(others=0)


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """Which users have their turn in a run.

    :param day: the run's day.
    :param ttl: when traits expire.
    :param since: up to which day turns were had, the oldest first, and every how many days: what
        was said since the first of them is said again. None at all: nothing is known, so that
        whatever still holds is said again.
    """

    day: date
    ttl: TimesToLive
    since: tuple[Refreshed, ...] = ()

    @classmethod
    def of(cls, series: SnapshotSeries, day: date, ttl: TimesToLive) -> Refresh:
        """The turns since the last acknowledged extract.

        Where nothing but time shows that it was read, its turns are had again for some extracts.
        """
        known = series.acknowledged
        if known is None:
            return cls(day=day, ttl=ttl)
        is_open = known.number <= series.open_until
        since = 1 + STRAGGLERS_LAST if is_open else 1
        return cls(day=day, ttl=ttl, since=known.refreshed[-since:])

    @property
    def noted(self) -> tuple[Refreshed, ...]:
        """What the new extract knows of turns."""
        # A run of an earlier day, as in a backfill, takes nothing back.
        days = [self.day.isoformat(), *(one.until for one in self.since)]
        return (*self.since, Refreshed(until=max(days), turns=self.ttl.turns))

    @property
    def days_since(self) -> int | None:
        """How many days have passed since the last turns; None when that is not known."""
        if not self.since:
            return None
        return (self.day - date.fromisoformat(self.since[-1].until)).days

    def is_late(self) -> bool:
        """Whether so much time has passed that traits may have expired meanwhile."""
        days = self.days_since or 0
        ttls = (self.ttl.others, *self.ttl.named.values())
        return any(0 < ttl < turn_days(ttl) + days for ttl in ttls if ttl > _PROCESSING_DAYS)

    def due(self, hashes: Hashes, pairs: Pairs) -> Marks:
        """Which pairs are said again.

        :param hashes: of all users' IDs.
        :param pairs: what they still have.
        """
        turns = self.ttl.turns
        places = places_of(pairs)
        found: Marks = self._users(hashes, turns[OTHERS], self._is_new(OTHERS))[places]
        named = {trait for one in (turns, *(one.turns for one in self.since)) for trait in one}
        alike: dict[tuple[int, bool], list[int]] = {}
        for trait in named - {OTHERS}:
            rule = (turns.get(trait, turns[OTHERS]), self._is_new(trait))
            alike.setdefault(rule, []).append(int(trait))
        for (days, is_new), traits in alike.items():
            these = np.isin(traits_of(pairs), np.array(traits, np.uint32))
            found[these] = self._users(hashes, days, is_new)[places[these]]
        return found

    def _is_new(self, trait: str) -> bool:
        """Whether a trait was said at other times until now, or at none."""
        return not self.since or len(set(_turns_of(trait, self._all_turns()))) > 1

    def _all_turns(self) -> Sequence[Mapping[str, int]]:
        return [self.ttl.turns, *(one.turns for one in self.since)]

    def _users(self, hashes: Hashes, days: int, is_new: bool) -> Marks:
        """Which users have their turn, where one comes every so many days."""
        if days == 0:
            return np.zeros(len(hashes), bool)
        passed = 0
        if self.since:
            passed = (self.day - date.fromisoformat(self.since[0].until)).days
        if is_new or passed >= days:
            return np.ones(len(hashes), bool)
        if passed <= 0:
            return np.zeros(len(hashes), bool)
        every = np.uint64(days)
        today = np.uint64(self.day.toordinal() % days)
        days_ago = (today + every - hashes % every) % every
        have_it: Marks = days_ago < passed
        return have_it


def _turns_of(trait: str, several: Iterable[Mapping[str, int]]) -> list[int]:
    return [turns.get(trait, turns[OTHERS]) for turns in several]


def _days(parameter: str, value: object) -> int:
    """A number of days; None and nothing stand for never."""
    text = str(value).strip()
    if value is None or text in {"", "None"}:
        return 0
    is_number = text.isascii() and text.isdigit() and not isinstance(value, bool)
    if not is_number or int(text) > MAX_TTL_DAYS:
        raise ConfigurationError(
            f"{parameter}: {value!r} is not a number of days; 120 is Audience Manager's default, "
            f"and 0 means that traits never expire "
            f"(features/traits/create-onboarded-rule-based-traits.md)"
        )
    return int(text)


def _trait(place: str, trait: object) -> int:
    text = str(trait)
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_TRAIT:
        raise ConfigurationError(
            f"{place}: {trait!r} is neither a trait ID, which is digits only "
            f"(inbound-file-contents.md), nor {OTHERS!r}, which stands for all others"
        )
    return int(text)
