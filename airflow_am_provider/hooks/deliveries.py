"""Sends a delivery by what a connection says, and tells the log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.formatting.sent_record import SentRecord
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

_logger = logging.getLogger(__name__)


def send_delivery(hook: AudienceManagerHook, manifest: Manifest) -> SentRecord:
    """Send what of a delivery was not sent yet.

    :param hook: leads to staging and destination.
    :param manifest: the delivery; it has parts.
    :return: the record of sending, complete.
    :raises ConfigurationError: when the manifest is of another staging location, or the
        destination refuses.
    :raises DataError: when a staged part is not what the manifest says.
    :raises TransientError: when the destination or the line fails.
    """
    staging, destination = hook.staging(), hook.destination()
    if manifest.staging != staging.url:
        raise ConfigurationError(
            f"manifest {manifest.delivery_id} was staged at {manifest.staging}, but the connection "
            f"{hook.audience_manager_conn_id!r} has the staging location {staging.url}; format and "
            f"upload with the same connection"
        )
    count = len(manifest.parts)
    size = sum(part.compressed_bytes for part in manifest.parts) / 1e6
    what = f"delivery {manifest.delivery_id}: {count} {'file' if count == 1 else 'files'}"
    _logger.info("Sending %s, %.1f MB, to %s", what, size, destination.url)
    begun = time.monotonic()
    record = destination.send(manifest, staging)
    _logger.info(
        "Sent %s, %s lines, %.1f MB, to %s at %s, in %.1f s now: %s rows read = %s written + %s "
        "set aside",
        what,
        f"{sum(manifest.lines_by_file.values()):,}",
        size,
        record.destination,
        record.sent_at,
        time.monotonic() - begun,
        f"{manifest.rows_read:,}",
        f"{manifest.rows_written:,}",
        f"{manifest.rows_set_aside:,}",
    )
    return record
