"""Limits on what a delivery may lose, and whether receipts say that it lost more.

Page: inbound-receipt-message.md, for the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.findings import LOSSES, shared_note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.audience_manager.receipts.reconciliation import Reconciliation

LIMITED_COUNTS: Final = LOSSES


@dataclass(frozen=True, kw_only=True, slots=True)
class Breach:
    """A limit that was gone over.

    :param name: the count, by its field of :class:`Receipt`.
    :param value: what the receipts say.
    :param received: records received, of which a share is meant; None when not known.
    :param limit: the limit as it was given.
    :param message: the same in a sentence.
    """

    name: str
    value: int
    received: int | None
    limit: int | float
    message: str

    def __str__(self) -> str:
        return self.message


def check_limits(limits: Mapping[str, int | float], *, parameter: str = "limits") -> None:
    """Check limits as a user gave them.

    :param limits: by name of the count; a whole number is the most there may be, a number with a
        point from 0.0 to 1.0 the largest share of the records received. ``1`` is one record and
        ``1.0`` all of them.
    :param parameter: the parameter's name, for the message.
    :raises ConfigurationError: when a name is no count of losses or a limit is neither.

    >>> check_limits({"format_errors": 0, "no_matching_aam_id": 0.05})
    """
    for name, limit in limits.items():
        if name not in LIMITED_COUNTS:
            known = ", ".join(LIMITED_COUNTS)
            raise ConfigurationError(
                f"{parameter}: {name!r} is no count with a limit; known: {known}"
            )
        is_count = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0
        is_share = isinstance(limit, float) and 0 <= limit <= 1
        if not is_count and not is_share:
            raise ConfigurationError(
                f"{parameter}[{name!r}]: {limit!r} is neither a whole number from 0 nor a share "
                f"of the "
                f"records received from 0.0 to 1.0"
            )


def breaches(
    reconciliation: Reconciliation, limits: Mapping[str, int | float]
) -> tuple[Breach, ...]:
    """Tell which limits a delivery has gone over, by the receipts so far.

    Where counts are totals shared with other deliveries, the total is judged and the message says
    so: better a false alarm than a silent loss. A limit on a count that receipts do not have is
    not judged; see :func:`unjudged`. Only those records without a matching AAM ID that were lost
    are judged: mobile and cross-device data sources store them, see
    :mod:`airflow_am_provider.audience_manager.receipts.no_match`.

    :param limits: see :func:`check_limits`.
    :raises ConfigurationError: when a limit is wrong.

    >>> from airflow_am_provider.audience_manager.receipts.receipt import Receipt
    >>> from airflow_am_provider.audience_manager.receipts.reconciliation import reconcile
    >>> name = "ftp_dpm_7_1368806402.sync"
    >>> receipt = Receipt(paths=(name,), records_received=1000, format_errors=12)
    >>> [str(breach) for breach in breaches(reconcile({name: 1000}, [receipt]),
    ...     {"format_errors": 0.01})]
    ['format_errors: 12 of 1,000 records received are 1.2 %, over the limit of 1 %']
    """
    check_limits(limits)
    totals = _totals(reconciliation)
    received = totals.get("records_received")
    note = shared_note(reconciliation)
    found: list[Breach] = []
    for name, limit in limits.items():
        value = totals.get(name)
        if name == "no_matching_aam_id" and reconciliation.no_match is not None:
            value = reconciliation.no_match.lost
        if value is None or not _is_over(value, limit, received):
            continue
        sentence = _sentence(name, value, limit, received) + note
        found.append(
            Breach(name=name, value=value, received=received, limit=limit, message=sentence)
        )
    return tuple(found)


def unjudged(reconciliation: Reconciliation, limits: Mapping[str, int | float]) -> tuple[str, ...]:
    """Name the limits that receipts say nothing about, in sentences.

    :param limits: see :func:`check_limits`.
    :raises ConfigurationError: when a limit is wrong.
    """
    check_limits(limits)
    totals = _totals(reconciliation)
    silent = [name for name in limits if name not in totals]
    shares = [
        name
        for name, limit in limits.items()
        if name in totals and isinstance(limit, float) and "records_received" not in totals
    ]
    return (
        *(f"{name}: not in every receipt, so its limit is not checked" for name in silent),
        *(
            f"{name}: no count of records received, so there is no share to check"
            for name in shares
        ),
    )


def _totals(reconciliation: Reconciliation) -> Mapping[str, int]:
    return reconciliation.counts if reconciliation.exact else reconciliation.shared_counts


def _is_over(value: int, limit: int | float, received: int | None) -> bool:
    if isinstance(limit, int):
        return value > limit
    # Exact as written: in floating point, 29 of 100 records are more than a share of 0.29.
    return received is not None and value > Fraction(str(limit)) * received


def _sentence(name: str, value: int, limit: int | float, received: int | None) -> str:
    if isinstance(limit, int) or received is None:
        return f"{name}: {value:,}, over the limit of {limit:,}"
    share = f" are {value / received:.3%}" if received else ""
    return (
        f"{name}: {value:,} of {received:,} records received{_trimmed(share)}, over the limit of "
        f"{_trimmed(f'{limit:.3%}')}"
    )


def _trimmed(percentage: str) -> str:
    """1.200% as 1.2 %."""
    if not percentage:
        return percentage
    return f"{percentage.rstrip('%').rstrip('0').rstrip('.')} %"
