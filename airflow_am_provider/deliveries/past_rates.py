"""How the match rate of a receipt compares with the past of its target.

That nothing was stored is said by the reconciliation itself. Only counts are judged, and a doubt is
a warning: a limit that fails a task is the user's to set.
"""

from __future__ import annotations

from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Final

from airflow_am_provider.deliveries.figures import match_rate, share_in_words
from airflow_am_provider.deliveries.target.state import PROCESSED_WELL, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.deliveries.acknowledgement import AcknowledgementStatus
    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.deliveries.targets import Targets

#: How many deliveries of the target are looked at, the newest first: two pages of history at most.
LOOKED_AT: Final = 50
#: With how many acknowledged ones of the same kind a receipt is compared.
COMPARED_WITH: Final = 5
#: Fewer say nothing of what is usual.
FEWEST: Final = 3
#: Shares of small numbers vary by chance.
FEWEST_RECORDS: Final = 100
#: Farther than this share of the usual rate, up or down, is far.
FAR: Final = 0.2


def doubts(status: AcknowledgementStatus, targets: Targets) -> list[str]:
    """What about a receipt deserves a look, in sentences; nothing where all is as usual.

    :param status: what is known of the delivery.
    :param targets: of the staging location; its last deliveries are read, a bounded number.
    """
    counts = status.reconciliation.counts
    received, stored = counts.get("records_received"), counts.get("stored_records")
    record = status.delivery.record(targets)
    if record is None:
        return []
    target = targets.named(status.delivery.destination_name, status.delivery.target)
    doubt = rate_doubt(record.entry, target, received, stored)
    return [] if doubt is None else [doubt]


def rate_doubt(
    entry: DeliveryEntry,
    target: Target,
    received: int | None,
    stored: int | None,
    *,
    only_below: bool = False,
) -> str | None:
    """Say that a match rate is far from the target's past; None where it is not.

    :param entry: the delivery.
    :param target: its target, whose last deliveries are read, a bounded number.
    :param received: how many records were received; None where that is not known.
    :param stored: how many of them were stored.
    :param only_below: say nothing of a rate that is higher than before.
    """
    rate = match_rate(received, stored)
    if rate is None or received is None or received < FEWEST_RECORDS:
        return None
    past = list(islice(_past_rates(target, entry), COMPARED_WITH))
    if len(past) < FEWEST:
        return None
    usual = median(past)
    if abs(rate - usual) <= FAR * usual or (only_below and rate > usual):
        return None
    side, then = "above", ""
    if rate < usual:
        side = "below"
        then = " Once that is mended, clear the task that formatted it, with all that is after it"
    return (
        f"the match rate is {share_in_words(rate)}, far {side} {share_in_words(usual)}, the median "
        f"of the last {len(past)} acknowledged deliveries of {entry.name}: has the source changed "
        f"how it writes user IDs, or did an ID sync fail?{then}"
    )


def _past_rates(target: Target, entry: DeliveryEntry) -> Iterator[float]:
    """The match rates of the last acknowledged deliveries of the same files, the newest first."""
    for other in islice(target.deliveries(), LOOKED_AT):
        is_past = other.state in PROCESSED_WELL or other.state is DeliveryState.FAILED
        if not is_past or other.delivery_id == entry.delivery_id:
            continue
        if (other.name, other.mode) != (entry.name, entry.mode):
            continue
        figures = other.figures
        rate = match_rate(figures.get("records_received"), figures.get("stored_records"))
        if rate:
            yield rate
