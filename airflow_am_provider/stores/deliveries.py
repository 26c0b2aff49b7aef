"""The record of every delivery: what lies in its folder in staging says how far it came.

There is no state that could be wrong: each step leaves a file of its own, and the state is read off
them. It outlives runs, workers and Airflow's database, and needs no server.

=============== ====================================== ==================================
state           what says so                           who writes it
=============== ====================================== ==================================
staged          ``manifest.json``                      the format task
sending         ``sending.json``                       the upload, before the first part
sent            ``sent.json``                          the upload, after the last part
picked_up       ``picked_up.json``                     the sensor, of ``.processed`` markers
acknowledged    ``reconciliation.json``                the sensor, of receipts or markers
reconciled      likewise: as many records as lines     the sensor
failed          likewise, over a limit; ``ended.json`` the sensor; a guard
abandoned       ``ended.json``                         a person, or what supersedes it
=============== ====================================== ==================================

A delivery that is sent again writes ``sending-2.json`` and so on; the last sending counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.companions import (
    ENDED_FILE,
    MANIFEST_FILE,
    PICKED_UP_FILE,
    RECONCILIATION_FILE,
    numbered,
)
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.reconciliation import Verdict
from airflow_am_provider.formatting.manifest import Manifest
from airflow_am_provider.formatting.sent_record import SendingFiles, SentRecord, read_sent
from airflow_am_provider.stores.sent_book import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.stores.entry import Folder

KINDS: Final = ("data", "id_sync")
DELIVERIES: Final = "deliveries"


class DeliveryState(StrEnum):
    """How far a delivery came."""

    STAGED = "staged"
    SENDING = "sending"
    SENT = "sent"
    PICKED_UP = "picked_up"
    ACKNOWLEDGED = "acknowledged"
    RECONCILED = "reconciled"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRecord:
    """One delivery, and how far it came.

    :param manifest: what was staged.
    :param state: how far it came.
    :param since: when it came there, ISO 8601 in UTC.
    :param reason: why it failed or was abandoned, in a sentence.
    :param sending: the number of the last sending; 1 also when there was none yet.
    :param sent: what was sent by it; None before it was begun.
    :param reconciliation: what the sensor wrote of it; None before.
    """

    manifest: Manifest
    state: DeliveryState
    since: str
    reason: str | None
    sending: int
    sent: SentRecord | None
    reconciliation: dict[str, Any] | None

    @property
    def is_acknowledged(self) -> bool:
        """Whether Audience Manager has processed it, well or not."""
        return is_acknowledgement(self.reconciliation)

    @property
    def is_outstanding(self) -> bool:
        """Whether an acknowledgement is still to come."""
        return self.state in (
            DeliveryState.STAGED,
            DeliveryState.SENDING,
            DeliveryState.SENT,
            DeliveryState.PICKED_UP,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for the command line."""
        manifest, found = self.manifest, self.reconciliation or {}
        counts = found.get("counts") or {}
        return {
            "delivery_id": manifest.delivery_id,
            "kind": manifest.kind,
            "destination": manifest.destination,
            "state": str(self.state),
            "since": self.since,
            "reason": self.reason,
            "window_start": manifest.window_start,
            "window_end": manifest.window_end,
            "created_at": manifest.created_at,
            "begun_at": None if self.sent is None else self.sent.begun_at,
            "sent_at": None if self.sent is None else self.sent.sent_at,
            "sending": self.sending,
            "rows_read": manifest.rows_read,
            "rows_written": manifest.rows_written,
            "rows_set_aside": manifest.rows_set_aside,
            "records_received": counts.get("records_received"),
            "stored_records": counts.get("stored_records"),
            "verdict": found.get("verdict"),
            "files": manifest.lines_by_file,
            "location": manifest.location,
        }


