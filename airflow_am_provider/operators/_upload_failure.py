"""An upload that fails says so beside the delivery: which task it was, and why."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError, TransientError
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.uploads.failure_note import write_failure
from airflow_am_provider.deliveries.uploads.journal import MustWait, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.origin import Origin

_BEFORE: Final = (DeliveryState.STAGED, DeliveryState.QUEUED)


@contextmanager
def noting_failure(hook: Connection, manifest: Manifest, task: Origin | None) -> Iterator[None]:
    """Note why a delivery is not sent, for the page and for whoever looks at it otherwise.

    :param hook: leads to staging.
    :param manifest: the delivery.
    :param task: the upload's task; None outside of a run.
    """
    try:
        yield
    except MustWait:
        # No failure, and raised at each look of an upload whose turn it is not.
        raise
    except AudienceManagerError as error:
        with suppress(AudienceManagerError):
            _note(hook, manifest, error, task)
        raise


def _note(
    hook: Connection, manifest: Manifest, error: AudienceManagerError, task: Origin | None
) -> None:
    targets = hook.targets()
    if manifest.staging != targets.staging.url:
        return
    record = DeliveryRecords(targets).at(manifest.location)
    if record is None:
        return
    # What passes by itself before anything is begun is no failure yet: the task tries again.
    is_stuck = record.state in _BEFORE and not isinstance(error, TransientError)
    if is_stuck or record.state is DeliveryState.SENDING:
        write_failure(
            targets.staging,
            manifest.location,
            error,
            sending=record.sending,
            at=timestamp(datetime.now(UTC)),
            task=task,
        )
