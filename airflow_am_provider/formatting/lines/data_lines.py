"""Lines of data files: ``USERID<TAB>ITEM,ITEM,…`` (inbound-file-contents.md)."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.file_kinds import DataFileKind, Mode, check_dpid
from airflow_am_provider.audience_manager.identifiers import (
    AAM_UUID,
    ECID,
    IdKind,
    kind_of_data_source,
)
from airflow_am_provider.audience_manager.items import (
    ADD_PREFIX,
    IC_PREFIX,
    REMOVE_PREFIX,
    ic_problem,
    is_usable_key,
    signal_prefix,
    trait_problem,
    value_problem,
)
from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    as_bytes,
    column_of,
    with_empty_as_null,
    without_nulls,
)
from airflow_am_provider.formatting.columns.checks import CODE_OF, Codes, value_codes
from airflow_am_provider.formatting.columns.lookups import looked_up, once_per_value
from airflow_am_provider.formatting.columns.type_words import plural
from airflow_am_provider.formatting.lines.full_profiles import FullProfiles
from airflow_am_provider.formatting.lines.item_lists import joined_items
from airflow_am_provider.formatting.lines.line_writer import (
    FormattedBatch,
    PersonalData,
    checked_ids,
    first_codes,
    without_long_lines,
)
from airflow_am_provider.formatting.lines.named_traits import NamedTraits, contents_document
from airflow_am_provider.formatting.lines.pieces import Piece, put_together
from airflow_am_provider.formatting.lines.traits_text import COMMA, check_separator
from airflow_am_provider.formatting.remarks import Remark

if TYPE_CHECKING:
    from airflow_am_provider.formatting.lines.line_writer import SuppressedIds

log = logging.getLogger(__name__)

_CONTENTS = "inbound-file-contents.md"


@dataclass(frozen=True, kw_only=True)
class DataFileSpec:
    """What a data file is to hold, and from which columns.

    :param dpid: the data source whose IDs are in ``id_column``.
    :param target_dpid: the data source whose traits are set, when it is another one;
        mandatory when ``dpid`` is a global device data source.
    :param mode: ``sync`` or ``overwrite``.
    :param id_column: the column with the user ID.
    :param id_kind: the kind of ID; follows from ``dpid`` when not given.
    :param traits_columns: columns with IDs of traits the user has: one ID, several with
        commas between, or a list.
    :param traits_separator: what stands between the trait IDs of a text, or ``json``.
    :param removed_traits_columns: columns with IDs of traits the user no longer has.
    :param ic_columns: columns with codes of the key ``ic``.
    :param trait_flags: boolean columns and the trait that each stands for: true means the
        user has it, anything else says nothing.
    :param signal_columns: columns that are sent as signals, and the key of each.
    :param remove_all_of_users_without_items: in ``.overwrite`` mode, write the user ID alone
        when a row has no items, which removes all the user's traits. Otherwise such rows are
        set aside.
    :param refuse_hyphens: set rows aside whose MAID, TIFA or Vizio IFA has hyphens; they are sent
        with a warning otherwise.
    :raises ConfigurationError: when a choice breaks the contract.
    """

    dpid: int
    id_column: str
    target_dpid: int | None = None
    mode: Mode = Mode.SYNC
    id_kind: IdKind | None = None
    traits_columns: tuple[str, ...] = ()
    traits_separator: str = COMMA
    removed_traits_columns: tuple[str, ...] = ()
    ic_columns: tuple[str, ...] = ()
    trait_flags: dict[str, int] = field(default_factory=dict)
    signal_columns: dict[str, str] = field(default_factory=dict)
    remove_all_of_users_without_items: bool = False
    refuse_hyphens: bool = False

    def __post_init__(self) -> None:
        _ = self.file_kind  # it knows the rules about data sources
        check_separator(self.traits_separator)
        if not self.item_columns:
            raise ConfigurationError(
                f"no items: name at least one column of traits, ic codes or signals ({_CONTENTS})"
            )
        expected = kind_of_data_source(self.dpid)
        given = self.id_kind or expected
        # These have no data source of their own: they may stand in any customer's file.
        if given != expected and (given not in (AAM_UUID, ECID) or expected.is_device):
            raise ConfigurationError(
                f"id_kind: {given.title} does not go with dpid {self.dpid}, which holds "
                f"{expected.title} (features/global-data-sources.md)"
            )
        if self.mode is Mode.OVERWRITE and self.removed_traits_columns:
            raise ConfigurationError(
                f"removed_traits_columns: d_unsid is ignored in an .overwrite file; leave the "
                f"trait out of the row instead ({_CONTENTS})"
            )
        if self.remove_all_of_users_without_items and self.mode is not Mode.OVERWRITE:
            raise ConfigurationError(
                "remove_all_of_users_without_items: only an .overwrite file removes all traits of "
                "a user (Adobe's partner guide, aam-marketplace-implement-validate)"
            )
        for column, trait in self.trait_flags.items():
            check_dpid(f"trait_flags[{column!r}]", trait)
        for key in self.signal_columns.values():
            signal_prefix(key)

    @property
    def file_kind(self) -> DataFileKind:
        """What the file is, but for its encoding."""
        return DataFileKind(dpid=self.dpid, target_dpid=self.target_dpid, mode=self.mode)

    @property
    def kind(self) -> IdKind:
        """The kind of ID in the file."""
        return self.id_kind or kind_of_data_source(self.dpid)

    @property
    def item_columns(self) -> tuple[str, ...]:
        """All columns that items come from."""
        return (
            *self.traits_columns,
            *self.removed_traits_columns,
            *self.ic_columns,
            *self.trait_flags,
            *self.signal_columns,
        )


class DataLineWriter:
    """Turns batches of rows into lines of a data file.

    :param spec: what to write, and from which columns.
    """

    max_lines_per_user: int | None = limits.MAX_LINES_PER_USER
    one_line_per_user = False
    suppression: SuppressedIds | None = None
    named_traits: NamedTraits | None = None

    @property
    def contents(self) -> dict[str, Any] | None:
        """What the lines say, without their users; None when nobody wants to know."""
        if self.named_traits is None:
            return None
        keys = dict.fromkeys(self.spec.signal_columns.values())
        return contents_document(
            self.spec.file_kind,
            {*self.named_traits.traits, *self.spec.trait_flags.values()},
            self.named_traits.removed_traits,
            [*keys, *(["ic"] if self.spec.ic_columns else [])],
        )

    def name_traits(self) -> None:
        """Have ``contents`` told when all is written. It takes some of the time of a row."""
        self.named_traits = NamedTraits()

    @property
    def joins_lines(self) -> bool:
        """Whether a user's lines become one: nothing says that parts replace together."""
        return self.spec.mode is Mode.OVERWRITE

    @property
    def removes(self) -> bool:
        """Whether order counts: an ``.overwrite`` replaces, ``d_unsid`` takes away."""
        return self.spec.mode is Mode.OVERWRITE or bool(self.spec.removed_traits_columns)

    def __init__(self, spec: DataFileSpec) -> None:
        self.spec = spec
        self.remarks: Counter[str] = Counter()
        # A user has one line of an .overwrite, which cannot hold too many.
        self._full = None if self.joins_lines else FullProfiles()
        for key in spec.signal_columns.values():
            if not is_usable_key(key):
                text = RULES[Rule.UNUSABLE_KEY]
                log.warning(
                    "Signal key %r most likely realises no trait: %s (%s). It is sent as it is",
                    key,
                    text.sentence,
                    text.page,
                )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed, the user ID's first."""
        return tuple(dict.fromkeys((self.spec.id_column, *self.spec.item_columns)))

    @property
    def id_kinds(self) -> tuple[IdKind, ...]:
        """The kind of the user ID."""
        return (self.spec.kind,)

    @property
    def file_kind(self) -> DataFileKind:
        """What the file is, but for its encoding."""
        return self.spec.file_kind

    def format(self, batch: pa.RecordBatch) -> FormattedBatch:
        """Check and format a batch."""
        spec = self.spec
        ids = as_bytes(column_of(batch, spec.id_column), spec.id_column, is_id=True)
        codes = checked_ids(ids, spec.kind, self.remarks, refuse_hyphens=spec.refuse_hyphens)
        personal_data = {spec.id_column: PersonalData.among(ids, codes)}
        pieces: list[Piece] = []
        for prefix, columns, problem, separator in (
            (ADD_PREFIX, spec.traits_columns, trait_problem, spec.traits_separator),
            (REMOVE_PREFIX, spec.removed_traits_columns, trait_problem, spec.traits_separator),
            (IC_PREFIX, spec.ic_columns, ic_problem, COMMA),
        ):
            for column in columns:
                joined, broken = once_per_value(
                    column_of(batch, column),
                    partial(
                        joined_items,
                        name=column,
                        prefix=prefix,
                        problem=problem,
                        separator=separator,
                    ),
                )
                personal_data[column] = PersonalData.among_said(joined, broken)
                codes = first_codes(codes, broken)
                pieces.append(Piece(prefix, joined, ""))
        for column, trait in spec.trait_flags.items():
            pieces.append(Piece("", flag_items(batch, column, trait), ""))
        for column, key in spec.signal_columns.items():
            values, broken = once_per_value(
                column_of(batch, column), partial(_signal_values, name=column)
            )
            personal_data[column] = PersonalData.among_said(values, broken)
            codes = first_codes(codes, broken)
            pieces.append(Piece(signal_prefix(key), values, '"'))
        return self._assemble(ids, pieces, codes, personal_data)

    def finish(self) -> None:
        """Nothing is held back: each row is a line."""
        if self._full is not None:
            self.remarks[Remark.FULL_PROFILES] = self._full.users

    def _assemble(
        self,
        ids: pa.Array,
        pieces: list[Piece],
        codes: Codes,
        personal_data: dict[str, PersonalData],
    ) -> FormattedBatch:
        spec = self.spec
        adds, removes = np.zeros((2, len(ids)), bool)
        for piece in pieces:
            says = removes if piece.before == REMOVE_PREFIX else adds
            says |= to_numpy(piece.text.is_valid())
        if spec.remove_all_of_users_without_items:
            removes |= ~adds
        codes[~adds & ~removes & (codes == 0)] = CODE_OF[Rule.NO_ITEMS]
        if self.suppression is not None:
            # What only takes traits away is what such a user wants.
            only_removes = removes & ~adds & (codes == 0)
            codes[self.suppression.among(ids) & ~only_removes] = CODE_OF[Rule.SUPPRESSED]
        good = codes == 0
        rows = np.flatnonzero(good)
        good_ids = ids
        if rows.size != len(codes):
            # Filtering copies what is kept, so that no byte of a rejected row is left
            # in the buffer that goes into the file.
            mask = to_arrow(good)
            good_ids = ids.filter(mask)
            pieces = [Piece(piece.before, piece.text.filter(mask), piece.after) for piece in pieces]
        if self.named_traits is not None:
            self.named_traits.add(pieces)
        lines = put_together(good_ids, pieces)
        if self._full is not None:
            self._full.add(good_ids, lines)
        lines, rows = without_long_lines(lines, rows, codes)
        # Where lines were left out, they are found by their tab.
        line_ids = good_ids if len(lines) == len(good_ids) else None
        return FormattedBatch(lines, rows, codes, ids, personal_data, line_ids)


def _signal_values(array: pa.Array, name: str) -> tuple[pa.Array, Codes]:
    """Values as they are sent, null where nothing is said; and which rule each breaks."""
    values = without_nulls(as_bytes(array, name))
    view = ByteView.of(values)
    return with_empty_as_null(values, view), value_codes(values, view, b',"', value_problem)


def flag_items(batch: pa.RecordBatch, column: str, trait: int) -> pa.Array:
    """The item ``d_sid=TRAIT`` where a flag is true, null elsewhere; as a dictionary.

    :raises ConfigurationError: when the column is not boolean.
    """
    flags = column_of(batch, column)
    if pa.types.is_null(flags.type):
        # Some sources know a column's type only from its values, and here there are none.
        says = np.zeros(len(flags), bool)
    elif pa.types.is_boolean(flags.type):
        says = to_numpy(flags.fill_null(False))
    else:
        raise ConfigurationError(
            f"column {column!r}: a flag for trait {trait} must be boolean, not "
            f"{plural(flags.type)}; cast it in the source"
        )
    item = pa.array([f"{ADD_PREFIX}{trait}".encode()], pa.binary())
    return looked_up(item, np.zeros(len(says), np.int32), says)
