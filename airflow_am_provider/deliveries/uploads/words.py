"""What an upload or a receipt says of a delivery, in one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.figures import (
    lines_in_words,
    match_rate,
    rows_in_words,
    share_in_words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def sent_in_words(result: Mapping[str, Any]) -> str:
    """What was sent, and where to.

    :param result: what :class:`~airflow_am_provider.operators.upload.UploadOperator` returned.
    """
    lines = sum(result["files"].values())
    again = f" for the time number {result['sending']}" if result["sending"] > 1 else ""
    return (
        f"Delivery {result['delivery_id']} is sent{again}: {counted(len(result['files']), 'file')} "
        f"to {result['destination']}, {lines_in_words(result['rows_written'], lines)} "
        f"({rows_in_words(result)})"
    )


def received_in_words(found: Mapping[str, Any]) -> str:
    """What Audience Manager has said of a delivery.

    :param found: the reconciliation, as the sensor returns it.
    """
    counts = found.get("counts") or {}
    received, stored = counts.get("records_received"), counts.get("stored_records")
    said = [f"{counted(found['lines_sent'], 'line')} sent"]
    if received is not None:
        said.append(f"{counted(received, 'record')} received")
    if stored is not None:
        share = match_rate(received, stored)
        rate = "" if share is None else f" (match rate {share_in_words(share)})"
        said.append(f"{counted(stored, 'record')} stored{rate}")
    if received is None and stored is None:
        said.append("how many records were received is not known")
    word = "taken for processed" if found.get("assumed") else "acknowledged"
    more = len(found.get("warnings") or ()) + len(found.get("problems") or ())
    above = f"; {counted(more, 'warning')} above" if more else ""
    return (
        f"Delivery {found['delivery_id']} is {word}: {', '.join(said)}; {found['verdict']}{above}"
    )
