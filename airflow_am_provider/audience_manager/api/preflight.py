"""What would come back as failed, known before anything is sent: data sources and traits.

Adobe takes any file. A trait that is not onboarded, or not of the target data source, comes back
as *failed validation*; a file for a data source that is not one's own is not processed at all, and
nothing comes back (inbound-receipt-message.md, features/datasources-list-and-settings.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.identifiers import (
    is_device_data_source,
    kind_of_data_source,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_am_provider.audience_manager.api.answers import DataSource, Trait

__all__ = ["Contents", "Finding", "Severity", "preflight"]

# A trait can be used about four hours after it was made
# (features/traits/trait-and-segment-qualification-reference.md).
USABLE_AFTER_S: Final = 4 * 3600.0
# So many traits that are not the target's are looked up one by one, to say what they are.
_LOOKED_UP: Final = 20

_TRAITS_PAGE: Final = "features/traits/create-onboarded-rule-based-traits.md"
_SOURCES_PAGE: Final = "features/datasources-list-and-settings.md"
_RECEIPT_PAGE: Final = "inbound-receipt-message.md"


class Severity(StrEnum):
    """Whether a delivery is held back for it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that the API knows and the delivery does not fit.

    :param severity: ``error``, or ``warning``.
    :param about: what it is about: ``trait 24``, ``data source 478``, ``signal colour``.
    :param rule: what is wrong, by which rule, and what to do.
    """

    severity: Severity
    about: str
    rule: str

    def __str__(self) -> str:
        return f"{self.about}: {self.rule}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a delivery says, without its users.

    :param dpid: the data source whose IDs are in it.
    :param target_dpid: the data source whose traits are set.
    :param traits: the number of each trait that it gives.
    :param removed_traits: the number of each trait that it takes away.
    :param signal_keys: the keys of its signals; ``ic`` among them for codes.
    """

    dpid: int
    target_dpid: int
    traits: frozenset[int] = frozenset()
    removed_traits: frozenset[int] = frozenset()
    signal_keys: tuple[str, ...] = ()


