"""Which target a file belongs to, and what counts as a version of the same thing."""

from __future__ import annotations

import json

from airflow_am_provider.audience_manager.names import DataFileName, IdSyncFileName


def target_of(name: DataFileName | IdSyncFileName) -> str:
    """What deliveries are queued for: the data source whose traits are set, or the ID pairs.

    Names without timestamp belong to one target only, so a target can give them out.

    >>> from airflow_am_provider.audience_manager.names import parse_file_name
    >>> target_of(parse_file_name("ftp_dpm_478_567_1366545717.sync"))
    '567'
    >>> target_of(parse_file_name("adobe_id_0_12345_1476312152.sync"))
    'adobe_id_0_12345'
    """
    if isinstance(name, DataFileName):
        return str(name.dpid if name.target_dpid is None else name.target_dpid)
    return stem(name)


def stem(name: DataFileName | IdSyncFileName) -> str:
    """A name without its timestamp and what follows: a timestamp is taken for all modes at once.

    A ``.processed`` marker does not say which mode the file had (faq/faq-data-collection.md).

    >>> stem(DataFileName(dpid=478, timestamp=1366545717))
    'ftp_dpm_478'
    """
    return str(name).partition(f"_{name.timestamp}")[0]


def subject_of(
    *,
    series: str,
    map_index: int,
    name: DataFileName | IdSyncFileName,
    window_start: str | None,
    window_end: str | None,
    run: str | None,
) -> str:
    """What a delivery is a version of: the same task's, of the same kind, for the same time.

    :param series: the task, ``DAG/TASK``.
    :param map_index: which of its mapped tasks; -1 for none.
    :param name: one of its file names.
    :param window_start: first moment of the data, or None.
    :param window_end: first moment after the data, or None.
    :param run: the run, which counts where there is no window.
    """
    mode = str(name.mode) if isinstance(name, DataFileName) else "id_sync"
    when = [window_start, window_end]
    if window_start is None and window_end is None:
        when.append(run)
    return json.dumps([series, map_index, stem(name), mode, *when])
