"""Acknowledged deliveries as asset events, so that other DAGs can be scheduled on them.

Each goes to the asset ``audience-manager://DESTINATION/TARGET``, such as
``audience-manager://production/acme/478``, by the alias ``audience_manager_acknowledged``. A DAG is
scheduled on one target by its asset, on all of them by the alias.

>>> asset_uri("production/acme", "478"), asset_uri("custom/s3://bucket/acme", "478")
('audience-manager://production/acme/478', 'audience-manager://custom/s3/bucket/acme/478')
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset, AssetAlias

from airflow_am_provider.airflow_compat import takes_nested_extra
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    OracleDataCloudFileName,
    parse_file_name,
)
from airflow_am_provider.deliveries.layout import ANNOUNCED_FILE, numbered
from airflow_am_provider.deliveries.target.names import target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_am_provider.storage.folder import Folder

ACKNOWLEDGED: Final = AssetAlias(name="audience_manager_acknowledged", group="audience_manager")
#: Batches that were loaded, each to the asset ``audience-manager://outbound/DESTINATION``.
LOADED: Final = AssetAlias(name="audience_manager_loaded", group="audience_manager")
_logger = logging.getLogger(__name__)
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
    context: Mapping[str, Any],
    staging: Folder,
    destination: str,
    reconciliations: Iterable[Mapping[str, Any]],
) -> None:
    """Add an event for each delivery that is newly acknowledged, with its counts.

    A task that is cleared, or another run that finds the delivery acknowledged, makes none: that it
    was told is noted beside the manifest, by sending. A try after one that died makes it again.
    See :func:`teller_of`.

    :param context: the task's; without ``outlet_events`` outside of Airflow.
    :param staging: the staging location.
    :param destination: the connection's.
    :param reconciliations: what the sensor returns.
    """
    outlet_events, teller = context.get("outlet_events"), teller_of(context)
    if outlet_events is None or teller is None:
        return
    for found in reconciliations:
        name = parse_file_name(found["files"][0])
        assert not isinstance(name, OracleDataCloudFileName)  # never written
        kind = "data" if isinstance(name, DataFileName) else "id_sync"
        folder = f"deliveries/{kind}/{found['delivery_id']}"
        path = f"{folder}/{numbered(ANNOUNCED_FILE, found['sending'])}"
        if not _is_new(staging, path, found, teller):
            continue
        uri = asset_uri(destination, target_of(name.kind))
        extra = {fact: found.get(fact) for fact in _FACTS}
        outlet_events[ACKNOWLEDGED].add(Asset(name=uri, uri=uri), extra=_extra(extra))
        note = {**teller, "assumed": bool(found.get("assumed"))}
        staging.write_bytes(path, json.dumps(note).encode())


def _is_new(
    staging: Folder, path: str, found: Mapping[str, Any], teller: Mapping[str, Any]
) -> bool:
    """Whether nobody has told of it yet, or no one has lived to do so."""
    content = staging.read_bytes(path)
    if content is None:
        return True
    note = json.loads(content)
    if note.get("assumed") and not found.get("assumed"):
        # Now a sign has said it.
        return True
    return all(note.get(name) == value for name, value in teller.items())


def teller_of(context: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who tells Airflow by events, which it hears when the task succeeds; None outside of Airflow.

    It is the same for the tries of a task of which each but the last has failed. Clearing a task
    gives it more tries, so that it is another teller from then on.
    """
    task = context.get("ti")
    if task is None or context.get("outlet_events") is None:
        return None
    facts = ("dag_id", "run_id", "task_id", "map_index")
    return {
        "by": "/".join(str(getattr(task, fact, "")) for fact in facts),
        "max_tries": getattr(task, "max_tries", 0),
    }


def announce_loaded(outlet_events: Any, reports: Iterable[Mapping[str, Any]]) -> None:
    """Add an event for each batch that was loaded, with its counts.

    :param outlet_events: of the task's context; None outside of Airflow.
    :param reports: what the load operator returns.
    """
    if outlet_events is None:
        return
    for report in reports:
        uri = f"audience-manager://outbound/{report['destination']}"
        outlet_events[LOADED].add(Asset(name=uri, uri=uri), extra=_extra(report))


def has_heard(report: Mapping[str, Any]) -> bool:
    """Whether Airflow has an event of a loaded batch; asked for a task that was cleared.

    :param report: the batch.
    """
    facts = ("batch", "version", "url")
    try:
        # What ``inlet_events`` of a task's context gives, but for assets that are no inlets.
        from airflow.sdk.execution_time.context import InletEventsAccessors

        heard = [event.extra or {} for event in InletEventsAccessors([LOADED])[LOADED]]
    except Exception as error:  # noqa: BLE001  # of whatever Airflow runs; twice would be worse
        _logger.warning("Airflow does not say of which batches it has heard: %s", error)
        return True
    return any(all(extra.get(fact) == report[fact] for fact in facts) for extra in heard)


def _extra(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What an event tells; lists and documents as JSON where Airflow takes none."""
    if takes_nested_extra():
        return dict(facts)
    return {
        name: json.dumps(value) if isinstance(value, list | dict) else value
        for name, value in facts.items()
    }


def arrived_batches(
    triggering_asset_events: Mapping[Any, Iterable[Any]] | None, location: str
) -> list[dict[str, Any]]:
    """The batches whose arrival has started a run, each once.

    :param triggering_asset_events: of the task's context.
    :param location: the inbox; what an
        :class:`~airflow_am_provider.triggers.outbound_arrival.OutboundArrivalTrigger` has seen
        elsewhere does not count.
    """
    found: dict[str, dict[str, Any]] = {}
    for events in (triggering_asset_events or {}).values():
        for event in events:
            payload = (getattr(event, "extra", None) or {}).get("payload")
            if isinstance(payload, dict) and payload.get("location") == location:
                found[str(payload.get("batch"))] = {**payload}
    return list(found.values())
