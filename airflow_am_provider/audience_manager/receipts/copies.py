"""Tells copies of a receipt apart from different receipts for the same files.

Mail is delivered twice and forwarded, and a copy may have lost a line on its way. Files may as well
be processed twice, after they were sent again: then the same names come with other times.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.audience_manager.receipts.receipt import Receipt


Facts = dict[str, object]
Fields = frozenset[str]
Values = tuple[object, ...]

# Which fields a receipt has: all but those that a copy lost. Real receipts come with a few sets of
# them; of more, as only a forger makes, the rest is not compared, and so counts as different.
MAX_FIELD_SETS: Final = 32


def without_copies(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Keep the fullest of each receipt's copies.

    A receipt is a copy of another when both list the same files and nothing that both say differs.
    The result does not depend on the order of the receipts. The work grows with their number.

    >>> from airflow_am_provider.audience_manager.receipts.receipt import Receipt
    >>> one = Receipt(paths=("b/a.sync",), records_received=5, format_errors=0)
    >>> cut = Receipt(paths=("c/a.sync",), records_received=5)
    >>> without_copies([cut, one, one]) == [one]
    True
    """
    said = [(_said(receipt), receipt) for receipt in receipts]
    said.sort(key=lambda one: (-len(one[0]), one[1].digest, len(one[1].warnings), one[1].paths))
    kept: defaultdict[frozenset[str], _Kept] = defaultdict(_Kept)
    return [receipt for facts, receipt in said if kept[frozenset(receipt.files)].is_new(facts)]


def may_be_a_copy(receipt: Receipt, known: Receipt) -> bool:
    """Whether a receipt may be another one that lost lines on its way, or of which the other did.

    That is so when nothing that both say differs, and the one lists no file that the other has not.

    >>> from airflow_am_provider.audience_manager.receipts.receipt import Receipt
    >>> known = Receipt(paths=("a.sync", "b.sync"), records_received=5, format_errors=0)
    >>> may_be_a_copy(Receipt(paths=("a.sync",), records_received=5), known)
    True
    >>> may_be_a_copy(Receipt(paths=("a.sync",), records_received=4), known)
    False
    """
    files, others = set(receipt.files), set(known.files)
    if not (files <= others or others <= files):
        return False
    said, before = _said(receipt), _said(known)
    return all(said[name] == before[name] for name in said.keys() & before.keys())


class _Kept:
    """What receipts for the same files say, so that a copy is found without comparing each pair."""

    def __init__(self) -> None:
        # By the fields that receipts have: what they say, and the values of any of these fields
        # that were asked for.
        self._facts: dict[Fields, list[Facts]] = {}
        self._values: defaultdict[Fields, dict[Fields, set[Values]]] = defaultdict(dict)
        self._odd: set[tuple[Fields, Values]] = set()

    def is_new(self, facts: Facts) -> bool:
        """Take what a receipt says; False when another agrees with it."""
        fields = frozenset(facts)
        if fields not in self._facts and len(self._facts) == MAX_FIELD_SETS:
            count = len(self._odd)
            self._odd.add((fields, _values(facts, fields)))
            return len(self._odd) > count
        alike = self._facts.setdefault(fields, [])
        for known in self._facts:
            shared = known & fields
            if _values(facts, shared) in self._values_of(known, shared):
                return False
        alike.append(facts)
        for shared, values in self._values[fields].items():
            values.add(_values(facts, shared))
        return True

    def _values_of(self, known: Fields, shared: Fields) -> set[Values]:
        asked_for = self._values[known]
        if shared not in asked_for:
            asked_for[shared] = {_values(facts, shared) for facts in self._facts[known]}
        return asked_for[shared]


def _values(facts: Facts, fields: Fields) -> Values:
    return tuple(facts[name] for name in sorted(fields))


def _said(receipt: Receipt) -> Facts:
    other = {
        "partner_id": receipt.partner_id,
        "job_start": receipt.job_start,
        "job_end": receipt.job_end,
    }
    return {**receipt.counts, **{name: value for name, value in other.items() if value is not None}}
