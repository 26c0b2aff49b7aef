"""A delivery as the upload described it: what a receipt is held against."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.deliveries.layout import MANIFEST_FILE
from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.target.names import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.journal import UploadJournal
    from airflow_am_provider.deliveries.uploads.record import UploadRecord

# Clocks of mail servers and workers differ.
_MARGIN: Final = timedelta(hours=1)
_TEXTS: Final = (
    "delivery_id",
    "destination",
    "destination_name",
    "target",
    "day",
    "begun_at",
    "sent_at",
    "staging",
    "location",
)
_ROWS: Final = ("rows_read", "rows_written", "rows_set_aside")


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadResult:
    """What :class:`~airflow_am_provider.operators.upload.UploadOperator` returned.

    :param delivery_id: the manifest's.
    :param files: lines of each file, by its name at Adobe.
    :param rows_read: rows the source gave.
    :param rows_written: rows that are in the files.
    :param rows_set_aside: rows that are not.
    :param destination: the folder the files went to.
    :param destination_name: what tells destinations apart, such as ``production/acme``.
    :param target: whose traits are set there, or the ID pairs.
    :param day: the UTC day in their keys on S3.
    :param begun_at: when sending began; no receipt is older.
    :param sent_at: when it ended.
    :param staging: the staging location.
    :param location: the delivery's folder in it.
    :param sending: 1, or the number of this repetition.
    :param counted: the receipts of earlier sendings; they say nothing of this one.
    :param document: all of it as it was given.
    """

    delivery_id: str
    files: dict[str, int]
    rows_read: int
    rows_written: int
    rows_set_aside: int
    destination: str
    destination_name: str
    target: str
    day: date
    begun_at: datetime
    sent_at: datetime
    staging: str
    location: str
    sending: int = 1
    counted: tuple[Receipt, ...] = ()
    document: dict[str, Any] = field(repr=False, compare=False)

    def record(self, targets: Targets) -> DeliveryRecord | None:
        """What is known of the delivery by now; None when its target does not know it."""
        target = targets.named(self.destination_name, self.target)
        entry = target.find(self.delivery_id)
        return None if entry is None else DeliveryRecord(entry, target, targets.staging)

    @classmethod
    def from_json(cls, document: object) -> UploadResult:
        """Read what the upload returned, or that as JSON text.

        :raises ConfigurationError: when it is something else; says what is wrong.
        """
        if isinstance(document, str):
            try:
                document = json.loads(document)
            except ValueError as error:
                raise _wrong(f"not JSON: {error}") from None
        if not isinstance(document, dict):
            raise _wrong(f"an object was expected, not {type(document).__name__}")
        for name in (*_TEXTS, "files", *_ROWS):
            if name not in document:
                raise _wrong(f"{name}: missing")
        files = document["files"]
        if not (isinstance(files, dict) and files):
            raise _wrong("files: names with their lines were expected")
        try:
            return cls(
                delivery_id=str(document["delivery_id"]),
                destination=str(document["destination"]),
                destination_name=str(document["destination_name"]),
                target=str(document["target"]),
                staging=str(document["staging"]),
                location=str(document["location"]),
                rows_read=int(document["rows_read"]),
                rows_written=int(document["rows_written"]),
                rows_set_aside=int(document["rows_set_aside"]),
                files={str(name): int(lines) for name, lines in files.items()},
                day=date.fromisoformat(document["day"]),
                begun_at=datetime.fromisoformat(document["begun_at"]),
                sent_at=datetime.fromisoformat(document["sent_at"]),
                sending=int(document.get("sending", 1)),
                counted=tuple(map(Receipt.from_json, document.get("counted", ()))),
                document=document,
            )
        except (DataError, TypeError, ValueError) as error:
            raise _wrong(str(error)) from None


def upload_json(
    manifest: Manifest, record: UploadRecord, *, counted: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """What the sensor is told of a delivery, as plain JSON.

    :param manifest: the delivery, with the names it was sent under.
    :param record: what became of it.
    :param counted: receipts that say nothing of this sending, as JSON.
    """
    return {
        "delivery_id": manifest.delivery_id,
        "kind": manifest.kind,
        "files": manifest.lines_by_file,
        "rows_read": manifest.rows_read,
        "rows_written": manifest.rows_written,
        "rows_set_aside": manifest.rows_set_aside,
        "destination": record.destination,
        "destination_name": manifest.destination,
        "target": target_of(manifest.file_name.kind),
        "day": record.day,
        # While it is still being sent: not before it was begun.
        "sent_at": record.sent_at or record.begun_at,
        "begun_at": record.begun_at,
        "sending": record.sending.number,
        "counted": list(counted),
        "staging": manifest.staging,
        "location": manifest.location,
        "manifest": f"{manifest.location}/{MANIFEST_FILE}",
        "window": dict(zip(("start", "end"), manifest.window.texts, strict=True)),
    }


def read_deliveries(given: object) -> list[UploadResult]:
    """Read one delivery, several, or none.

    :param given: what uploads returned: one of them or any sequence; None in place of one that
        was skipped.
    :raises ConfigurationError: when something in it is no delivery, or one is there twice.
    """
    if given is None or given in ("", "None"):
        return []
    if isinstance(given, Iterable) and not isinstance(given, str | dict):
        items = list(given)
    else:
        items = [given]
    found = [UploadResult.from_json(item) for item in items if item is not None]
    names = [name for delivery in found for name in delivery.files]
    if len(names) != len(set(names)):
        raise _wrong("the same file stands in it twice")
    return found


def last_sendings(targets: Targets, deliveries: Sequence[UploadResult]) -> list[UploadResult]:
    """Deliveries as they were sent last, where they were sent again after what is given.

    :param targets: of the staging location.
    :param deliveries: what uploads returned.
    """
    records = DeliveryRecords(targets)
    found = []
    for delivery in deliveries:
        record = delivery.record(targets)
        is_newer = record is not None and record.sending > delivery.sending
        sent = record.sent if record is not None and is_newer else None
        if record is None or sent is None:
            found.append(delivery)
        else:
            found.append(_described(records, record.manifest, sent))
    return found


def upload_result(records: DeliveryRecords, book: UploadJournal) -> UploadResult:
    """A sending of a delivery, as the sensor is told of it.

    :param records: say by which receipts earlier sendings were acknowledged.
    :param book: the journal of the sending.
    """
    return _described(records, book.manifest, book.record)


def _described(records: DeliveryRecords, manifest: Manifest, record: UploadRecord) -> UploadResult:
    counted = records.counted(manifest.location, record.sending.number)
    return UploadResult.from_json(upload_json(manifest, record, counted=counted))


def receipts_since(given: object, deliveries: Sequence[UploadResult]) -> datetime:
    """From when on to look for receipts: as given, or an hour before sending began.

    :param given: ISO 8601, a datetime (UTC if it has no zone), or nothing.
    :raises ConfigurationError: when it is no time.
    """
    if given in (None, "", "None"):
        return min(delivery.begun_at for delivery in deliveries) - _MARGIN
    try:
        time = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    except ValueError:
        raise ConfigurationError(f"receipts_since: {given!r} is no time in ISO 8601") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _wrong(reason: str) -> ConfigurationError:
    return ConfigurationError(f"delivery: {reason}; pass what UploadOperator returned")
