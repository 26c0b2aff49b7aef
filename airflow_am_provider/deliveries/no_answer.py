"""What may be wrong, and what to ask of whom, when time is up and files are not acknowledged.

Pages: inbound-receipt-message.md, faq/faq-inbound-data-ingestion.md, faq/faq-data-collection.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    IdSyncFileName,
    parse_file_name,
)
from airflow_am_provider.deliveries.past_answers import PastAnswers, in_words, past_answers
from airflow_am_provider.deliveries.signs import AcknowledgedBy, Rung, reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.deliveries.acknowledgement import AcknowledgementStatus
    from airflow_am_provider.deliveries.targets import Targets


def what_to_ask(statuses: Iterable[AcknowledgementStatus], targets: Targets | None = None) -> str:
    """Advice for the deliveries that are not acknowledged, in sentences; each is said once.

    :param statuses: what is known of them.
    :param targets: of the staging location, which know the past; None where it does not count.
    :raises AudienceManagerError: when the past cannot be read.
    """
    sentences = [
        sentence
        for status in statuses
        if status.outstanding
        for sentence in _advice(status, targets)
    ]
    return " ".join(dict.fromkeys(sentences))


def _advice(status: AcknowledgementStatus, targets: Targets | None) -> Iterator[str]:
    found, seen = status.reconciliation, reached(status.signs)
    past = PastAnswers()
    if targets is not None and not any(one in seen for one in status.outstanding):
        past = past_answers(status.delivery, targets)
        said = in_words(past, status.delivery)
        yield f"{said[:1].upper()}{said[1:]}"
    name = _name(status.outstanding[0])
    if found.in_part:
        yield (
            "A file came back in pieces which do not show that all of it was read: look at the "
            "Onboarding Status Report, which has its rows by file."
        )
    if found.uncounted and status.acknowledged_by is AcknowledgedBy.COUNTED:
        yield (
            "A receipt has no 'Records received', so no line is proven: was it cut on its way? "
            "Look at the Onboarding Status Report; to go by such receipts, "
            "acknowledged_by='processed'."
        )
    if isinstance(name, IdSyncFileName) and not past.had_receipt:
        yield (
            "No page of Adobe's shows a receipt for an ID sync: ask Adobe whether your account "
            "gets them. If not, go by the .processed marker (acknowledged_by='processed' on S3) or "
            "by time (acknowledged_by='wait')."
        )
    if all(rung < Rung.PROCESSED for rung in (seen.get(one) for one in status.outstanding) if rung):
        if not any(one in seen for one in status.outstanding):
            yield from _nothing_came_back(name)
        yield _recipients(name)
    elif status.acknowledged_by is AcknowledgedBy.COUNTED:
        if not (found.in_part or found.uncounted) and all(
            one in seen and seen[one] >= Rung.PROCESSED for one in status.outstanding
        ):
            yield (
                "Audience Manager has read what was sent, so nothing has to be sent again: only "
                "the receipt is late or was lost on its way. Is its mail in the spam folder of the "
                "mailbox, or named above as 'Not taken as a receipt'?"
            )
        yield _recipients(name)


def _nothing_came_back(name: DataFileName | IdSyncFileName | None) -> Iterator[str]:
    if isinstance(name, DataFileName):
        target = name.dpid if name.target_dpid is None else name.target_dpid
        yield (
            f"Nothing came back. Ask whoever administers Audience Manager: does data source "
            f"{target}, whose traits are set, belong to your company, or is there an access "
            f"mapping to it? Without one the file is not processed and nothing comes back. Are "
            f"data source {name.dpid} and its kind of ID set up?"
        )
    else:
        dpids = [] if name is None else [dpid for dpid in name.columns if dpid]
        named = f" {', '.join(map(str, dpids))}" if dpids else ""
        question = (
            f"is{named} the data source that was meant, does it belong to your company, and is it "
            f"set up for IDs?"
            if len(dpids) == 1
            else f"do the data sources{named} of the file name belong to your company, and are "
            f"they set up for IDs?"
        )
        yield f"Nothing came back. Ask whoever administers Audience Manager: {question}"


def _recipients(name: DataFileName | IdSyncFileName | None) -> str:
    dpids: tuple[int, ...] = ()
    if isinstance(name, DataFileName):
        dpids = tuple(dict.fromkeys(one for one in (name.dpid, name.target_dpid) if one))
    of = f"data source {' and '.join(map(str, dpids))}" if dpids else "each data source"
    return (
        f"Who gets receipts is set in Audience Manager for {of}, by your company: is the address "
        f"that is read here among the recipients? The Onboarding Status Report there has the same "
        f"counts within 24 hours, with a receipt or without."
    )


def _name(file_name: str) -> DataFileName | IdSyncFileName | None:
    try:
        name = parse_file_name(file_name)
    except DataError:
        return None
    return name if isinstance(name, DataFileName | IdSyncFileName) else None
