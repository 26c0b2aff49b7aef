"""Lines of ID sync files: IDs of one person, separated by tabs (id-sync-file-based.md)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.file_kinds import IdSyncFileKind, IdSyncPrefix
from airflow_am_provider.audience_manager.hashing import hash_email, is_hashed_email
from airflow_am_provider.audience_manager.identifiers import (
    DPUUID,
    URL_ENCODED_PATTERN,
    IdKind,
    is_global_device_data_source,
    kind_of_data_source,
)
from airflow_am_provider.audience_manager.personal_data import is_email
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import text_scalar, to_arrow
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    as_bytes,
    column_of,
    without_nulls,
)
from airflow_am_provider.formatting.columns.checks import (
    CODE_OF,
    LOWER_HEX,
    Codes,
    ask,
    shaped_like,
)
from airflow_am_provider.formatting.lines.line_writer import (
    FormattedBatch,
    PersonalData,
    checked_ids,
    first_codes,
    without_long_lines,
)

if TYPE_CHECKING:
    from airflow_am_provider.formatting.lines.line_writer import SuppressedIds

_PAGE: Final = "id-sync-file-based.md"
_URL_ENCODED = re.compile(URL_ENCODED_PATTERN)
_not_plainly_hashed = shaped_like(64, {LOWER_HEX: tuple(range(64))})


@dataclass(frozen=True, kw_only=True)
class IdSyncSpec:
    """What an ID sync file is to hold, and from which columns.

    :param master_dpid: the data source of the first column; 0 stands for AAM UUIDs.
    :param dpids: the data sources of the other columns, in their order.
    :param columns: the columns with the IDs, the master's first. In a ``c2c_id`` file all
        columns after the first hold hashed e-mails of the one data source in ``dpids``.
    :param prefix: ``adobe_id`` or ``c2c_id``.
    :param hash_columns: those of the columns that hold e-mail addresses to be hashed.
    :param allow_crm_master: permit CRM IDs in the first column of an ``adobe_id`` file. Adobe's
        page forbids it, yet shows it for IDs that an earlier file synchronised.
    :param refuse_hyphens: set rows aside in which a MAID, TIFA or Vizio IFA has hyphens; they are
        sent with a warning otherwise.
    :raises ConfigurationError: when a choice breaks the contract.
    """

    master_dpid: int
    dpids: tuple[int, ...]
    columns: tuple[str, ...]
    prefix: IdSyncPrefix = IdSyncPrefix.ADOBE_ID
    hash_columns: tuple[str, ...] = ()
    allow_crm_master: bool = False
    refuse_hyphens: bool = False

    def __post_init__(self) -> None:
        _ = self.file_kind  # it knows the rules about data sources
        is_device = self.master_dpid == 0 or is_global_device_data_source(self.master_dpid)
        if self.prefix is IdSyncPrefix.ADOBE_ID:
            if len(self.columns) != 1 + len(self.dpids):
                raise ConfigurationError(
                    f"columns: {len(self.columns)} named, but the master and {len(self.dpids)} "
                    f"dpids need {1 + len(self.dpids)} ({_PAGE})"
                )
            if not is_device and not self.allow_crm_master:
                raise ConfigurationError(
                    f"master_dpid: {self.master_dpid} is not a device data source, and the master "
                    f"of an adobe_id file must hold device IDs; if an earlier file synchronised "
                    f"these IDs, say allow_crm_master=True ({_PAGE})"
                )
        else:
            if is_device:
                raise ConfigurationError(
                    f"master_dpid: {self.master_dpid} holds device IDs, but the master of a c2c_id "
                    f"file is the CRM data source ({_PAGE})"
                )
            if len(self.dpids) != 1 or len(self.columns) < 2:
                raise ConfigurationError(
                    "a c2c_id file maps the CRM data source to one data source of hashed e-mails: "
                    "name one dpid, the CRM ID's column and at least one column of e-mails "
                    "(people-based-destinations-workflow-combined.md)"
                )
        if len(set(self.columns)) != len(self.columns):
            raise ConfigurationError(f"columns: {list(self.columns)} names one twice")
        for column in self.hash_columns:
            if column not in self.columns:
                raise ConfigurationError(
                    f"hash_columns: {column!r} is not among the columns {list(self.columns)}"
                )

    @property
    def id_kinds(self) -> tuple[IdKind, ...]:
        """The kinds of the IDs; hashed e-mails are IDs of one's own, as those of a CRM are."""
        kinds = {kind_of_data_source(dpid) for dpid in (self.master_dpid, *self.dpids)}
        if self.hash_columns:
            kinds.add(DPUUID)
        return tuple(sorted(kinds, key=attrgetter("name")))

    @property
    def file_kind(self) -> IdSyncFileKind:
        """What the file is, but for its encoding."""
        return IdSyncFileKind(prefix=self.prefix, master_dpid=self.master_dpid, dpids=self.dpids)


