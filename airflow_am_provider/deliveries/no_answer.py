"""What is said when time is up: what is known, what to check, and whom to ask what.

Three sentences, and a link to more.

Pages: inbound-receipt-message.md, faq/faq-inbound-data-ingestion.md, faq/faq-data-collection.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    IdSyncFileName,
    parse_file_name,
)
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.notices import DOCS, TITLES, Topic
from airflow_am_provider.deliveries.past_answers import in_words, past_answers
from airflow_am_provider.deliveries.signs import AcknowledgedBy, Rung, reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.acknowledgement import AcknowledgementStatus
    from airflow_am_provider.deliveries.past_answers import PastAnswers
    from airflow_am_provider.deliveries.targets import Targets

MORE: Final = f"{DOCS}{TITLES[Topic.LATE][1]}"
_NAMED: Final = 2


def in_short(statuses: Sequence[AcknowledgementStatus]) -> str:
    """What is known of the first that lack something; empty where all of it is short enough.

    :param statuses: what the last look has shown.
    """
    lacking = [status for status in statuses if status.outstanding]
    if len(lacking) <= _NAMED:
        return ""
    named = "; ".join(map(str, lacking[:_NAMED]))
    more = counted(len(lacking) - _NAMED, "delivery", "deliveries")
    return f"{named}; and {more} more"


def what_to_ask(
    statuses: Sequence[AcknowledgementStatus], targets: Targets | None = None
) -> tuple[str, str]:
    """What to check, and whom to ask what: a sentence each, for the first that is awaited.

    :param statuses: what is known of deliveries; one of them is outstanding.
    :param targets: of the staging location, which know the past; None where it cannot be read.
    :raises AudienceManagerError: when the past cannot be read.
    """
    status = next(status for status in statuses if status.outstanding)
    is_silent = not reached(status.signs)
    past = None
    if targets is not None and is_silent:
        past = past_answers(status.delivery, targets)
    check = _check(status, past, is_silent=is_silent)
    name = _name(status.outstanding[0])
    ask = _ask(name, past, is_silent=is_silent)
    return f"Check {check}.", f"Ask {ask}: {MORE}"


def _check(status: AcknowledgementStatus, past: PastAnswers | None, *, is_silent: bool) -> str:
    found = status.reconciliation
    if found.in_part:
        return (
            "the Onboarding Status Report, which has rows by file: a file came back in pieces "
            "which do not show that all of it was read"
        )
    if found.uncounted and status.acknowledged_by is AcknowledgedBy.COUNTED:
        return (
            "whether a receipt was cut on its way: it has no 'Records received', so no line is "
            "proven (acknowledged_by='processed' goes by such receipts)"
        )
    if is_silent:
        first = "the mailbox and the way to Adobe first"
        return first if past is None else in_words(past, status.delivery)
    seen = reached(status.signs)
    if all(seen.get(name, 0) >= Rung.PROCESSED for name in status.delivery.files):
        return (
            "the mailbox's spam folder, and the log for 'Not taken as a receipt': Audience Manager "
            "has read what was sent, so nothing has to be sent again: only the receipt is late or "
            "was lost"
        )
    if all(name in seen for name in status.delivery.files):
        return "whether mails from Adobe come in: the files were picked up, a receipt is lacking"
    return (
        "the mailbox and the Onboarding Status Report for the files that are awaited: others of "
        "this delivery came back, so data source and way are right"
    )


def _ask(
    name: DataFileName | IdSyncFileName | None, past: PastAnswers | None, *, is_silent: bool
) -> str:
    who = "whoever administers Audience Manager whether "
    if isinstance(name, IdSyncFileName) and not (past and past.had_receipt):
        owner = f"{who}{_owner(name)}, and " if is_silent else ""
        return (
            f"{owner}Adobe whether your account gets receipts for ID syncs, which no page of "
            f"Adobe's shows (if not: acknowledged_by='processed' on S3, or 'wait')"
        )
    if not is_silent:
        return f"{who}{_recipients(name)}"
    return f"{who}{_owner(name)}, and {_recipients(name)}"


def _owner(name: DataFileName | IdSyncFileName | None) -> str:
    if isinstance(name, DataFileName):
        target = name.dpid if name.target_dpid is None else name.target_dpid
        return f"data source {target} is your company's own or has an access mapping to it"
    dpids = [] if name is None else [str(dpid) for dpid in name.columns if dpid]
    if len(dpids) == 1:
        return (
            f"{dpids[0]} is the data source that was meant, your company's own and set up for IDs"
        )
    which = f"the data sources {', '.join(dpids)} are" if dpids else "its data sources are"
    return f"{which} your company's own and set up for IDs"


def _recipients(name: DataFileName | IdSyncFileName | None) -> str:
    dpids: tuple[int, ...] = ()
    if isinstance(name, DataFileName):
        dpids = tuple(dict.fromkeys(one for one in (name.dpid, name.target_dpid) if one))
    of = f"data source {' and '.join(map(str, dpids))}" if dpids else "each data source"
    return f"the address that is read here gets the receipts of {of}"


def _name(file_name: str) -> DataFileName | IdSyncFileName | None:
    try:
        name = parse_file_name(file_name)
    except DataError:
        return None
    return name if isinstance(name, DataFileName | IdSyncFileName) else None