class Api(Protocol):
    """Who is asked: the hook of the API."""

    def data_source(self, dpid: int) -> DataSource | None:
        """One data source, or None."""
        ...

    def traits(self, dpids: Sequence[int]) -> Sequence[Trait]:
        """All traits of some data sources."""
        ...

    def trait(self, sid: int) -> Trait | None:
        """One trait, or None."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """What was found.

    :param findings: errors first.
    :param ttl_days: after how many days each trait ends that the target data source has and the
        delivery names, where the API says so; 0 for never.
    """

    findings: tuple[Finding, ...]
    ttl_days: Mapping[int, int] = field(default_factory=dict)


def preflight(contents: Contents, api: Api, *, now: float) -> Preflight:
    """Hold a delivery against what the API knows. What it costs does not grow with its rows.

    :param contents: what it says.
    :param api: who is asked: once for each data source and for the target's traits, and for up to
        twenty traits that are not among them, of those given and of those taken away.
    :param now: seconds since 1970.
    """
    traits = {trait.sid: trait for trait in api.traits([contents.target_dpid])}
    removed = contents.removed_traits - contents.traits
    found = [
        *_of_sources(contents, api),
        *_of_traits(contents, contents.traits, traits, api, now),
        *map(_only_removed, _of_traits(contents, removed, traits, api, now)),
        *_of_signals(contents, traits),
    ]
    named = {sid: traits[sid].ttl_days for sid in sorted(contents.traits) if sid in traits}
    return Preflight(
        findings=tuple(sorted(found, key=lambda finding: finding.severity)),
        ttl_days={sid: days for sid, days in named.items() if days is not None},
    )


def _error(about: str, rule: str) -> Finding:
    return Finding(severity=Severity.ERROR, about=about, rule=rule)


def _warning(about: str, rule: str) -> Finding:
    return Finding(severity=Severity.WARNING, about=about, rule=rule)


def _of_sources(contents: Contents, api: Api) -> Iterator[Finding]:
    for dpid in dict.fromkeys((contents.dpid, contents.target_dpid)):
        about = f"data source {dpid}"
        if is_device_data_source(dpid):
            # Adobe's own: no customer's account shows it.
            continue
        source = api.data_source(dpid)
        if source is None:
            yield _error(
                about,
                f"the API does not show it. It does not exist, is another company's, or the "
                f"technical account may not see it. A file for a target data source of another "
                f"company is not processed, and nothing comes back ({_SOURCES_PAGE})",
            )
            continue
        if not source.is_active:
            yield _error(about, f"its status is {source.status}, not ACTIVE ({_SOURCES_PAGE})")
        if source.inbound is False:
            yield _warning(
                about,
                f"'Inbound' is not ticked. Adobe takes the file all the same ({_SOURCES_PAGE})",
            )
        is_people = kind_of_data_source(dpid).name == "dpuuid" and dpid == contents.dpid
        if is_people and source.id_type is not None and not source.is_cross_device:
            yield _warning(
                about,
                f"it holds IDs of the type {source.id_type}. Records of users whose ID was not "
                f"synchronised before are dropped; only a CROSS_DEVICE data source keeps them "
                f"(faq/faq-inbound-data-ingestion.md)",
            )


def _of_traits(
    contents: Contents, named: frozenset[int], traits: Mapping[int, Trait], api: Api, now: float
) -> Iterator[Finding]:
    strangers = sorted(named - traits.keys())
    alone = {sid: api.trait(sid) for sid in strangers[:_LOOKED_UP]}
    for sid, trait in alone.items():
        if trait is None:
            yield _error(
                f"trait {sid}",
                f"there is none of this number that the API shows; it would come back as failed "
                f"validation ({_RECEIPT_PAGE})",
            )
        elif trait.dpid not in (None, contents.target_dpid):
            yield _error(
                f"trait {sid}",
                f"it belongs to the data source {trait.dpid}, not to the target data source "
                f"{contents.target_dpid}; it would come back as failed validation "
                f"({_RECEIPT_PAGE})",
            )
    if (rest := len(strangers) - _LOOKED_UP) > 0:
        yield _error(
            f"{rest:,} more traits",
            f"they are not of the target data source {contents.target_dpid}, the first is "
            f"{strangers[_LOOKED_UP]} ({_RECEIPT_PAGE})",
        )
    for sid in sorted(named & traits.keys()):
        yield from _of_trait(traits[sid], now)
    for trait in alone.values():
        if trait is not None and trait.dpid in (None, contents.target_dpid):
            # The list left it out.
            yield from _of_trait(trait, now)


def _only_removed(finding: Finding) -> Finding:
    """Who takes away a trait that is gone, or may not be set, does no harm and has no other way."""
    return replace(
        finding, severity=Severity.WARNING, rule=f"it is only taken away: {finding.rule}"
    )


def _of_trait(trait: Trait, now: float) -> Iterator[Finding]:
    about = f"trait {trait.sid}"
    if not trait.is_onboarded:
        yield _error(
            about,
            f"it is of the type {trait.kind}; only onboarded traits are set by files "
            f"({_TRAITS_PAGE})",
        )
    if not trait.is_active:
        yield _error(about, f"its status is {trait.status}, not ACTIVE ({_TRAITS_PAGE})")
    age_s = None if trait.created_at is None else now - trait.created_at
    if age_s is not None and age_s < USABLE_AFTER_S:
        yield _warning(
            about,
            f"it is {max(0, int(age_s // 60))} minutes old, and a trait can be used about four "
            f"hours after it was made "
            f"(features/traits/trait-and-segment-qualification-reference.md)",
        )


def _of_signals(contents: Contents, traits: Mapping[int, Trait]) -> Iterator[Finding]:
    rules = [trait.rule for trait in traits.values() if trait.rule]
    for key in contents.signal_keys:
        if not any(_names(rule, key) for rule in rules):
            yield _warning(
                f"signal {key}",
                f"no trait rule of the target data source {contents.target_dpid} names this key, "
                f"so the signal most likely gives nobody a trait ({_TRAITS_PAGE})",
            )


def _names(rule: str, key: str) -> bool:
    """Whether a rule's expression has a key in it, with or without quotes and without case."""
    return re.search(rf'(?<![\w-])"?{re.escape(key)}"?(?![\w-])', rule, re.IGNORECASE) is not None
