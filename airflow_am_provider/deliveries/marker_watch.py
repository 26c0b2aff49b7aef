"""Looks for ``.processed`` markers where files were sent to.

Pages: faq/faq-data-collection.md (SFTP and FTP), Adobe's partner guide,
aam-data-onboarding-validate (S3).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.environments import object_key
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.processed_markers import MARK, marked
from airflow_am_provider.audience_manager.receipts.text import base_name
from airflow_am_provider.deliveries.signs import Rung

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.uploads.result import UploadResult
    from airflow_am_provider.storage import Folder, ListedFile, S3Folder

_logger = logging.getLogger(__name__)


def rung_of_markers(transport: str) -> Rung:
    """What a marker proves: renamed on FTP, a file is in the queue; on S3 it was processed."""
    return Rung.PROCESSED if transport == "s3" else Rung.PICKED_UP


class MarkerWatch:
    """Knows which files are marked. Whoever may not list Adobe's bucket asks for each marker.

    A marker that was seen counts from then on: on SFTP and FTP the file, and the marker with it, is
    removed after processing (faq/faq-inbound-data-ingestion.md). When a file is sent again, its
    earlier marker does not count.

    :param hook: leads to the destination.
    :param seen: files whose markers were seen before.
    """

    def __init__(self, hook: Connection, seen: Iterable[str] = ()) -> None:
        self._hook = hook
        self._may_list = True
        self._marked = set(seen)

    @property
    def rung(self) -> Rung:
        """What a marker proves where this connection sends."""
        return rung_of_markers(self._hook.settings.transport)

    def look(self, deliveries: Iterable[UploadResult]) -> frozenset[str]:
        """Names of the deliveries' files that are marked by now.

        :raises ConfigurationError: when this account may look for none.
        :raises TransientError: when the other side fails.
        """
        waiting = [
            (delivery, [name for name in delivery.files if name not in self._marked])
            for delivery in deliveries
        ]
        waiting = [(delivery, names) for delivery, names in waiting if names]
        if not waiting:
            return frozenset(self._marked)
        directory = self._hook.drop()
        if directory is not None:
            with directory as drop:
                listing = drop.names()
            for delivery, names in waiting:
                # A file that lies there under its own name was not picked up yet, whatever was
                # before it.
                left = set(map(base_name, listing)) if delivery.sending > 1 else set()
                self._marked |= marked(names, listing) - left
        else:
            for delivery, names in waiting:
                self._marked |= self._on_s3(delivery, names)
        return frozenset(self._marked)

    def _on_s3(self, delivery: UploadResult, names: list[str]) -> frozenset[str]:
        bucket = self._hook.destination_bucket()
        partner = self._hook.settings.partner_name or ""
        if self._may_list:
            folder = object_key(partner, delivery.day, "")
            try:
                return marked(names, _of_this_sending(delivery, list(bucket.list(folder))))
            except ConfigurationError as error:
                self._may_list = False
                _logger.info("%s. Asking for each marker instead", error)
        keys = {name: object_key(partner, delivery.day, name) for name in names}
        found = {name for name, key in keys.items() if _has_marker(bucket, key)}
        if delivery.sending > 1:
            found = {name for name in found if _is_newer(bucket, keys[name], delivery)}
        return frozenset(found)


def _of_this_sending(delivery: UploadResult, entries: Sequence[ListedFile]) -> Iterator[str]:
    """Paths of a listing without markers that are older than the files they stand beside."""
    written = {base_name(entry.path): entry.modified for entry in entries}
    for entry in entries:
        file_name = base_name(entry.path).removesuffix(MARK)
        if delivery.sending == 1 or entry.modified >= written.get(file_name, delivery.begun_at):
            yield entry.path


def _is_newer(bucket: S3Folder, key: str, delivery: UploadResult) -> bool:
    """Whether a marker is not older than the file that it stands beside."""
    marker, file = bucket.modified(key + MARK), bucket.modified(key)
    return marker is not None and marker >= (file or delivery.begun_at)


def _has_marker(bucket: Folder, key: str) -> bool:
    """Whether a sent file is marked.

    :raises ConfigurationError: when this account may not know.
    """
    try:
        return bucket.exists(key + MARK)
    except ConfigurationError:
        # To those who may not list, S3 says the same of what is missing and of what is forbidden.
        # Who may look at the file itself may look at its marker, so that one is missing.
        if bucket.exists(key):
            return False
        raise
