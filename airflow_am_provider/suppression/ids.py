"""Users of whom nothing is sent, because they opted out or never agreed.

A list may hold IDs as they are sent, byte for byte, or their SHA-256. It is kept as 128 bits of
hash for each ID, so that two IDs are never taken for one another, and none of them can be read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.hashing import hash_email
from airflow_am_provider.audience_manager.identifiers import DPUUID
from airflow_am_provider.audience_manager.personal_data import is_email
from airflow_am_provider.formatting.batches import bounded
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    as_bytes,
    column_of,
    without_nulls,
)
from airflow_am_provider.formatting.columns.checks import id_codes
from airflow_am_provider.formatting.columns.row_hash import hash_rows
from airflow_am_provider.formatting.remarks import Remark
from airflow_am_provider.formatting.repeats.digest_file import DigestFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from airflow_am_provider.audience_manager.identifiers import IdKind
    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes

_HEX_DIGITS: Final = 64


class Suppression:
    """IDs of users of whom nothing is sent.

    >>> nobody = Suppression()
    >>> ids = pa.RecordBatch.from_pydict({"id": ["bob", None]})
    >>> nobody.add([ids], "opted_out.csv", column="id")
    1
    >>> nobody.among(pa.array([b"bob", b"Bob"])).tolist()
    [True, False]
    """

    def __init__(self) -> None:
        self._lists: list[SuppressionList] = []
        self._asked = 0

    @property
    def lists(self) -> tuple[SuppressionList, ...]:
        """The lists, each with what became of it."""
        return tuple(self._lists)

    @property
    def remarks(self) -> dict[str, int]:
        """How many entries there are, can be no ID, and how often one was found."""
        remarks = {
            Remark.LISTED: sum(one.entries for one in self._lists),
            Remark.LISTED_NO_IDS: sum(one.no_ids for one in self._lists),
        }
        if self._asked:
            remarks[Remark.LISTED_FOUND] = sum(one.found for one in self._lists)
        return {name.value: count for name, count in remarks.items()}

    def add(
        self,
        batches: Iterable[pa.RecordBatch],
        label: str,
        *,
        column: str | None = None,
        hashed: bool = False,
        allow_empty: bool = False,
        kinds: Collection[IdKind] = (),
    ) -> int:
        """Add a list.

        :param batches: its rows; empty values are left out.
        :param label: what it is called, for messages.
        :param column: the column of the IDs; may be left out where there is only one.
        :param hashed: whether it holds their SHA-256, as 64 hexadecimal digits. Hashed e-mails
            that are sent as IDs are found by it as well.
        :param allow_empty: whether a list without any ID means that nobody is on it.
        :param kinds: the kinds of ID that are sent, to count the entries that can be none of them;
            nothing is counted without.
        :return: how many IDs it has.
        :raises ConfigurationError: when the column is not there, or hashes are not called so.
        :raises DataError: when a list is empty, has nothing that can be an ID, or says that it has
            hashes and has others.
        """
        digests = _HashedIds() if hashed else _PlainIds()
        some = SuppressionList(label, digests)
        looks_hashed = 0
        has_id = False
        for batch in bounded(batches, None, whole_values=True):
            values = _values(batch, label, column)
            fits = _hexadecimal(values)
            looks_hashed += int(np.count_nonzero(fits))
            if hashed and not fits.all():
                number = some.entries + int(np.flatnonzero(~fits)[0]) + 1
                raise DataError(
                    f"{label}: value {number:,} is no SHA-256 of 64 hexadecimal digits, so its "
                    f"user would not be found; nothing was sent. Mend the list, or leave out that "
                    f"it is hashed"
                )
            some.entries += len(values)
            # What a CRM cannot have as an ID, no kind of ID can be.
            has_id = has_id or hashed or _count_no_ids(values, (DPUUID,)) < len(values)
            if kinds and not hashed:
                some.no_ids += _count_no_ids(values, kinds)
            digests.add(values)
        if some.entries and not hashed and looks_hashed == some.entries:
            raise ConfigurationError(
                f"{label}: all of its {some.entries:,} values look like SHA-256, but the list is "
                f"not marked as hashed; mark it as hashed. Hashed e-mails are found then, "
                f"too"
            )
        if not some.entries and not allow_empty:
            raise DataError(
                f"{label}: no ID in it, and an empty list is taken for a broken one; nothing was "
                f"sent. If it may be empty, say so"
            )
        if some.entries and not has_id and not allow_empty:
            raise DataError(
                f"{label}: none of its {some.entries:,} values can be anybody's ID, such as "
                f"blanks, NULL or what has a colon, so nobody would be left out; nothing was "
                f"sent. Mend the list"
            )
        self._lists.append(some)
        return some.entries

    def among(self, ids: pa.Array) -> Marks:
        """Which of these IDs are on a list.

        :param ids: a ``binary`` array; null is on none.
        """
        asked = _Asked(without_nulls(ids))
        self._asked += len(ids)
        marks = np.zeros(len(ids), bool)
        for one in self._lists:
            found = one.digests.among(asked)
            one.found += int(np.count_nonzero(found))
            marks |= found
        return marks


@dataclass(slots=True)
class SuppressionList:
    """One list, and what became of it.

    :param label: what it is called.
    :param digests: its entries.
    :param entries: how many there are.
    :param no_ids: how many of them can be no ID of the kinds that are sent.
    :param found: how often an ID of a row was on it.
    """

    label: str
    digests: _HashedIds | _PlainIds
    entries: int = 0
    no_ids: int = 0
    found: int = 0

    def __str__(self) -> str:
        return (
            f"{self.label}: {self.entries:,} entries, {self.no_ids:,} of them "
            f"cannot be IDs of this delivery; {self.found:,} IDs were on it"
        )


class _Asked:
    """IDs that are looked for, and hashes of them, made once for all lists."""

    def __init__(self, ids: pa.Array) -> None:
        self.ids = ids

    @cached_property
    def keys(self) -> Hashes:
        return _row_hashes(self.ids)

    @cached_property
    def digests(self) -> Hashes:
        return _sha256(self.ids)


class _PlainIds:
    """IDs as they are: the quick hash of rows first, which sorts out nearly all, then SHA-256."""

    def __init__(self) -> None:
        self._digests = DigestFile()

    def add(self, values: pa.Array) -> None:
        self._digests.add(_row_hashes(values), _sha256(values)[:, 0])
        rows = _with_at_sign(values)
        if not rows.size:
            return
        # An e-mail address is never sent, but its hash is.
        texts = (raw.decode("utf-8", "replace") for raw in values.take(pa.array(rows)).to_pylist())
        emails = [hash_email(text).encode() for text in texts if is_email(text)]
        hashes = pa.array(emails, pa.binary())
        self._digests.add(_row_hashes(hashes), _sha256(hashes)[:, 0])

    def among(self, asked: _Asked) -> Marks:
        marks = np.zeros(len(asked.ids), bool)
        if not len(self._digests):
            return marks
        # SHA-256 is made only of what the quick hash lets through. With bob and eve on the list:
        #
        #   asked           ann    bob    cid
        #   perhaps there   no     yes    no      with a million on the list, 1 other in 250: yes
        #   rows                   1
        #   SHA-256 there          yes
        #   marks           no     yes    no
        rows = np.flatnonzero(self._digests.perhaps_holds(asked.keys))
        if rows.size:
            digests = _sha256(asked.ids.take(pa.array(rows)))
            marks[rows] = self._digests.holds(asked.keys[rows], digests[:, 0])
        return marks


class _HashedIds:
    """SHA-256 of IDs, or of e-mail addresses."""

    def __init__(self) -> None:
        self._digests = DigestFile()

    def add(self, values: pa.Array) -> None:
        digests = _unhexed(values)
        self._digests.add(digests[:, 0], digests[:, 1])

    def among(self, asked: _Asked) -> Marks:
        if not len(self._digests):
            return np.zeros(len(asked.ids), bool)
        marks = self._digests.holds(asked.digests[:, 0], asked.digests[:, 1])
        rows = np.flatnonzero(_hexadecimal(asked.ids))
        if rows.size:
            digests = _unhexed(asked.ids.take(pa.array(rows)))
            marks[rows] |= self._digests.holds(digests[:, 0], digests[:, 1])
        return marks


def _count_no_ids(values: pa.Array, kinds: Collection[IdKind]) -> int:
    """How many values can be no ID of any of these kinds, and no e-mail address that is hashed."""
    bad = np.logical_and.reduce([id_codes(values, kind) != 0 for kind in kinds])
    if DPUUID in kinds:
        rows = _with_at_sign(values)
        texts = (raw.decode("utf-8", "replace") for raw in values.take(pa.array(rows)).to_pylist())
        bad[rows] = [not is_email(text) or ":" in text for text in texts]
    return int(np.count_nonzero(bad))


def _with_at_sign(values: pa.Array) -> Rows:
    view = ByteView.of(values)
    return np.flatnonzero(view.rows_where(view.data == ord("@")))


def _values(batch: pa.RecordBatch, label: str, column: str | None) -> pa.Array:
    """The IDs of some rows, without the empty ones."""
    if column is None:
        if len(batch.schema.names) != 1:
            raise ConfigurationError(
                f"{label}: {len(batch.schema.names)} columns; name the one with the IDs"
            )
        column = batch.schema.names[0]
    values = without_nulls(as_bytes(column_of(batch, column), column, is_id=True))
    lengths = ByteView.of(values).lengths
    return values if lengths.all() else values.filter(pa.array(lengths > 0))


def _row_hashes(values: pa.Array) -> Hashes:
    view = ByteView.of(values)
    return hash_rows(view.data, view.offsets[:-1], view.lengths)


def _sha256(values: pa.Array) -> Hashes:
    """The first 128 bits of the SHA-256 of each value, in two halves."""
    sha256 = hashlib.sha256
    return _halves(b"".join([sha256(value).digest() for value in values.to_pylist()]))


def _hexadecimal(values: pa.Array) -> Marks:
    """Which values are 64 hexadecimal digits."""
    view = ByteView.of(values)
    fits: Marks = view.lengths == _HEX_DIGITS
    rows = np.flatnonzero(fits)
    if rows.size:
        matrix = view.data[view.offsets[rows][:, None] + np.arange(_HEX_DIGITS)]
        fits[rows] = _is_digit[matrix].all(axis=1)
    return fits


def _unhexed(values: pa.Array) -> Hashes:
    """The first 128 bits of digests that are written as hexadecimal digits."""
    return _halves(bytes.fromhex(b"".join(values.to_pylist()).decode()))


def _halves(digests: bytes) -> Hashes:
    return np.frombuffer(digests, ">u8").reshape(-1, 4)[:, :2].astype(np.uint64)


_is_digit: Final = np.zeros(256, bool)
_is_digit[np.frombuffer(b"0123456789abcdefABCDEF", np.uint8)] = True
