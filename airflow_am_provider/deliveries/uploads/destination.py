"""Where deliveries are sent: what each destination does, and what they share.

A new one is a module beside :mod:`~airflow_am_provider.deliveries.uploads.s3_destination` and
:mod:`~airflow_am_provider.deliveries.uploads.drop_destination`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.deliveries.uploads.failure_note import FileInDoubt
from airflow_am_provider.formatting.progress import BytesProgress

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_am_provider.deliveries.manifest import Manifest, Part
    from airflow_am_provider.deliveries.uploads.journal import UploadJournal
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)


class NameTaken(Exception):
    """Something that no attempt of this delivery can have made has one of its names.

    Nothing of the delivery was sent, so that it may have other names.
    """


class Destination(Protocol):
    """Takes deliveries."""

    @property
    def url(self) -> str:
        """Where they go: a bucket's folder or another host's."""
        ...

    def send(
        self, staging: Folder, journal: UploadJournal, *, only: Collection[str] | None = None
    ) -> None:
        """Send what of a delivery was not sent yet, and note it; tidy up after other attempts.

        :param staging: where its parts lie.
        :param journal: the journal of this sending.
        :param only: names of the parts that are sent now; over FTP and its like the names are given
            by a last call without it. By default all.
        :raises NameTaken: when a stranger's file has one of the names, and nothing was sent.
        :raises DataError: when a staged part is not what the manifest says; it does not appear.
        :raises ConfigurationError: when the destination refuses; when a person has to say whether
            what is there is this delivery's.
        :raises TransientError: when the destination or the line fails.
        """
        ...

    def withdraw(self, staging: Folder, journal: UploadJournal) -> None:
        """Delete what of a delivery that was given up is there and has no name of its own yet.

        What Audience Manager can see stays.

        :raises ConfigurationError: when the destination refuses.
        :raises TransientError: when the destination or the line fails.
        """
        ...


def taken(part: Part, url: str, journal: UploadJournal) -> Exception:
    """What to do about a stranger's file under a part's name."""
    others = [other for other in journal.manifest.parts if other.file_name != part.file_name]
    if not any(map(journal.was_begun, others)) and not any(map(journal.has_its_name, others)):
        return NameTaken()
    return ConfigurationError(
        f"{part.file_name}: {url} is there, and it is not this delivery's: somebody else sends "
        f"files for the same data source under the same names. It was not touched. Other files of "
        f"delivery {journal.entry.delivery_id} were sent already, so it cannot have another name: "
        f"format and send the rows again, or have that file taken away and clear this task"
    )


def in_doubt(part: Part, url: str, journal: UploadJournal) -> FileInDoubt:
    """What a person is told who has to say whose file it is."""
    return FileInDoubt(
        f"{part.file_name}: {url} is there already, and this account cannot tell whether an "
        f"earlier attempt put it there. Nothing was overwritten. If the file there is this "
        f"delivery's ({part.compressed_bytes:,} bytes, SHA-256 {part.sha256}): airflow-am "
        f"deliveries confirm {journal.entry.delivery_id} {part.file_name}. If it is somebody "
        f"else's: "
        f"airflow-am deliveries rename {journal.entry.delivery_id}. Then clear this task"
    )


def asked_for(manifest: Manifest, only: Collection[str] | None) -> list[Part]:
    """The parts that are sent now."""
    return [part for part in manifest.parts if only is None or part.file_name in only]


class Progress:
    """Logs how long a part took.

    :param part: the part.
    :param url: its full address.
    """

    def __init__(self, part: Part, url: str) -> None:
        self._part = part
        self._url = url
        self._begun = time.monotonic()

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None:
            seconds = max(time.monotonic() - self._begun, 1e-3)
            megabytes = self._part.compressed_bytes / 1e6
            _logger.info(
                "%s: %.1f MB in %.1f s, %.1f MB/s",
                self._url,
                megabytes,
                seconds,
                megabytes / seconds,
            )


def sending_progress(parts: Sequence[Part], journal: UploadJournal) -> BytesProgress:
    """How far the sending of some parts has come.

    :param parts: those that are sent now.
    :param journal: knows which of them are there already.
    """
    there = sum(part.compressed_bytes for part in parts if journal.known(part) is not None)
    return BytesProgress("Sending", sum(part.compressed_bytes for part in parts), there)


def check_staged(manifest: Manifest, staging: Folder) -> None:
    """Look whether all parts are there before the first one goes."""
    for part in manifest.parts:
        size = staging.size(part.path)
        if size is None:
            raise DataError(
                f"{part.file_name}: {staging.url}/{part.path} is not there, and nothing was sent "
                f"now; if staging was cleaned, format the rows again"
            )
        if size != part.compressed_bytes:
            raise DataError(
                f"{part.file_name}: {staging.url}/{part.path} has {size:,} bytes, but the manifest "
                f"says {part.compressed_bytes:,}; nothing was sent now"
            )
