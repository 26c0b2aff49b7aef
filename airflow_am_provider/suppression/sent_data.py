"""What was sent of a target's data, as its target tells it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.target.names import target_of
from airflow_am_provider.suppression.removals import DataUpload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.audience_manager.file_kinds import DataFileKind
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.storage.folder import Folder

_logger = logging.getLogger(__name__)


def data_uploads(
    targets: Targets, *, destination: str, file_kind: DataFileKind
) -> list[DataUpload]:
    """The last sendings of all deliveries of data to one target, in the order in which they began.

    What a sending before the last one said, the last one has said again.

    :param targets: of the staging location.
    :param destination: where they went, such as ``production/acme``.
    :param file_kind: of that data source and target.
    :raises DataError: when a manifest cannot be read.
    """
    target = targets.named(destination, target_of(file_kind))
    sent = [
        entry
        for entry in target.deliveries()
        if entry.sending is not None and entry.name == file_kind.stem
    ]
    sent.sort(key=lambda entry: entry.sending.begun if entry.sending is not None else 0)
    return [
        DataUpload(
            manifest=DeliveryRecord(entry, target, targets.staging).manifest,
            is_whole=entry.sending is not None and entry.sending.sent_at is not None,
        )
        for entry in sent
    ]


def still_there(staging: Folder, sendings: Iterable[DataUpload]) -> list[DataUpload]:
    """Those of which all parts still lie in staging; of how many they do not, the log says.

    :raises DataError: when parts are encrypted, so that what they gave cannot be found.
    """
    there, gone = [], 0
    for sending in sendings:
        parts = sending.manifest.parts
        if all(staging.size(part.path) == part.compressed_bytes for part in parts):
            there.append(sending)
        else:
            gone += 1
    check_readable(there)
    _logger.info("Looking through %d deliveries that were sent", len(there))
    if gone:
        _logger.warning(
            "%d more were sent and are gone from staging: what they gave is not found. Look more "
            "often than staging is cleaned",
            gone,
        )
    return there


def check_readable(sendings: Iterable[DataUpload]) -> None:
    """Refuse to look through what nobody but Audience Manager can read.

    :raises DataError: when something was sent encrypted.
    """
    encrypted = [one.manifest for one in sendings if one.manifest.file_name.encoding.is_encrypted]
    if encrypted:
        raise DataError(
            f"{len(encrypted)} of the deliveries that were sent are encrypted by PGP, such as "
            f"{encrypted[0].delivery_id}: what they gave to whom cannot be read in staging, so "
            f"nothing can be taken back. Have SnapshotDiffOperator send the extract with this "
            f"suppression list: it takes the traits of users who are on it"
        )