class DeliveryRecords:
    """The records in a staging location.

    :param staging: the staging location.

    Example::

        records = DeliveryRecords(AudienceManagerHook().staging())
        for record in records.all():
            print(record.manifest.delivery_id, record.state)
    """

    def __init__(self, staging: Folder) -> None:
        self._staging = staging

    def all(self) -> Iterator[DeliveryRecord]:
        """All of them, in the order of their folders."""
        for kind in KINDS:
            for entry in self._staging.list(f"{DELIVERIES}/{kind}/"):
                folder, _, name = entry.path.rpartition("/")
                # Attempts lie a level deeper, but for those that wrote no row.
                if name == MANIFEST_FILE and "/attempts/" not in entry.path:
                    record = self.at(folder)
                    if record is not None:
                        yield record

    def find(self, delivery_id: str) -> DeliveryRecord:
        """One of them.

        :raises ConfigurationError: when there is none.
        """
        if delivery_id.isalnum():
            for kind in KINDS:
                record = self.at(f"{DELIVERIES}/{kind}/{delivery_id}")
                if record is not None:
                    return record
        raise ConfigurationError(f"delivery {delivery_id!r}: there is none in {self._staging.url}")

    def at(self, location: str) -> DeliveryRecord | None:
        """The one whose folder this is, or None."""
        content = self._staging.read_bytes(f"{location}/{MANIFEST_FILE}")
        if content is None:
            return None
        manifest = Manifest.from_json(content)
        sending = self.last_sending(location)
        sent = read_sent(self._staging, manifest, SendingFiles.of(location, sending))
        found = self._json(location, RECONCILIATION_FILE, sending)
        state, since, reason = self._state(manifest, sending, sent, found)
        return DeliveryRecord(
            manifest=manifest,
            state=state,
            since=since,
            reason=reason,
            sending=sending,
            sent=sent,
            reconciliation=found,
        )

    def is_settled(self, location: str, sending: int = 1) -> bool:
        """Whether a delivery need not be waited for: acknowledged, or ended without that.

        :param location: its folder.
        :param sending: which sending; one after it says the same again, so its receipt will do.
        """
        if is_acknowledgement(self._json(location, RECONCILIATION_FILE, sending)):
            return True
        if self.ended(location) is not None:
            return True
        later = range(sending + 1, self.last_sending(location) + 1)
        return any(
            is_acknowledgement(self._json(location, RECONCILIATION_FILE, number))
            for number in later
        )

    def ended(self, location: str) -> dict[str, Any] | None:
        """Why a delivery was ended, or None: ``state``, ``reason`` and ``at``."""
        return self._json(location, ENDED_FILE)

    def end(
        self, location: str, state: DeliveryState, reason: str, now: datetime | None = None
    ) -> bool:
        """Note that a delivery will not be sent, or not be waited for any more.

        :param location: its folder.
        :param state: ``FAILED`` or ``ABANDONED``.
        :param reason: why, in a sentence.
        :return: whether it was noted now; False when it had been before.
        """
        at = timestamp(now or datetime.now(UTC))
        note = {"state": str(state), "reason": reason, "at": at}
        return self._staging.create(f"{location}/{ENDED_FILE}", json.dumps(note).encode())

    def reopen(self, location: str) -> None:
        """Take back that a delivery was ended."""
        self._staging.delete(f"{location}/{ENDED_FILE}")

    def abandon(self, delivery_id: str, reason: str) -> DeliveryRecord:
        """Give a delivery up: it is not sent any more, and nothing waits for it.

        :param reason: why, in a sentence, for those who look later.
        :raises ConfigurationError: when there is none, or it is acknowledged.
        """
        record = self.find(delivery_id)
        if record.is_acknowledged:
            raise ConfigurationError(
                f"delivery {delivery_id}: {record.state} since {record.since}, so there is nothing "
                f"to abandon: Audience Manager has processed it"
            )
        self.end(record.manifest.location, DeliveryState.ABANDONED, reason)
        return self.find(delivery_id)

    def picked_up(self, location: str, sending: int, now: datetime | None = None) -> None:
        """Note that all files of a delivery have their ``.processed`` marker."""
        note = {"at": timestamp(now or datetime.now(UTC))}
        path = f"{location}/{numbered(PICKED_UP_FILE, sending)}"
        self._staging.create(path, json.dumps(note).encode())

    def conclude(self, location: str, sending: int, reconciliation: dict[str, Any]) -> None:
        """Write what receipts and markers said of a sending."""
        content = json.dumps(reconciliation, indent=2).encode()
        self._staging.write_bytes(f"{location}/{numbered(RECONCILIATION_FILE, sending)}", content)

    def last_sending(self, location: str) -> int:
        """The number of the last sending that was begun; 1 when none was."""
        number = 1
        while self._staging.exists(SendingFiles.of(location, number + 1).begun):
            number += 1
        return number

    def counted(self, location: str, sending: int) -> list[str]:
        """Digests of the receipts that acknowledged earlier sendings: they say nothing of this."""
        found = [
            self._json(location, RECONCILIATION_FILE, number) or {} for number in range(1, sending)
        ]
        return sorted({str(one) for each in found for one in each.get("receipt_digests") or ()})

    def _state(
        self,
        manifest: Manifest,
        sending: int,
        sent: SentRecord | None,
        found: dict[str, Any] | None,
    ) -> tuple[DeliveryState, str, str | None]:
        if found is not None and is_acknowledgement(found):
            at = str(found.get("concluded_at") or found.get("sent_at"))
            problems = found.get("problems") or ()
            if problems:
                return DeliveryState.FAILED, at, "; ".join(map(str, problems))
            exact = found.get("verdict") == str(Verdict.RECONCILED)
            return (DeliveryState.RECONCILED if exact else DeliveryState.ACKNOWLEDGED), at, None
        ended = self.ended(manifest.location)
        if ended is not None:
            return DeliveryState(ended["state"]), str(ended["at"]), str(ended["reason"])
        if sent is None:
            return DeliveryState.STAGED, manifest.created_at, None
        if sent.sent_at is None:
            return DeliveryState.SENDING, sent.begun_at, None
        marked = self._json(manifest.location, PICKED_UP_FILE, sending)
        if marked is not None:
            return DeliveryState.PICKED_UP, str(marked["at"]), None
        return DeliveryState.SENT, sent.sent_at, None

    def _json(self, location: str, name: str, sending: int = 1) -> dict[str, Any] | None:
        path = f"{location}/{numbered(name, sending)}"
        content = self._staging.read_bytes(path)
        if content is None:
            return None
        try:
            document = json.loads(content)
            if not isinstance(document, dict):
                raise TypeError("an object was expected")
        except (TypeError, ValueError) as error:
            raise DataError(f"{self._staging.url}/{path}: cannot be read: {error}") from None
        return document


def is_acknowledgement(reconciliation: dict[str, Any] | None) -> bool:
    """Whether what the sensor wrote says that Audience Manager has processed the delivery."""
    return reconciliation is not None and bool(reconciliation.get("acknowledged"))
