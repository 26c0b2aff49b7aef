"""Sends a delivery by what a connection says, and tells the log."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.connection import MAKE_ANEW
from airflow_am_provider.deliveries.data_sources import check_data_sources
from airflow_am_provider.deliveries.figures import rows_in_words
from airflow_am_provider.deliveries.queue_gate import QueueGate
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.shares import evenly
from airflow_am_provider.deliveries.staging import write_manifest
from airflow_am_provider.deliveries.target.commands import OnOlder, Rename, Resend
from airflow_am_provider.deliveries.target.events import Refused, RefusedFor
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.uploads.destination import Destination, NameTaken
from airflow_am_provider.deliveries.uploads.idle_keys import idle_warning, note_use
from airflow_am_provider.deliveries.uploads.journal import (
    MustWait,
    UploadJournal,
    begin_sending,
    timestamp,
)
from airflow_am_provider.deliveries.uploads.result import read_deliveries
from airflow_am_provider.formatting.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.record import DeliveryRecord
    from airflow_am_provider.deliveries.target.state import TargetState
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.storage import Folder

_logger = logging.getLogger(__name__)
_MOST_NAMES = 20


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def queue_gate(
    hook: Connection,
    manifest: Manifest,
    *,
    on_older: OnOlder = OnOlder.REFUSE,
    after: object = None,
    in_order: bool = True,
) -> QueueGate:
    """What holds a delivery back until it is its turn.

    :param hook: leads to staging.
    :param manifest: the delivery; it has parts.
    :param on_older: see :class:`~airflow_am_provider.deliveries.target.commands.OnOlder`.
    :param after: what uploads returned that must be acknowledged first.
    :param in_order: whether to wait for what was sent to the same target before it.
    :raises ConfigurationError: when the manifest is of another staging location or destination.
    """
    return QueueGate(
        targets=hook.targets(),
        manifest=checked_manifest(hook, manifest),
        on_older=on_older,
        after=read_deliveries(after),
        in_order=in_order,
    )


def enter_queue(
    hook: Connection,
    manifest: Manifest,
    *,
    on_older: OnOlder = OnOlder.REFUSE,
    after: object = None,
    in_order: bool = True,
) -> None:
    """Enter the queue of a delivery's target, and see that it may be sent now.

    Parameters are those of :func:`queue_gate`.

    :raises MustWait: when something has to be processed first.
    :raises Superseded: when another version of the same window took its place.
    :raises ConfigurationError: when the delivery is refused, or was given up.
    """
    gate = queue_gate(hook, manifest, on_older=on_older, after=after, in_order=in_order)
    gate.enter()
    waits = gate.waits_for()
    if waits:
        raise MustWait("; ".join(waits))


def checked_manifest(hook: Connection, manifest: Manifest) -> Manifest:
    """A manifest that is of the connection's staging location and destination.

    :raises ConfigurationError: when it is of others.
    """
    staging = hook.staging()
    if manifest.staging != staging.url:
        raise ConfigurationError(
            f"manifest {manifest.delivery_id} was staged at {manifest.staging}, but the connection "
            f"{hook.audience_manager_conn_id!r} has the staging location {staging.url}. {MAKE_ANEW}"
        )
    # Where nothing is said, the connection alone does.
    manifest = replace(manifest, destination=manifest.destination or hook.destination_name)
    if manifest.destination != hook.destination_name:
        raise ConfigurationError(
            f"manifest {manifest.delivery_id} was made for {manifest.destination!r}, but the "
            f"connection {hook.audience_manager_conn_id!r} leads to {hook.destination_name!r} now. "
            f"{MAKE_ANEW}. {manifest.series} formatted it. The old delivery is given up by "
            f"airflow-am deliveries abandon {manifest.delivery_id} --reason 'wrong destination' "
            f"--conn-id {hook.audience_manager_conn_id}"
        )
    if manifest.parts:
        # The list may have been made shorter since.
        check_data_sources(hook, manifest.file_name.kind)
    return manifest


def send_delivery(
    hook: Connection,
    manifest: Manifest,
    *,
    in_order: bool = True,
    clock: Callable[[], datetime] = utc_now,
) -> UploadJournal:
    """Send what of a delivery was not sent yet; it has its place in the queue.

    :param hook: leads to staging and destination.
    :param manifest: the delivery; it has parts.
    :param in_order: whether to wait for what is before it in the queue.
    :param clock: the time; the day of the first attempt becomes part of the keys on S3.
    :return: the journal of the sending, complete.
    :raises MustWait: when something has to be processed first.
    :raises Superseded: when another version of the same window took its place.
    :raises ConfigurationError: when the destination refuses.
    :raises DataError: when a staged part is not what the manifest says.
    :raises TransientError: when the destination or the line fails.
    """
    manifest = checked_manifest(hook, manifest)
    size = sum(part.compressed_bytes for part in manifest.parts) / 1e6
    what = f"delivery {manifest.delivery_id}: {counted(len(manifest.parts), 'file')}"
    begun = time.monotonic()
    warning = idle_warning(hook, clock())
    if warning is not None:
        _logger.warning("Keys: %s", warning)
    book = send_parts(
        hook.targets(),
        hook.destination(),
        manifest,
        road=road_in_words(hook),
        in_order=in_order,
        clock=clock,
    )
    if book.is_whole:
        _logger.info(
            "All of it was sent already, at %s, so nothing is left to send: %s, to %s (%s)",
            book.record.sent_at,
            what,
            book.record.destination,
            road_in_words(hook),
        )
        return book
    record = book.complete()
    note_use(hook, clock())
    _logger.info(
        "Sent %s, %s, %.1f MB, to %s (%s) at %s; this task took %s. %s",
        what,
        counted(sum(manifest.lines_by_file.values()), "line"),
        size,
        record.destination,
        road_in_words(hook),
        record.sent_at,
        duration(time.monotonic() - begun),
        rows_in_words(manifest.to_json()),
    )
    return book


def road_in_words(hook: Connection) -> str:
    """By which environment and connection something is sent, for the log."""
    settings = hook.settings
    return (
        f"environment {settings.environment}, transport {settings.transport}, connection "
        f"{hook.audience_manager_conn_id}"
    )


def send_share(
    hook: Connection, manifest: Manifest, share: int, shares: int, *, in_order: bool = True
) -> list[str]:
    """Send some of a delivery's parts, those that were not sent yet.

    :param hook: leads to staging and destination.
    :param manifest: the delivery; it has parts.
    :param share: which of the shares, counted from 0.
    :param shares: into how many all parts are divided, of about the same size each.
    :param in_order: whether to wait for what is before it in the queue.
    :return: names of the share's files.
    :raises ConfigurationError: when there is no such share, or the destination refuses.
    :raises DataError: when any staged part is not what the manifest says; nothing is sent then.
    :raises TransientError: when the destination or the line fails.
    """
    if not 0 <= share < shares:
        raise ConfigurationError(
            f"share: {share} is none of {shares}; they are counted from 0 to {shares - 1}"
        )
    of_each = evenly([part.compressed_bytes for part in manifest.parts], shares)
    numbers = [place for place, number in enumerate(of_each) if number == share]
    of_all = f"share {share + 1} of {shares}: {len(numbers):,} of all files"
    if not numbers:
        _logger.info("Nothing to send in %s", of_all)
        return []
    _logger.info("This task sends %s", of_all)
    book = send_parts(
        hook.targets(),
        hook.destination(),
        checked_manifest(hook, manifest),
        places=numbers,
        road=road_in_words(hook),
        in_order=in_order,
    )
    return [book.manifest.parts[place].file_name for place in numbers]


def send_parts(
    targets: Targets,
    destination: Destination,
    manifest: Manifest,
    *,
    places: Sequence[int] | None = None,
    road: str = "",
    in_order: bool = True,
    clock: Callable[[], datetime] = utc_now,
) -> UploadJournal:
    """Begin, and send all parts or some; under another name where a stranger has this one.

    :param targets: of the staging location.
    :param destination: where to.
    :param manifest: the delivery; it has its place in the queue.
    :param places: which parts, by their place in the manifest; by default all. On FTP the names are
        given when all are sent.
    :param road: environment and connection, for the log.
    :param in_order: whether to wait for what is before it in the queue.
    :param clock: the time.
    :return: the journal of the sending, not complete yet.
    """
    target, staging = targets.of(manifest), targets.staging
    under_other_names: list[UploadJournal] = []
    for _ in range(_MOST_NAMES):
        book = begin_sending(target, manifest, staging, destination.url, clock, in_order=in_order)
        names = None if places is None else [book.manifest.parts[at].file_name for at in places]
        if not book.is_whole:
            _tell_what_is_left(book, names, destination.url, road)
        try:
            destination.send(staging, book, only=names)
        except NameTaken:
            rename_delivery(targets, book.manifest, clock)
            under_other_names.append(book)
            continue
        except AudienceManagerError as error:
            book.failed(error)
            raise
        if places is None:
            _clear_up(destination, staging, under_other_names)
        return book
    raise TransientError(
        f"delivery {manifest.delivery_id}: {_MOST_NAMES} names were tried, and something at "
        f"{destination.url} had each of them"
    )


def _tell_what_is_left(
    book: UploadJournal, names: Collection[str] | None, url: str, road: str
) -> None:
    """Say what is going to be sent now: nothing of what is there already."""
    asked = [part for part in book.manifest.parts if names is None or part.file_name in names]
    left = [part for part in asked if part.file_name not in book.record.parts]
    by = f" ({road})" if road else ""
    if not book.is_new and book.record.parts:
        _logger.info(
            "Going on with what was begun at %s: %s of %s there already",
            book.record.begun_at,
            f"{len(asked) - len(left):,}",
            counted(len(asked), "file"),
        )
    if left:
        size = sum(part.compressed_bytes for part in left) / 1e6
        _logger.info("Sending %s, %.1f MB, to %s%s", counted(len(left), "file"), size, url, by)


def _clear_up(
    destination: Destination, staging: Folder, under_other_names: list[UploadJournal]
) -> None:
    """Delete what was uploaded for names that somebody else had in the end.

    Only once all of it is there under its own: another attempt that misses what it has uploaded
    takes the name for given.
    """
    for book in under_other_names:
        try:
            destination.withdraw(staging, book)
        except AudienceManagerError as error:
            _logger.warning(
                "What was uploaded for the name %s stays under temporary names: %s",
                book.manifest.file_name,
                error,
            )


def rename_delivery(
    targets: Targets, manifest: Manifest, clock: Callable[[], datetime] = utc_now
) -> Manifest:
    """Give a delivery of which nothing was sent other names.

    :param targets: of the staging location.
    :param manifest: the delivery, with the names it has now.
    :param clock: the time.
    :return: the manifest with its new names.
    :raises ConfigurationError: when it was sent before.
    """
    target = targets.of(manifest)
    command = Rename(
        delivery_id=manifest.delivery_id,
        timestamp=manifest.file_name.timestamp,
        now=int(clock().timestamp()),
    )
    try:
        event = target.decide(command)
    except Refused as refusal:
        raise ConfigurationError(str(refusal)) from None
    assert event.entry is not None
    renamed = manifest.named(event.entry.timestamp)
    write_manifest(targets.staging, renamed)
    _logger.warning(
        "Something at the destination has the name %s, and it is not this delivery's: it is sent "
        "as %s",
        manifest.file_name,
        renamed.file_name,
    )
    return renamed


def confirm_part(hook: Connection, delivery_id: str, file_name: str) -> DeliveryRecord:
    """Note that a file at the destination is the delivery's own, as a person has seen.

    :param hook: leads to staging and destination.
    :param delivery_id: the delivery.
    :param file_name: the file.
    :return: its record.
    :raises ConfigurationError: when there is no such delivery, or it has no such file, or nothing
        of it was begun.
    """
    record = DeliveryRecords(hook.targets()).find(delivery_id)
    confirm_file(record, file_name)
    return record


def confirm_file(record: DeliveryRecord, file_name: str) -> None:
    """Note that a file at the destination is a delivery's own; see :func:`confirm_part`."""
    delivery_id = record.entry.delivery_id
    if record.entry.sending is None:
        raise ConfigurationError(f"delivery {delivery_id}: nothing of it was sent yet")
    parts = {part.file_name: part for part in record.manifest.parts}
    if file_name not in parts:
        raise ConfigurationError(
            f"delivery {delivery_id}: {printable(file_name)!r} is none of its files: "
            f"{', '.join(parts)}"
        )
    book = UploadJournal(record.target, record.manifest, record.staging, record.entry, utc_now)
    url = f"{record.entry.sending.url.rstrip('/')}/{file_name}"
    book.uploaded(parts[file_name], url, is_sent=True)


