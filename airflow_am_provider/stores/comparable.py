"""What was sent before of the same kind to the same place: what is usual for a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import DataFileName
from airflow_am_provider.audience_manager.ordering import stem, target_of
from airflow_am_provider.stores.deliveries import DeliveryRecords, DeliveryState
from airflow_am_provider.stores.lanes import Lane

if TYPE_CHECKING:
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.stores.entry import Folder

# Somebody gave it up or found it wrong, so it is no measure.
_NO_MEASURE = (DeliveryState.ABANDONED, DeliveryState.FAILED)


def comparable_deliveries(staging: Folder, manifest: Manifest, count: int) -> list[Manifest]:
    """The last deliveries of a task to the same destination, of the same data source and mode.

    Those that were not sent whole, were abandoned, failed or were cleaned away are left out.

    :param staging: the staging location.
    :param manifest: the delivery that is compared with them.
    :param count: how many at most.
    :return: their manifests, the last one first.
    """
    name = manifest.file_name
    mode = name.mode if isinstance(name, DataFileName) else None
    records = DeliveryRecords(staging)
    found: dict[str, Manifest] = {}
    for turn in reversed(Lane(staging, manifest.destination, target_of(name)).turns()):
        if len(found) == count:
            break
        is_comparable = (turn.name, turn.mode, turn.series) == (stem(name), mode, manifest.series)
        if not is_comparable or turn.delivery_id in (manifest.delivery_id, *found):
            continue
        try:
            record = records.find(turn.delivery_id)
        except ConfigurationError:  # cleaned away
            continue
        was_sent = record.sent is not None and record.sent.sent_at is not None
        if was_sent and record.state not in _NO_MEASURE:
            found[turn.delivery_id] = record.manifest
    return list(found.values())
