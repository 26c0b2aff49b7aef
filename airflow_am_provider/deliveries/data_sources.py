"""Holds the data sources of a delivery against those that its connection allows.

Adobe tells nobody that a data source is somebody else's, or the wrong one of one's own: the file is
not processed, or sets other traits than were meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.file_kinds import DataFileKind
from airflow_am_provider.audience_manager.identifiers import is_global_device_data_source

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.file_kinds import IdSyncFileKind
    from airflow_am_provider.deliveries.connection import Connection


def check_data_sources(hook: Connection, kind: DataFileKind | IdSyncFileKind) -> None:
    """See that a delivery is of data sources that the connection allows.

    A device platform's data source and AAM UUIDs are free as what IDs are of: they are Adobe's, the
    same for every customer. As what traits are set of, they are not.

    :param hook: the connection; where it lists none, all are allowed.
    :param kind: what the delivery's files are named after.
    :raises ConfigurationError: names field, value, and what to do.
    """
    allowed = hook.settings.allowed_dpids
    if allowed is None:
        return
    if isinstance(kind, DataFileKind):
        given = [("dpid", kind.dpid), ("target_dpid", kind.target_dpid)]
    else:
        columns = [(f"dpids[{at}]", dpid) for at, dpid in enumerate(kind.dpids)]
        given = [("master_dpid", kind.master_dpid), *columns]
    for field, dpid in given:
        is_free = dpid == 0 or (dpid is not None and is_global_device_data_source(dpid))
        if dpid is None or dpid in allowed or (is_free and field != "target_dpid"):
            continue
        raise ConfigurationError(
            f"{field}: {dpid} is none of the data sources that the connection "
            f"{hook.audience_manager_conn_id!r} allows: {', '.join(map(str, sorted(allowed)))}; "
            f"correct {field}, or add it to allowed_data_sources"
        )
