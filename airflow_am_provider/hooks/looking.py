"""What a task that looks for an acknowledgement says in its log, kept beside the deliveries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.deliveries.looking_note import note_gave_up, note_looking
from airflow_am_provider.deliveries.receipt_report import note_what_came
from airflow_am_provider.hooks.polling import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_am_provider.deliveries.acknowledgement import AcknowledgementStatus, ReceiptWatch
    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.uploads.result import UploadResult
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)


def not_yet(
    watch: ReceiptWatch, statuses: Sequence[AcknowledgementStatus], task: Origin | None = None
) -> Seen:
    """What a look has shown after which something is still waited for; what came is written down.

    :param watch: has looked.
    :param statuses: what it has seen.
    :param task: the task that waits; None where this process does not know it.
    """
    note_what_came(watch, statuses)
    looking = watch.waited_for()
    awaited = [status.delivery for status in statuses if status.outstanding]

    def note(every_s: float, until: datetime | None) -> None:
        try:
            for staging, delivery in _in_staging(watch.hook, awaited):
                note_looking(staging, delivery, looking, every_s=every_s, until=until, task=task)
        except AudienceManagerError as error:
            _logger.info("What is waited for is not on the page: %s", error)

    return Seen(watch.known(statuses), is_over=False, waited_for=looking, note=note)


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
