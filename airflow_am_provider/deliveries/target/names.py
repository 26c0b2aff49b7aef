"""Which target a file belongs to, what is a version of the same thing, and names that are free."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.file_kinds import DataFileKind
from airflow_am_provider.audience_manager.names import Mode

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.file_kinds import FileKind
    from airflow_am_provider.deliveries.window import Window


def target_of(file_kind: FileKind) -> str:
    """What deliveries are queued for: the data source whose traits are set, or the ID pairs.

    Names of a kind belong to one target only, so a target can give them out.

    >>> from airflow_am_provider.audience_manager.file_kinds import parse_file_kind
    >>> target_of(parse_file_kind("ftp_dpm_478_567.sync"))
    '567'
    >>> target_of(parse_file_kind("adobe_id_0_12345.sync"))
    'adobe_id_0_12345'
    """
    if isinstance(file_kind, DataFileKind):
        target = file_kind.target_dpid
        return str(file_kind.dpid if target is None else target)
    return file_kind.stem


def free_timestamp(mode: Mode | None, *, now: int, last: int = 0) -> int:
    """The timestamp of a new name: the time, or the first second after it that is free.

    :param mode: of a data file; None for an ID sync, which has one mode alone.
    :param now: the time as UNIX seconds.
    :param last: the timestamp that was given last, in whichever mode; 0 for none.

    >>> free_timestamp(Mode.SYNC, now=1366545716), free_timestamp(Mode.OVERWRITE, now=1366545716)
    (1366545717, 1366545716)
    >>> free_timestamp(Mode.SYNC, now=1366545717, last=1366545717)
    1366545719
    """
    first = max(now, last + 1)
    # A marker ``….processed`` does not say which mode the file had, and two staging locations know
    # nothing of each other's names. So the seconds are shared out by mode, wherever a name is
    # given: those of a ``.sync`` are odd, those of an ``.overwrite`` even. Adobe sets no order by
    # them (inbound-s3-filenames.md).
    if mode is None or first % 2 == (mode is Mode.SYNC):
        return first
    return first + 1


def subject_of(
    *,
    series: str,
    map_index: int,
    file_kind: FileKind,
    window: Window,
    run: str | None,
) -> str:
    """What a delivery is a version of: the same task's, of the same kind, for the same time.

    :param series: the task, ``DAG/TASK``.
    :param map_index: which of its mapped tasks; -1 for none.
    :param file_kind: what files it makes.
    :param window: what time the data is about.
    :param run: the run, which counts where there is no window.
    """
    mode = str(file_kind.mode) if isinstance(file_kind, DataFileKind) else "id_sync"
    when = [*window.texts]
    if not window.is_given:
        when.append(run)
    return json.dumps([series, map_index, file_kind.stem, mode, *when])