def abandon_delivery(hook: Connection, delivery_id: str, reason: str) -> DeliveryRecord:
    """Give a delivery up, and delete what of it lies half at its destination.

    What Audience Manager can see already stays: it may have been read.

    :param hook: leads to staging and destination.
    :param delivery_id: the delivery.
    :param reason: why, in a sentence, for those who look later.
    :return: its record, abandoned.
    :raises ConfigurationError: when there is none, or it is acknowledged.
    """
    targets = hook.targets()
    record = DeliveryRecords(targets).end(delivery_id, DeliveryState.ABANDONED, reason)
    sending = record.entry.sending
    if sending is None or sending.sent_at is not None:
        return record
    try:
        staging = hook.staging()
        book = UploadJournal(record.target, record.manifest, staging, record.entry, utc_now)
        hook.destination().withdraw(staging, book)
    except AudienceManagerError as error:
        _logger.warning(
            "Delivery %s is abandoned, but what was begun of it stays: %s", delivery_id, error
        )
    return record


def resend_delivery(hook: Connection, delivery_id: str, *, force: bool = False) -> DeliveryRecord:
    """Send the very same bytes again under the same names; what was begun is finished first.

    :param hook: leads to staging and destination.
    :param delivery_id: the delivery; one that was abandoned is taken up again.
    :param force: send it although newer data of its target was sent.
    :return: its record, sent.
    :raises ConfigurationError: when there is none, newer data would be undone, or the destination
        refuses.
    :raises DataError: when its parts are no longer in staging.
    :raises TransientError: when it is not its turn, or the destination or the line fails.
    """
    records = DeliveryRecords(hook.targets())
    record = records.find(delivery_id)
    try:
        queue_again(record, force=force)
        send_delivery(hook, record.manifest)
    except Refused as refusal:
        raise _not_sent_again(delivery_id, refusal) from None
    except MustWait as waits:
        raise TransientError(f"delivery {delivery_id}: not its turn yet: {waits}") from None
    return records.find(delivery_id)


def queue_again(record: DeliveryRecord, *, force: bool = False) -> None:
    """Queue a delivery to be sent again, unless that was done since its record was read.

    So two who ask for it at once have it sent once.

    :raises Refused: when newer data would be undone.
    """
    target, entry = record.target, record.entry

    def command(known: TargetState) -> Resend:
        return Resend(
            delivery_id=entry.delivery_id,
            at=timestamp(utc_now()),
            after=0 if entry.sending is None else entry.sending.number,
            force=force,
            closed=target.closed(entry.delivery_id, known),
            latest_left=target.versions(entry.subject).latest_left,
        )

    target.decide(command)


def _not_sent_again(delivery_id: str, refusal: Refused) -> ConfigurationError:
    if refusal.why is not RefusedFor.TOO_OLD:
        return ConfigurationError(str(refusal))
    again = ", ".join(other.delivery_id for other in refusal.others)
    return ConfigurationError(
        f"delivery {delivery_id}: {refusal}. Nothing was sent. To send it all the same: --force, "
        f"and when it is acknowledged send the newer ones again, one by one, in the same way: "
        f"{again}"
    )
