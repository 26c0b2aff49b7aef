"""Sends a delivery by what a connection says, and tells the log."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)
from airflow_am_provider.audience_manager.ordering import refusal
from airflow_am_provider.formatting.shares import evenly
from airflow_am_provider.hooks.choices import choice
from airflow_am_provider.hooks.connections import MAKE_ANEW
from airflow_am_provider.hooks.order_gate import OnOlder, OrderGate
from airflow_am_provider.hooks.sent_delivery import read_deliveries
from airflow_am_provider.stores.deliveries import DeliveryRecord, DeliveryRecords

if TYPE_CHECKING:
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.formatting.sent_record import SentRecord
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

_logger = logging.getLogger(__name__)


def order_gate(
    hook: AudienceManagerHook,
    manifest: Manifest,
    *,
    on_older: object = OnOlder.REFUSE,
    after: object = None,
    in_order: bool = True,
    sending: int = 1,
) -> OrderGate:
    """What holds a delivery back until it is its turn.

    :param hook: leads to staging.
    :param manifest: the delivery; it has parts.
    :param on_older: see :class:`~airflow_am_provider.hooks.order_gate.OnOlder`.
    :param after: what uploads returned that must be acknowledged first.
    :param in_order: whether to wait for what was sent to the same target before it.
    :param sending: 1, or the number of a repetition.
    :raises ConfigurationError: when the manifest is of another staging location or destination.
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
            f"{MAKE_ANEW}"
        )
    return OrderGate(
        staging=staging,
        manifest=manifest,
        on_older=choice("on_older", on_older, OnOlder),
        after=read_deliveries(after),
        in_order=in_order,
        sending=sending,
    )


def send_delivery(hook: AudienceManagerHook, manifest: Manifest, sending: int = 1) -> SentRecord:
    """Send what of a delivery was not sent yet.

    :param hook: leads to staging and destination.
    :param manifest: the delivery; it has parts.
    :param sending: 1, or the number of a repetition: the same bytes under the same names.
    :return: the record of sending, complete.
    :raises ConfigurationError: when the destination refuses.
    :raises DataError: when a staged part is not what the manifest says.
    :raises TransientError: when the destination or the line fails.
    """
    staging, destination = hook.staging(), hook.destination()
    count = len(manifest.parts)
    size = sum(part.compressed_bytes for part in manifest.parts) / 1e6
    what = f"delivery {manifest.delivery_id}: {count} {'file' if count == 1 else 'files'}"
    _logger.info("Sending %s, %.1f MB, to %s", what, size, destination.url)
    begun = time.monotonic()
    record = destination.send(manifest, staging, sending=sending)
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


def send_share(hook: AudienceManagerHook, manifest: Manifest, share: int, shares: int) -> list[str]:
    """Send some of a delivery's parts, those that were not sent yet.

    :param hook: leads to staging and destination.
    :param manifest: the delivery; it has parts.
    :param share: which of the shares, counted from 0.
    :param shares: into how many all parts are divided, of about the same size each.
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
    names = [
        part.file_name
        for part, number in zip(manifest.parts, of_each, strict=True)
        if number == share
    ]
    _logger.info("Sending %d of %d files", len(names), len(manifest.parts))
    if names:
        hook.destination().send(manifest, hook.staging(), only=names)
    return names


def abandon_delivery(hook: AudienceManagerHook, delivery_id: str, reason: str) -> DeliveryRecord:
    """Give a delivery up, and delete what of it lies half at its destination.

    What Audience Manager can see already stays: it may have been read.

    :param hook: leads to staging and destination.
    :param delivery_id: the delivery.
    :param reason: why, in a sentence, for those who look later.
    :return: its record, abandoned.
    :raises ConfigurationError: when there is none, or it is acknowledged.
    """
    staging = hook.staging()
    record = DeliveryRecords(staging).abandon(delivery_id, reason)
    try:
        hook.destination().withdraw(record.manifest, staging, sending=record.sending)
    except AudienceManagerError as error:
        _logger.warning(
            "Delivery %s is abandoned, but what was begun of it stays: %s", delivery_id, error
        )
    return record


def resend_delivery(
    hook: AudienceManagerHook, delivery_id: str, *, force: bool = False
) -> DeliveryRecord:
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
    records = DeliveryRecords(hook.staging())
    record = records.find(delivery_id)
    is_whole = record.sent is not None and record.sent.sent_at is not None
    sending = record.sending + 1 if is_whole else record.sending
    gate = order_gate(hook, record.manifest, on_older=OnOlder.SEND, sending=sending)
    newer = gate.undone()
    if newer and not force:
        again = ", ".join(turn.delivery_id for turn in newer)
        raise ConfigurationError(
            f"delivery {delivery_id}: {refusal(gate.draft, newer[-1])}. "
            f"Nothing was sent. To send it all the same: --force, and when it is acknowledged send "
            f"the newer ones again, one by one, in the same way: {again}"
        )
    waits = gate.waits_for()
    if waits:
        raise TransientError(f"delivery {delivery_id}: not its turn yet: {'; '.join(waits)}")
    records.reopen(record.manifest.location)
    send_delivery(hook, record.manifest, sending)
    return records.find(delivery_id)
