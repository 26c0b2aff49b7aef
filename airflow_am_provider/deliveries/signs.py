"""The signs that files were read, on one ladder: picked up, processed, counted.

Each place that tells of files is a sign: receipts by mail, ``.processed`` markers, and whatever
comes later. A sign says how far up the ladder each file is; signs need not agree, so each is kept
and shown beside the others, and none is made to fit.

=========== ====================================== ==========================================
rung        what it proves                         who says so
=========== ====================================== ==========================================
picked_up   Audience Manager has taken the file    the marker on FTP; some pieces on a receipt
processed   it has read the file                   the marker on S3; the REST API's inbound
                                                   history; a receipt without counts
counted     it says how many records it received   a receipt
=========== ====================================== ==========================================

Pages: faq/faq-data-collection.md (FTP), Adobe's partner guide aam-data-onboarding-validate (S3),
inbound-receipt-message.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


class Rung(IntEnum):
    """How far a file came, by a sign."""

    PICKED_UP = 1
    PROCESSED = 2
    COUNTED = 3

    @property
    def word(self) -> str:
        """For people and JSON."""
        return self.name.lower()


class AcknowledgedBy(StrEnum):
    """What counts as acknowledged."""

    PICKED_UP = "picked_up"
    PROCESSED = "processed"
    COUNTED = "counted"
    WAIT = "wait"  # nothing but time; or a sign that it was processed, where one comes before

    @property
    def rung(self) -> Rung:
        """The rung that each file has to reach."""
        return _RUNGS[self]


_RUNGS: Final = {
    AcknowledgedBy.PICKED_UP: Rung.PICKED_UP,
    AcknowledgedBy.PROCESSED: Rung.PROCESSED,
    AcknowledgedBy.COUNTED: Rung.COUNTED,
    AcknowledgedBy.WAIT: Rung.PROCESSED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """What one place tells of a delivery's files.

    :param name: the place, in the plural: ``receipts``, ``markers``.
    :param reached: how far each file came; one that it does not tell of is left out.
    :param figures: counts that it gives for the whole delivery and for nothing else.
    """

    name: str
    reached: Mapping[str, Rung]
    figures: Mapping[str, int] = field(default_factory=dict)

    def count(self, rung: Rung) -> int:
        """How many files came so far, or farther."""
        return sum(reached >= rung for reached in self.reached.values())

    def describe(self, files: Collection[str]) -> str:
        """For people: ``receipts: 1 of 2 files counted, 1 processed``."""
        said = [
            (sum(reached is rung for reached in self.reached.values()), rung)
            for rung in sorted(Rung, reverse=True)
        ]
        seen = [f"{count:,} {rung.word.replace('_', ' ')}" for count, rung in said if count]
        all_of_them = counted(len(files), "file")
        if not seen:
            return f"{self.name}: none of {all_of_them}"
        first, *rest = seen
        number, _, word = first.partition(" ")
        return f"{self.name}: {', '.join([f'{number} of {all_of_them} {word}', *rest])}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: of how many files it says at least what each rung proves."""
        return {
            "sign": self.name,
            **{rung.word: self.count(rung) for rung in Rung},
            "figures": dict(self.figures),
        }


def reached(signs: Sequence[Sign]) -> dict[str, Rung]:
    """How far each file came by the sign that says most."""
    best: dict[str, Rung] = {}
    for sign in signs:
        for name, rung in sign.reached.items():
            best[name] = max(rung, best.get(name, rung))
    return best


def disagreements(signs: Sequence[Sign]) -> Iterator[str]:
    """Say where signs do not tell the same, in sentences; none of them is taken for the truth."""
    for one, other in combinations(signs, 2):
        yield from _only_by(one, other)
        yield from _only_by(other, one)
        for name in one.figures.keys() & other.figures.keys():
            if one.figures[name] != other.figures[name]:
                yield (
                    f"{name}: {one.figures[name]:,} by {one.name}, {other.figures[name]:,} by "
                    f"{other.name}"
                )


def _only_by(one: Sign, other: Sign) -> Iterator[str]:
    names = sorted(one.reached.keys() - other.reached.keys())
    if names:
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        some = ", ".join(printable(name) for name in names[:3])
        yield f"{one.name} tell of {some}{more}, and {other.name} do not"
