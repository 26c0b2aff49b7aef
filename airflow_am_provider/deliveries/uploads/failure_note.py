"""Why an attempt to send a delivery failed last: kept beside the manifest, for people.

Nothing is decided by this note. The layout is public: docs/manifest.md.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.deliveries.layout import UPLOAD_FAILURE_FILE, numbered
from airflow_am_provider.deliveries.note_file import write_note

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.storage.folder import Folder


class FileInDoubt(ConfigurationError):
    """A file is at the destination already, and a person has to say whose it is."""


def write_failure(
    staging: Folder,
    location: str,
    error: Exception,
    *,
    sending: int,
    at: str,
    task: Origin | None = None,
) -> None:
    """Note why an attempt ended, as well as can be.

    :param staging: the staging location.
    :param location: the delivery's folder in it.
    :param error: why.
    :param sending: the number of the sending, from 1.
    :param at: when, ISO 8601 in UTC.
    :param task: which task failed; None where that is not known.
    """
    note = {
        "at": at,
        "error": str(error),
        "asks": isinstance(error, FileInDoubt),
        "task": None if task is None else task.to_json(),
    }
    path = f"{location}/{numbered(UPLOAD_FAILURE_FILE, sending)}"
    with suppress(AudienceManagerError):
        write_note(staging, path, note)
