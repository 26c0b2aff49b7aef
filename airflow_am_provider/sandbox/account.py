"""What a customer has set up in Audience Manager, as far as files depend on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.environments import PRODUCTION, Environment
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.identifiers import AAM_UUID, is_device_data_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalRule:
    """A trait that a signal realises: ``key == value``.

    Keys and values are generally not case-sensitive (faq/faq-inbound-data-ingestion.md).

    :param dpid: the target data source that the trait belongs to.
    :param key: the signal's key; ``ic`` for ic codes.
    :param value: the signal's value.
    :param trait: the trait's ID.
    """

    dpid: int
    key: str
    value: str
    trait: str

    def __post_init__(self) -> None:
        if not (self.trait.isascii() and self.trait.isdigit()):
            raise ConfigurationError(
                f"signal rule {self.key}={self.value}: trait {self.trait!r} is not made of digits "
                f"(inbound-file-contents.md)"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Data sources, traits and rules of the one customer that a sandbox serves.

    :param environment: production, or beta, which maps no IDs.
    :param partner_id: the number that receipts greet.
    :param cross_device: data sources whose records are stored before their IDs are
        synchronised (faq/faq-inbound-data-ingestion.md); others are skipped.
    :param data_sources: the data sources that there are, besides Adobe's own for devices; files of
        others are refused. None: any.
    :param traits: the onboarded traits of a target data source. A data source that is not
        named here has every trait.
    :param trait_ttl_days: after how many days a trait expires that was not sent again for a user;
        0 for never (features/traits/create-onboarded-rule-based-traits.md).
    :param trait_ttls: other times of single traits, by trait ID.
    :param rules: what signals realise. A target data source without any rule stores its
        signals all the same, since the customer's real rules are not known here; they are
        counted as unused.
    """

    environment: Environment = PRODUCTION
    partner_id: int = 7
    cross_device: frozenset[int] = frozenset()
    data_sources: frozenset[int] | None = None
    traits: Mapping[int, frozenset[str]] = field(default_factory=dict)
    trait_ttl_days: int = 120
    trait_ttls: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[SignalRule, ...] = ()

    def ttl_days_of(self, trait: str) -> int:
        """After how many days a trait expires that is not sent again; 0 for never."""
        return self.trait_ttls.get(trait, self.trait_ttl_days)

    def has_trait(self, dpid: int, trait: str) -> bool:
        """Whether a trait is onboarded and belongs to a target data source."""
        known = self.traits.get(dpid)
        return known is None or trait in known

    def rules_of(self, dpid: int) -> dict[tuple[str, str], frozenset[str]]:
        """The traits of a target data source by case-folded key and value."""
        found: dict[tuple[str, str], frozenset[str]] = {}
        for rule in self.rules:
            if rule.dpid == dpid:
                signal = (rule.key.casefold(), rule.value.casefold())
                found[signal] = found.get(signal, frozenset()) | {rule.trait}
        return found

    def takes_unsynchronised(self, dpid: int) -> bool:
        """Whether records of a data source are stored though no ID sync told of their IDs.

        A device ID that Adobe or a platform gave out is a device by itself.
        """
        return is_device_data_source(dpid) or dpid in self.cross_device

    def may_match_nothing(self, dpid: int) -> bool:
        """Whether records of a data source are stored though they match no AAM UUID."""
        return dpid != AAM_UUID.dpid and self.takes_unsynchronised(dpid)

    def unknown(self, dpids: Iterable[int]) -> list[int]:
        """Those of some data sources that there are not."""
        if self.data_sources is None:
            return []
        return sorted(
            dpid
            for dpid in set(dpids) - self.data_sources - self.cross_device
            if not is_device_data_source(dpid)
        )
