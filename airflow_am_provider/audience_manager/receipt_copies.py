"""Tells copies of a receipt apart from different receipts for the same files.

Mail is delivered twice and forwarded, and a copy may have lost a line on its way. Files may as well
be processed twice, after they were sent again: then the same names come with other times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.audience_manager.receipts import Receipt


def without_copies(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Keep the fullest of each receipt's copies.

    A receipt is a copy of another when both list the same files and nothing that both say differs.
    The result does not depend on the order of the receipts.

    >>> from airflow_am_provider.audience_manager.receipts import Receipt
    >>> one = Receipt(paths=("b/a.sync",), records_received=5, format_errors=0)
    >>> cut = Receipt(paths=("c/a.sync",), records_received=5)
    >>> without_copies([cut, one, one]) == [one]
    True
    """
    kept: dict[frozenset[str], list[Receipt]] = {}
    fullest_first = sorted(receipts, key=lambda one: (-len(_said(one)), one.digest, one.paths))
    for receipt in fullest_first:
        alike = kept.setdefault(frozenset(receipt.files), [])
        if not any(_agree(_said(receipt), _said(other)) for other in alike):
            alike.append(receipt)
    return [receipt for alike in kept.values() for receipt in alike]


def _said(receipt: Receipt) -> dict[str, object]:
    other = {
        "partner_id": receipt.partner_id,
        "job_start": receipt.job_start,
        "job_end": receipt.job_end,
    }
    return {**receipt.counts, **{name: value for name, value in other.items() if value is not None}}


def _agree(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(other.get(name, value) == value for name, value in one.items())
