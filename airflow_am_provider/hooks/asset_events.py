"""Acknowledged deliveries as asset events, so that other DAGs can be scheduled on them.

Each goes to the asset ``audience-manager://DESTINATION/TARGET``, such as
``audience-manager://production/acme/478``, by the alias ``audience_manager_acknowledged``. A DAG is
scheduled on one target by its asset, on all of them by the alias.

>>> asset_uri("production/acme", "478"), asset_uri("custom/s3://bucket/acme", "478")
('audience-manager://production/acme/478', 'audience-manager://custom/s3/bucket/acme/478')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset, AssetAlias

from airflow_am_provider.audience_manager.names import OracleDataCloudFileName, parse_file_name
from airflow_am_provider.deliveries.target.names import target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ACKNOWLEDGED: Final = AssetAlias(name="audience_manager_acknowledged", group="audience_manager")
#: Batches that were loaded, each to the asset ``audience-manager://outbound/DESTINATION``.
LOADED: Final = AssetAlias(name="audience_manager_loaded", group="audience_manager")
_FACTS: Final = (
    "delivery_id",
    "window",
    "sending",
    "verdict",
    "problems",
    "rows_read",
    "rows_written",
    "rows_set_aside",
    "lines_sent",
    "counts",
)


def asset_uri(destination: str, target: str) -> str:
    """The asset that a target's deliveries are events of.

    :param destination: the connection's, such as ``production/acme``.
    :param target: DPID whose traits are set, or ``adobe_id_0_478`` for an ID sync.
    """
    return f"audience-manager://{destination.replace('://', '/').strip('/')}/{target}"


def announce(
    outlet_events: Any, destination: str, reconciliations: Iterable[Mapping[str, Any]]
) -> None:
    """Add an event for each acknowledged delivery, with its counts.

    :param outlet_events: of the task's context; None outside of Airflow.
    :param destination: the connection's.
    :param reconciliations: what the sensor returns.
    """
    if outlet_events is None:
        return
    for found in reconciliations:
        name = parse_file_name(found["files"][0])
        assert not isinstance(name, OracleDataCloudFileName)  # never written
        uri = asset_uri(destination, target_of(name.kind))
        extra = {fact: found.get(fact) for fact in _FACTS}
        outlet_events[ACKNOWLEDGED].add(Asset(name=uri, uri=uri), extra=extra)


def announce_loaded(outlet_events: Any, reports: Iterable[Mapping[str, Any]]) -> None:
    """Add an event for each batch that was loaded, with its counts.

    :param outlet_events: of the task's context; None outside of Airflow.
    :param reports: what the load operator returns.
    """
    if outlet_events is None:
        return
    for report in reports:
        uri = f"audience-manager://outbound/{report['destination']}"
        outlet_events[LOADED].add(Asset(name=uri, uri=uri), extra=dict(report))
