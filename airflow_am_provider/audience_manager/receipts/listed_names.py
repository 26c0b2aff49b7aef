"""Which file of a delivery a receipt means by a name that it lists.

Page: inbound-receipt-message.md: "The tail number (1,2,3...) is the split number added either by
the customer or by the inbound distributor." Its sample lists names without `.gz`. So a name may
come back longer by a number and without its extension; it never comes back with another root.

The distributor's numbers say nothing of how many pieces there are: the pictures of
reporting/onboarding-status-report.md show `….overwrite.1213788`. They need be neither small nor
without gaps, nor start at 1. Whether all pieces are there is told by the records alone, see
:mod:`airflow_am_provider.audience_manager.receipts.accounts`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import Encoding, printable
from airflow_am_provider.audience_manager.receipts.text import RECEIPT_PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_PACKED: Final = frozenset(str(encoding) for encoding in Encoding if encoding)
_PIECE = re.compile(r"(?P<stem>.+)\.(?P<number>[0-9]{1,16})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A listed name that belongs to a delivery.

    :param name: the name as it was sent.
    :param piece: number of the piece that Adobe's distributor made of the file; None for all of it.
    """

    name: str
    piece: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentNames:
    """The names of a delivery's files.

    A number at the end belongs to the sender where the sender sent that very name, and to the
    distributor otherwise:

    ========================== =============== ============================================
    sent                       listed          meaning
    ========================== =============== ============================================
    ``….sync.gz``              ``….sync``      all of the file
    ``….sync``                 ``….sync.2``    the distributor's piece 2 of the file
    ``….sync.1``, ``….sync.2`` ``….sync.2.gz`` all of the second part
    ``….sync.1``, ``….sync.2`` ``….sync.2.1``  the distributor's piece 1 of the second part
    ``….sync.1``, ``….sync.2`` ``….sync.3``    somebody else's file
    ========================== =============== ============================================

    :param names: names as sent, without folders.
    :raises DataError: when two differ in `.gz`, `.pgp` or `.gpg` alone.

    >>> sent = SentNames.of(["ftp_dpm_7_901_1368806402.sync.gz"])
    >>> sent.match("ftp_dpm_7_901_1368806402.sync.2")
    Match(name='ftp_dpm_7_901_1368806402.sync.gz', piece=2)
    >>> sent.match("ftp_dpm_7_901_1368806403.sync") is None
    True
    """

    names: dict[str, str] = field(repr=False)  # by what is left of a name without its extension
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str], others: Collection[str] = ()) -> SentNames:
        """Take a delivery's names.

        :param others: names known to be of other deliveries; they are never taken for pieces.
        """
        known: dict[str, str] = {}
        for name in names:
            twin = known.setdefault(_stem(name), name)
            if twin != name:
                raise DataError(
                    f"files {printable(twin)!r} and {printable(name)!r} differ in their extension "
                    f"alone; a receipt cannot tell them apart ({RECEIPT_PAGE})"
                )
        return cls(names=known, others=frozenset(map(_stem, others)))

    def match(self, listed: str) -> Match | None:
        """Tell which file a receipt means, or None when it is none of this delivery."""
        stem = _stem(listed)
        if stem in self.names:
            return Match(name=self.names[stem])
        piece = _PIECE.fullmatch(stem)
        if piece is None or stem in self.others or piece["stem"] not in self.names:
            return None
        return Match(name=self.names[piece["stem"]], piece=int(piece["number"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedNames:
    """What receipts list, seen from one delivery.

    :param whole: files of the delivery that are listed as they are, and how often.
    :param pieces: for files listed in pieces, the pieces' numbers and how often each is listed.
    :param others: names of other deliveries.
    :param strays: those of them that look like a part of this delivery, but were not sent.
    """

    whole: Counter[str]
    pieces: dict[str, Counter[int]]
    others: frozenset[str]
    strays: frozenset[str]

    @classmethod
    def of(cls, sent: SentNames, listed: Iterable[str]) -> ListedNames:
        """Sort listed names; a name counts as often as it is given."""
        whole: Counter[str] = Counter()
        pieces: defaultdict[str, Counter[int]] = defaultdict(Counter)
        others: set[str] = set()
        for name in listed:
            match = sent.match(name)
            if match is None:
                others.add(name)
            elif match.piece is None:
                whole[match.name] += 1
            else:
                pieces[match.name][match.piece] += 1
        roots = {_root(stem) for stem in sent.names} - {None}
        strays = frozenset(name for name in others if _root(_stem(name)) in roots)
        return cls(whole=whole, pieces=dict(pieces), others=frozenset(others), strays=strays)


def _root(stem: str) -> str | None:
    """What the parts of one delivery have in common; None for a name without a part's number."""
    piece = _PIECE.fullmatch(stem)
    return piece["stem"] if piece else None


def _stem(name: str) -> str:
    """A name without its extension: what a receipt surely repeats.

    A name has one extension: with two it is another file's.
    """
    words = name.split(".")
    packed = [word for word in words if word in _PACKED]
    return name if len(packed) > 1 else ".".join(word for word in words if word not in _PACKED)
