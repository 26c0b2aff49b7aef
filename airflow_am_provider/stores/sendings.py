"""What was sent of a target's data, as staging tells it."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.companions import MANIFEST_FILE
from airflow_am_provider.audience_manager.names import DataFileName
from airflow_am_provider.formatting.manifest import Manifest
from airflow_am_provider.formatting.removals import Sending
from airflow_am_provider.formatting.sent_record import SendingFiles, read_sent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.stores.entry import Folder

_logger = logging.getLogger(__name__)

_DATA: Final = "deliveries/data/"
_SENDING = re.compile(r"sending(?P<suffix>(-[0-9a-f]+)*)\.json")


def data_sendings(
    staging: Folder, *, destination: str, dpid: int, target_dpid: int | None
) -> list[Sending]:
    """All sendings of data to one target, in the order in which they began.

    :param staging: the staging location.
    :param destination: where they went, such as ``production/acme``.
    :param dpid: the data source of the user IDs.
    :param target_dpid: the data source of the traits, if it is another one.
    :raises DataError: when a manifest or a record of sending cannot be read.
    """
    suffixes: defaultdict[str, list[str]] = defaultdict(list)
    for entry in staging.list(_DATA):
        folder, _, file = entry.path.rpartition("/")
        found = _SENDING.fullmatch(file)
        if found is not None:
            suffixes[folder].append(found["suffix"])
    sendings: list[Sending] = []
    for folder, of_it in suffixes.items():
        content = staging.read_bytes(f"{folder}/{MANIFEST_FILE}")
        manifest = None if content is None else Manifest.from_json(content)
        if manifest is None or not manifest.parts or manifest.destination != destination:
            continue
        name = manifest.file_name
        assert isinstance(name, DataFileName)
        if (name.dpid, name.target_dpid or name.dpid) != (dpid, target_dpid or dpid):
            continue
        for suffix in of_it:
            record = read_sent(staging, manifest, SendingFiles(location=folder, suffix=suffix))
            if record is not None:
                sendings.append(
                    Sending(
                        manifest=manifest,
                        begun_at=record.begun_at,
                        is_whole=record.sent_at is not None,
                    )
                )
    # Names are given in the order of staging: they tell two apart that began in one second.
    return sorted(sendings, key=lambda one: (one.begun_at, str(one.manifest.file_name)))


def still_there(staging: Folder, sendings: Iterable[Sending]) -> list[Sending]:
    """Those of which all parts still lie in staging; of how many they do not, the log says."""
    there, gone = [], 0
    for sending in sendings:
        parts = sending.manifest.parts
        if all(staging.size(part.path) == part.compressed_bytes for part in parts):
            there.append(sending)
        else:
            gone += 1
    _logger.info("Looking through %d deliveries that were sent", len(there))
    if gone:
        _logger.warning(
            "%d more were sent and are gone from staging: what they gave is not found. Look more "
            "often than staging is cleaned",
            gone,
        )
    return there
