"""Rows of an extract as users and traits, checked by the rules of data files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.items import trait_problem
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    as_bytes,
    column_of,
    without_nulls,
)
from airflow_am_provider.formatting.columns.checks import CODE_OF, id_codes
from airflow_am_provider.formatting.lines.data_lines import flag_items
from airflow_am_provider.formatting.lines.item_lists import joined_items
from airflow_am_provider.formatting.lines.line_writer import PersonalData, first_codes
from airflow_am_provider.snapshots.change_lines import MAX_ID_BYTES
from airflow_am_provider.snapshots.user_traits import MAX_TRAIT, UserTraits, moved, pairs_of

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows
    from airflow_am_provider.formatting.columns.checks import Codes
    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
    from airflow_am_provider.formatting.lines.line_writer import SuppressedIds
    from airflow_am_provider.snapshots.user_traits import Pairs

_COMMA: Final = ord(",")
_LARGEST: Final = str(MAX_TRAIT)


@dataclass(frozen=True, slots=True)
class TraitBatch:
    """What a batch of rows says, and what became of each row.

    :param users: one for each row that can be read; and one that is held for each that cannot,
        where its user is known all the same.
    :param codes: for each row, the rule it broke, or 0.
    :param ids: for each row, its user ID as a ``binary`` array, for the rejects file.
    :param personal_data: for each column that is sent as it is, how much of it must not be.
    """

    users: UserTraits
    codes: Codes
    ids: pa.Array
    personal_data: dict[str, PersonalData]


class TraitReader:
    """Reads batches of rows.

    :param spec: which columns hold what. A row without traits says that its user has none.
    :param mark: the mark of every pair.
    :param suppression: users of whom nothing is sent: they count as not in the extract, so that
        what they have is removed.
    :raises ConfigurationError: when it asks for something that no line of a file takes back.
    """

    def __init__(
        self, spec: DataFileSpec, mark: int, suppression: SuppressedIds | None = None
    ) -> None:
        if spec.mode is not Mode.SYNC:
            raise ConfigurationError(
                "mode: a difference is added and removed, so its file is a .sync; an .overwrite "
                "holds everything and needs no difference (inbound-file-contents.md)"
            )
        if spec.removed_traits_columns or spec.ic_columns or spec.signal_columns:
            raise ConfigurationError(
                "only traits that a user has can be compared with a snapshot: nothing takes back "
                "an ic code or a signal, and what is removed follows from the comparison "
                "(inbound-file-contents.md)"
            )
        self._spec = spec
        self._mark = mark
        self._suppression = suppression

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed, the user ID's first."""
        return tuple(dict.fromkeys((self._spec.id_column, *self._spec.item_columns)))

    def read(self, batch: pa.RecordBatch) -> TraitBatch:
        """Check and read a batch."""
        spec = self._spec
        ids = as_bytes(column_of(batch, spec.id_column), spec.id_column, is_id=True)
        ids_broken = id_codes(ids, spec.kind)
        personal_data = {spec.id_column: PersonalData.among(ids, ids_broken)}
        too_long = ByteView.of(without_nulls(ids)).lengths > MAX_ID_BYTES
        ids_broken[too_long & (ids_broken == 0)] = CODE_OF[Rule.LINE_TOO_LONG]
        codes, columns = ids_broken, []
        for column in spec.traits_columns:
            text, broken = joined_items(
                column_of(batch, column), column, "", trait_problem, spec.traits_separator
            )
            personal_data[column] = PersonalData.among(text, broken)
            items = _Items.of(text, broken == 0)
            codes = first_codes(codes, broken, items.too_large(len(text)))
            columns.append(items)
        known = ids_broken == 0
        if self._suppression is not None:
            suppressed = self._suppression.among(ids)
            codes = np.where(suppressed, CODE_OF[Rule.SUPPRESSED], codes)
            known &= ~suppressed
        pairs = [items.pairs(codes, self._mark) for items in columns]
        for column, trait in spec.trait_flags.items():
            has = to_numpy(flag_items(batch, column, trait).is_valid())
            places = np.flatnonzero(has & (codes == 0))
            pairs.append(pairs_of(places, np.full(len(places), trait), self._mark))
        users = _users(ids, np.concatenate(pairs), codes, known)
        return TraitBatch(users, codes, ids, personal_data)


@dataclass(frozen=True, slots=True)
class _Items:
    """The trait IDs of a column.

    :param rows: the row that each stands in.
    :param texts: one each, all of digits.
    """

    rows: Rows
    texts: pa.StringArray

    @classmethod
    def of(cls, column: pa.Array, good: Marks) -> _Items:
        """Take ``TRAIT,TRAIT,…`` apart, in the rows that are good."""
        texts = without_nulls(column)
        rows = np.flatnonzero(good)
        view = ByteView.of(texts if rows.size == len(texts) else texts.filter(to_arrow(good)))
        is_comma = view.data == _COMMA
        commas = np.flatnonzero(is_comma)
        filled = view.lengths > 0
        # Each item ends at a comma or with its row; without the commas they follow each other.
        ends = np.sort(np.concatenate((commas, view.offsets[1:][filled])))
        offsets = np.concatenate(([0], ends - np.searchsorted(commas, ends))).astype(np.int32)
        digits = pa.py_buffer(view.data[~is_comma])
        items = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), digits)
        counts = np.diff(np.searchsorted(commas, view.offsets)) + filled
        return cls(np.repeat(rows, counts), items)

    def too_large(self, rows: int) -> Codes:
        """Which of so many rows hold a trait ID beyond what a snapshot can keep."""
        codes = np.zeros(rows, np.uint8)
        long = to_numpy(pc.binary_length(self.texts)) >= len(_LARGEST)
        if long.any():
            places = np.flatnonzero(long)
            texts = self.texts.take(to_arrow(places)).to_pylist()
            too_large = [_is_too_large(text) for text in texts]
            codes[self.rows[places[too_large]]] = CODE_OF[Rule.TRAIT_TOO_LARGE]
        return codes

    def pairs(self, codes: Codes, mark: int) -> Pairs:
        """Pairs of the rows that break no rule at all."""
        kept = codes[self.rows] == 0
        if kept.all():
            return pairs_of(self.rows, to_numpy(self.texts.cast(pa.uint32())), mark)
        texts = self.texts.filter(to_arrow(kept))
        return pairs_of(self.rows[kept], to_numpy(texts.cast(pa.uint32())), mark)


def _is_too_large(digits: str) -> bool:
    digits = digits.lstrip("0")
    return (len(digits), digits) > (len(_LARGEST), _LARGEST)


def _users(ids: pa.Array, pairs: Pairs, codes: Codes, known: Marks) -> UserTraits:
    """Users of the rows that are known; what is no ID, personal data perhaps, is kept nowhere."""
    good = codes[known] == 0
    if not known.all():
        ids = ids.filter(to_arrow(known))
        pairs = moved(pairs, np.cumsum(known) - 1)
    return UserTraits.of(without_nulls(ids), pairs, rows=good.astype(np.int64), held=~good)
