"""What a delivery is held back for, against the sandbox's API over HTTP in the hook's tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_am_provider.audience_manager.api.answers import DataSource, Trait
from airflow_am_provider.audience_manager.api.preflight import Contents, Severity, preflight

NOW = 1_800_000_000.0


@dataclass
class Known:
    """An API that knows this."""

    sources: list[DataSource] = field(default_factory=lambda: [source(478)])
    known: list[Trait] = field(default_factory=list)
    asked: int = 0

    def data_source(self, dpid: int) -> DataSource | None:
        self.asked += 1
        return next((one for one in self.sources if one.dpid == dpid), None)

    def traits(self, dpids: Sequence[int]) -> list[Trait]:
        self.asked += 1
        return [one for one in self.known if one.dpid in dpids]

    def trait(self, sid: int) -> Trait | None:
        self.asked += 1
        return next((one for one in self.known if one.sid == sid), None)


def source(dpid: int, **changes: object) -> DataSource:
    told = {"dataSourceId": dpid, "status": "ACTIVE", "idType": "CROSS_DEVICE", "inboundS2S": True}
    return DataSource.from_json(told | changes)


def trait(sid: int, dpid: int = 478, **changes: object) -> Trait:
    told = {"sid": sid, "traitType": "ON_BOARDED_TRAIT", "dataSourceId": dpid, "status": "ACTIVE"}
    return Trait.from_json(told | {"createTime": int((NOW - 86_400) * 1000)} | changes)


def found(known: Known, **changes: object) -> list[tuple[Severity, str, str]]:
    contents = Contents(**{"dpid": 478, "target_dpid": 478, **changes})
    result = preflight(contents, known, now=NOW)
    return [(one.severity, one.about, one.rule) for one in result.findings]


def test_a_delivery_that_fits() -> None:
    known = Known(known=[trait(1, ttl=120), trait(2), trait(3, ttl=0)])
    contents = Contents(dpid=478, target_dpid=478, traits=frozenset({1, 2, 3}))
    result = preflight(contents, known, now=NOW)
    assert result.findings == ()
    assert result.ttl_days == {1: 120, 3: 0}


def test_a_trait_of_another_source_and_one_that_is_none() -> None:
    ((level, about, rule), (_, other, unknown)) = found(
        Known(known=[trait(1), trait(7, 901)]), traits=frozenset({1, 7, 8})
    )
    assert (level, about, other) == (Severity.ERROR, "trait 7", "trait 8")
    assert "belongs to the data source 901, not to the target data source 478" in rule
    assert "there is none of this number" in unknown


def test_traits_that_files_cannot_set() -> None:
    known = Known(known=[trait(1, traitType="RULE_BASED_TRAIT"), trait(2, status="SUSPENDED")])
    first, second = found(known, traits=frozenset({1, 2}))
    assert first[:2] == (Severity.ERROR, "trait 1")
    assert "RULE_BASED_TRAIT; only onboarded traits" in first[2]
    assert second[:2] == (Severity.ERROR, "trait 2")
    assert "status is SUSPENDED" in second[2]


def test_what_is_wrong_with_a_trait_that_is_only_taken_away_is_a_warning() -> None:
    known = Known(known=[trait(1, status="SUSPENDED"), trait(2, traitType="ALGO_TRAIT")])
    told = found(known, removed_traits=frozenset({1, 9}))
    assert [one[:2] for one in told] == [
        (Severity.WARNING, "trait 9"),
        (Severity.WARNING, "trait 1"),
    ]
    assert told[0][2].startswith("it is only taken away: there is none of this number")
    both = found(known, traits=frozenset({1, 2}), removed_traits=frozenset({1}))
    assert [one[:2] for one in both] == [(Severity.ERROR, "trait 1"), (Severity.ERROR, "trait 2")]


def test_a_trait_that_was_just_made_is_a_warning() -> None:
    young = trait(1, createTime=int((NOW - 3600) * 1000))
    ((level, about, rule),) = found(Known(known=[young]), traits=frozenset({1}))
    assert (level, about) == (Severity.WARNING, "trait 1")
    assert "60 minutes old" in rule


def test_data_sources() -> None:
    known = Known(sources=[source(478, inboundS2S=False, idType="COOKIE")])
    warnings = found(known, target_dpid=999)
    assert [(level, about) for level, about, _ in warnings] == [
        (Severity.ERROR, "data source 999"),
        (Severity.WARNING, "data source 478"),
        (Severity.WARNING, "data source 478"),
    ]
    assert "nothing comes back" in warnings[0][2]
    inactive = Known(sources=[source(478, status="INACTIVE")])
    ((level, _, rule),) = found(inactive)
    assert (level, rule.partition(",")[0]) == (Severity.ERROR, "its status is INACTIVE")


def test_a_platforms_data_source_is_not_looked_for() -> None:
    assert found(Known(), dpid=20914, target_dpid=478) == []


def test_signals_that_no_rule_names() -> None:
    rules = [
        trait(1, traitType="RULE_BASED_TRAIT", traitRule='"Colour" == "blue" AND ic == 5'),
        trait(2, traitType="RULE_BASED_TRAIT", traitRule='city-name contains ("a")'),
    ]
    ((level, about, _),) = found(
        Known(known=rules), signal_keys=("colour", "ic", "city", "city-name")
    )
    assert (level, about) == (Severity.WARNING, "signal city")


def test_its_cost_does_not_grow_with_traits_that_are_wrong() -> None:
    known = Known()
    findings = found(known, traits=frozenset(range(1, 5001)))
    assert known.asked == 22
    assert findings[-1][1] == "4,980 more traits"
    assert len(findings) == 21
