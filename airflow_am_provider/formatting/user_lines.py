"""Lines of users of an ``.overwrite``, as long as they come and when all are there.

Nearly always each user has one, and the parts stand as they were written. Otherwise all lines are
gone through by users, in the order of the hashes of their IDs, and each user's become one. So the
same rows make the same parts, wherever the lines were kept meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.formatting.columns.arrow import texts_array, to_arrow
from airflow_am_provider.formatting.columns.byte_columns import without_nulls
from airflow_am_provider.formatting.columns.checks import CODE_OF
from airflow_am_provider.formatting.repeats.digest_file import DigestFile
from airflow_am_provider.formatting.repeats.exact_repeats import whole_hashes
from airflow_am_provider.formatting.repeats.joined_lines import (
    are_among,
    joined_lines,
    leading_ids,
)
from airflow_am_provider.formatting.repeats.line_file import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows
    from airflow_am_provider.formatting.columns.checks import Codes
    from airflow_am_provider.formatting.repeats.repeat_finder import RepeatFinder
    from airflow_am_provider.formatting.waiting_lines import WaitingLines

# Rules about the ID: all rows that have it break them, so that nothing of the user is sent anyway.
_OF_IDS: Final = frozenset(
    {Rule.EMPTY_ID, Rule.ID_CONTROL_CHARACTER, Rule.ID_COLON, Rule.ID_FORM, Rule.ID_HYPHEN,
     Rule.ID_OPTED_OUT, Rule.ID_PLACEHOLDER, Rule.ID_ROUNDED}
)  # fmt: skip
# By code, 0 included: whether a row that broke the rule says something of a user.
_LOSES: Final = np.array(
    [False, *(not RULES[rule].loses_nothing and rule not in _OF_IDS for rule in CODE_OF)]
)
_NOTHING: Final = texts_array([])


@dataclass(frozen=True, slots=True)
class SomeUsers:
    """What becomes of some users.

    :param lines: their lines, one of each.
    :param refused: lines that are not sent: the rule, their numbers, and the ID of each.
    """

    lines: pa.Array
    refused: tuple[tuple[Rule, Rows, pa.Array], ...]


class UserLines:
    """Knows whose rows were set aside, and joins the lines of the others.

    An ``.overwrite`` takes away what it does not say. So of a user of whom a row broke a rule no
    other row is sent either: the user stays as before.

    :param finder: is told of these users too, to find out whether they have lines.
    """

    def __init__(self, finder: RepeatFinder) -> None:
        self._finder = finder
        self._incomplete: DigestFile | None = None

    def note(self, codes: Codes, ids: pa.Array) -> None:
        """Note whose rows broke a rule with which something is lost.

        :param codes: for each row, the rule that it broke, or 0.
        :param ids: its user ID.
        """
        rows = np.flatnonzero(_LOSES[codes])
        if not rows.size:
            return
        hashes = whole_hashes(without_nulls(ids.take(to_arrow(rows))))
        self._incomplete = self._incomplete or DigestFile()
        self._incomplete.add(hashes, hashes)
        self._finder.observe_ids(hashes)

    def joined(self, lines: WaitingLines) -> Iterator[SomeUsers]:
        """All lines that are sent, and those that are not, some users at a time."""
        for share in lines.shares():
            found, too_long = joined_lines(map(self._complete, share))
            yield SomeUsers(found, ())
            if too_long or self._incomplete is not None:
                for piece in share:
                    yield SomeUsers(_NOTHING, tuple(self._refused(piece, too_long)))

    def _complete(self, piece: Piece) -> Piece:
        """Lines without those of users of whom a row broke a rule."""
        out = self._are_incomplete(piece)
        if not out.any():
            return piece
        numbers, hashes, lines = piece
        return Piece(numbers[~out], hashes[~out], lines.filter(to_arrow(~out)))

    def _refused(
        self, piece: Piece, too_long: frozenset[bytes]
    ) -> Iterator[tuple[Rule, Rows, pa.Array]]:
        ids = leading_ids(piece.lines)
        for rule, out in (
            (Rule.USER_INCOMPLETE, self._are_incomplete(piece)),
            (Rule.JOINED_LINE_TOO_LONG, are_among(ids, too_long)),
        ):
            if out.any():
                yield rule, piece.numbers[out], ids.filter(to_arrow(out))

    def _are_incomplete(self, piece: Piece) -> Marks:
        if self._incomplete is None:
            return np.zeros(len(piece.hashes), bool)
        return self._incomplete.holds(piece.hashes, piece.hashes)