class IdSyncWriter:
    """What both writers of ID sync files have in common.

    :param spec: what to write, and from which columns.
    """

    # The rule of 200 lines is one of data files.
    max_lines_per_user = None
    removes = False
    joins_lines = False
    suppression: SuppressedIds | None = None
    contents: None = None

    def name_traits(self) -> None:
        """An ID sync names no traits."""

    def __init__(self, spec: IdSyncSpec) -> None:
        self.spec = spec
        self.remarks: Counter[str] = Counter()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed, the master's first."""
        return self.spec.columns

    @property
    def id_kinds(self) -> tuple[IdKind, ...]:
        """The kinds of the IDs, that of the CRM where hashed e-mails are among them."""
        return self.spec.id_kinds

    @property
    def file_kind(self) -> IdSyncFileKind:
        """What the file is, but for its encoding."""
        return self.spec.file_kind


class IdSyncLineWriter(IdSyncWriter):
    """Turns batches of rows into lines of an ``adobe_id`` file: one row, one line."""

    one_line_per_user = False

    def format(self, batch: pa.RecordBatch) -> FormattedBatch:
        """Check and format a batch."""
        dpids = (self.spec.master_dpid, *self.spec.dpids)
        values: list[pa.Array] = []
        codes = np.zeros(batch.num_rows, np.uint8)
        personal_data: dict[str, PersonalData] = {}
        for column, dpid in zip(self.spec.columns, dpids, strict=True):
            array = as_bytes(column_of(batch, column), column, is_id=True)
            if column in self.spec.hash_columns:
                array, broken = hashed(array)
            else:
                found = checked_ids(
                    array,
                    kind_of_data_source(dpid),
                    self.remarks,
                    refuse_hyphens=self.spec.refuse_hyphens,
                )
                broken = first_codes(found, url_codes(array))
                personal_data[column] = PersonalData.among(array, broken)
            codes = first_codes(codes, broken)
            values.append(array)
        codes = first_codes(codes, _trailing_space_codes(values[-1]))
        if self.suppression is not None:
            for array in values:
                codes[self.suppression.among(array)] = CODE_OF[Rule.SUPPRESSED]
        rows = np.flatnonzero(codes == 0)
        if rows.size != len(codes):
            kept = [value.filter(to_arrow(codes == 0)) for value in values]
        else:
            kept = values
        lines = _joined(*kept)
        lines, rows = without_long_lines(lines, rows, codes)
        first, *others = values
        return FormattedBatch(lines, rows, codes, first, personal_data, more_ids=tuple(others))

    def finish(self) -> None:
        """Nothing is held back: each row is a line."""


def hashed(emails: pa.Array) -> tuple[pa.Array, Codes]:
    """Hash a column of e-mail addresses; what is none is not hashed, since it matches nobody."""
    codes = np.zeros(len(emails), np.uint8)
    digests: list[bytes] = []
    for row, raw in enumerate(without_nulls(emails).to_pylist()):
        digest, rule = _hash(raw)
        digests.append(digest)
        if rule is not None:
            codes[row] = CODE_OF[rule]
    return pa.array(digests, pa.binary()), codes


def hashed_email_codes(values: pa.Array) -> Codes:
    """Which rule each value breaks that should be a hashed e-mail."""
    filled = without_nulls(values)
    return ask(filled, _not_plainly_hashed(ByteView.of(filled)), _hashed_email_problem)


def _hash(raw: bytes) -> tuple[bytes, Rule | None]:
    if not raw:
        return b"", Rule.EMPTY_ID
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return b"", Rule.INVALID_UTF8
    # The hash of an address whose "@" is URL-encoded would match nobody.
    if not is_email(text) or "@" not in text:
        return b"", Rule.EMAIL_FORM
    return hash_email(text).encode(), None


def _hashed_email_problem(value: str) -> Rule | None:
    return DPUUID.problem(value) or (None if is_hashed_email(value) else Rule.HASHED_EMAIL_FORM)


def url_codes(array: pa.Array) -> Codes:
    """Which IDs are URL-encoded."""
    filled = without_nulls(array)
    view = ByteView.of(filled)
    with_percent = view.rows_where(view.data == ord("%"))
    return ask(
        filled,
        with_percent,
        lambda value: Rule.ID_URL_ENCODED if _URL_ENCODED.search(value) else None,
    )


def _trailing_space_codes(last: pa.Array) -> Codes:
    ends = ByteView.of(without_nulls(last)).last_bytes == ord(" ")
    return np.where(ends, CODE_OF[Rule.TRAILING_SPACE], 0).astype(np.uint8)


def _joined(*columns: pa.Array) -> pa.Array:
    ids = pc.binary_join_element_wise(*columns, text_scalar(b"\t"))
    return pc.binary_join_element_wise(ids, text_scalar(b"\n"), text_scalar(b""))
