"""What a task that looks for an acknowledgement says in its log, kept beside the deliveries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.deliveries.looking_note import note_gave_up, note_looking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.looking_note import Looking
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.uploads.result import UploadResult
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)


def looking_note(
    hook: Connection,
    deliveries: Iterable[UploadResult],
    looking: Looking,
    task: Origin | None = None,
) -> Callable[[float, datetime | None], None]:
    """What notes, when it is said in the log, that deliveries are looked for.

    :param hook: leads to staging.
    :param deliveries: what is not acknowledged yet.
    :param looking: what is looked for, and where.
    :param task: the task that waits; None where this process does not know it.
    """
    awaited = list(deliveries)

    def note(every_s: float, until: datetime | None) -> None:
        try:
            for staging, delivery in _in_staging(hook, awaited):
                note_looking(staging, delivery, looking, every_s=every_s, until=until, task=task)
        except AudienceManagerError as error:
            _logger.info("What is waited for is not on the page: %s", error)

    return note


def note_end(
    hook: Connection, deliveries: Iterable[UploadResult], *, error: str | None, task: Origin | None
) -> None:
    """Note that nobody looks any more, as well as can be.

    :param error: why looking failed; None where time was up.
    """
    try:
        for staging, delivery in _in_staging(hook, deliveries):
            note_gave_up(staging, delivery, error=error, task=task)
    except AudienceManagerError as failure:
        _logger.info("That nobody looks any more is not on the page: %s", failure)


def _in_staging(
    hook: Connection, deliveries: Iterable[UploadResult]
) -> Iterator[tuple[Folder, UploadResult]]:
    """Those that lie in the connection's staging location."""
    staging = hook.staging()
    for delivery in deliveries:
        if delivery.staging == staging.url:
            yield staging, delivery
