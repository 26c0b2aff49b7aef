"""The record of one delivery: what its target decided about it, and the files beside it.

=============== =================================================================================
state           what it means
=============== =================================================================================
staged          its files lie in staging
queued          it has its place in the queue of its target, and nothing of it was sent
sending         its files are on their way
sent            all of them are at the destination
picked_up       all of them have their ``.processed`` marker
assumed         nothing says that they were read; a fixed wait is over
acknowledged    a sign says of all of them what counts
reconciled      acknowledged, and as many records were received as lines were sent
failed          acknowledged, but over a limit; or a guard has stopped it
superseded      another version of the same window took its place
abandoned       a person gave it up
=============== =================================================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.deliveries.figures import COUNTS, match_rate
from airflow_am_provider.deliveries.layout import (
    GUARD_FILE,
    MANIFEST_FILE,
    RECONCILIATION_FILE,
    numbered,
)
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.standing import Notes, Standing, notes_beside, standing_of
from airflow_am_provider.deliveries.target.state import (
    ON_ITS_WAY,
    PROCESSED_WELL,
    DeliveryEntry,
    DeliveryState,
)
from airflow_am_provider.deliveries.uploads.record import UploadRecord, read_upload_record

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.storage.folder import Folder

_OUTSTANDING: Final = (DeliveryState.STAGED, DeliveryState.QUEUED, *ON_ITS_WAY)


@dataclass(frozen=True)
class DeliveryRecord:
    """One delivery, and how far it came. What lies in files is read when it is asked for.

    :param entry: what its target has decided.
    :param target: its target.
    :param staging: where its files lie.
    """

    entry: DeliveryEntry
    target: Target
    staging: Folder

    @property
    def state(self) -> DeliveryState:
        """How far it came."""
        return self.entry.state

    @property
    def since(self) -> str:
        """When it came there, ISO 8601 in UTC."""
        return self.entry.since

    @property
    def reason(self) -> str | None:
        """Why it failed, was abandoned or superseded, in a sentence."""
        return self.entry.reason

    @property
    def sending(self) -> int:
        """The number of the last sending; 1 also when there was none yet."""
        return 1 if self.entry.sending is None else self.entry.sending.number

    @cached_property
    def manifest(self) -> Manifest:
        """What was staged, under the names it has now.

        :raises DataError: when it is gone.
        """
        path = f"{self.entry.location}/{MANIFEST_FILE}"
        content = self.staging.read_bytes(path)
        if content is None:
            raise DataError(f"{self.staging.url}/{path}: the manifest is gone from staging")
        return Manifest.from_json(content).named(self.entry.timestamp)

    @cached_property
    def sent(self) -> UploadRecord | None:
        """What was sent by the last sending; None before it was begun."""
        return read_upload_record(self.staging, self.manifest, self.entry.sending)

    @cached_property
    def reconciliation(self) -> dict[str, Any] | None:
        """What receipts said of the last sending; None before."""
        return read_json(
            self.staging, f"{self.entry.location}/{numbered(RECONCILIATION_FILE, self.sending)}"
        )

    @cached_property
    def guard(self) -> dict[str, Any] | None:
        """What its guard found, and who let it pass or rejected it; None where no guard looked.

        Its layout is that of ``guard.json`` in docs/manifest.md.

        :raises DataError: when it cannot be read.
        """
        return read_json(self.staging, f"{self.entry.location}/{GUARD_FILE}")

    @cached_property
    def notes(self) -> Notes:
        """What lies beside it that says more than its state, while it is open."""
        return notes_beside(self.staging, self.entry)

    @property
    def standing(self) -> Standing:
        """How it stands, in plain words: its state, or what that does not say."""
        return standing_of(self.entry, self.notes)

    @property
    def upload_failure(self) -> dict[str, Any] | None:
        """When and why an attempt to send it failed last, while it is not sent whole; None else."""
        return None if self.notes.failure is None else dict(self.notes.failure)

    @property
    def is_acknowledged(self) -> bool:
        """Whether Audience Manager has processed it, well or not."""
        return self.state in PROCESSED_WELL or (
            self.state is DeliveryState.FAILED and self.entry.may_have_left
        )

    @property
    def is_outstanding(self) -> bool:
        """Whether an acknowledgement is still to come."""
        return self.state in _OUTSTANDING

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for the command line."""
        entry, figures = self.entry, self.entry.figures
        sending, standing = entry.sending, self.standing
        return {
            "delivery_id": entry.delivery_id,
            "kind": "id_sync" if entry.mode is None else "data",
            "destination": self.target.destination,
            "target": self.target.name,
            "state": str(entry.state),
            "since": entry.since,
            "standing": standing.name,
            "standing_words": standing.words,
            "standing_since": standing.since,
            "reason": standing.reason,
            "series": entry.series,
            "version": entry.version,
            **entry.window.to_json(),
            "created_at": figures.get("created_at"),
            "begun_at": None if sending is None else sending.begun_at,
            "sent_at": None if sending is None else sending.sent_at,
            "sending": self.sending,
            "times_sent": entry.times_sent,
            "match_rate": match_rate(
                figures.get("records_received"), figures.get("stored_records")
            ),
            **{name: figures.get(name) for name in (*COUNTS, "verdict")},
            "location": entry.location,
        }


def read_json(staging: Folder, path: str) -> dict[str, Any] | None:
    """A document in staging; None where there is none.

    :raises DataError: when it cannot be read.
    """
    content = staging.read_bytes(path)
    if content is None:
        return None
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise TypeError("an object was expected")
    except (TypeError, ValueError) as error:
        raise DataError(f"{staging.url}/{path}: cannot be read: {error}") from None
    return document
