"""Users of whom nothing is sent, because they opted out or never agreed.

A list may hold IDs as they are sent, byte for byte, or their SHA-256. It is kept as 128 bits of
hash for each ID, so that two IDs are never taken for one another, and none of them can be read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.hashing import hash_email
from airflow_am_provider.audience_manager.personal_data import is_email
from airflow_am_provider.formatting.columns import ByteView, as_bytes, column_of, without_nulls
from airflow_am_provider.formatting.digest_file import DigestFile
from airflow_am_provider.formatting.row_hash import hash_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.formatting.columns import Marks
    from airflow_am_provider.formatting.row_hash import Hashes

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
        # IDs as they are: the quick hash of rows first, which sorts out nearly all, then SHA-256.
        self._plain = DigestFile()
        self._hashed = DigestFile()

    def add(
        self,
        batches: Iterable[pa.RecordBatch],
        place: str,
        *,
        column: str | None = None,
        hashed: bool = False,
        allow_empty: bool = False,
    ) -> int:
        """Add a list.

        :param batches: its rows; empty values are left out.
        :param place: what it is called, for messages.
        :param column: the column of the IDs; may be left out where there is only one.
        :param hashed: whether it holds their SHA-256, as 64 hexadecimal digits. Hashed e-mails
            that are sent as IDs are found by it as well.
        :param allow_empty: whether a list without any ID means that nobody is on it.
        :return: how many IDs it has.
        :raises ConfigurationError: when the column is not there, or hashes are not called so.
        :raises DataError: when a list is empty, or says that it has hashes and has others.
        """
        count = looks_hashed = 0
        for batch in batches:
            values = _values(batch, place, column)
            fits = _hexadecimal(values)
            looks_hashed += int(np.count_nonzero(fits))
            if hashed and not fits.all():
                number = count + int(np.flatnonzero(~fits)[0]) + 1
                raise DataError(
                    f"{place}: value {number:,} is no SHA-256 of 64 hexadecimal digits, so its "
                    f"user would not be found; nothing was sent. Mend the list, or leave out that "
                    f"it is hashed"
                )
            count += len(values)
            if hashed:
                digests = _unhexed(values)
                self._hashed.add(digests[:, 0], digests[:, 1])
            else:
                self._add_plain(values)
        if count and not hashed and looks_hashed == count:
            raise ConfigurationError(
                f"{place}: all of its {count:,} values look like SHA-256, and are said to be IDs "
                f"as they are sent; say that it is hashed. Hashed e-mails are found then, too"
            )
        if not count and not allow_empty:
            raise DataError(
                f"{place}: no ID in it, and an empty list is taken for a broken one; nothing was "
                f"sent. If it may be empty, say so"
            )
        return count

    def among(self, ids: pa.Array) -> Marks:
        """Which of these IDs are on a list.

        :param ids: a ``binary`` array; null is on none.
        """
        filled = without_nulls(ids)
        marks = np.zeros(len(filled), bool)
        if len(self._plain):
            keys = _row_hashes(filled)
            rows = np.flatnonzero(self._plain.perhaps_holds(keys))
            if rows.size:
                digests = _sha256(filled.take(pa.array(rows)))
                marks[rows] = self._plain.holds(keys[rows], digests[:, 0])
        if len(self._hashed):
            digests = _sha256(filled)
            marks |= self._hashed.holds(digests[:, 0], digests[:, 1])
            rows = np.flatnonzero(_hexadecimal(filled))
            if rows.size:
                digests = _unhexed(filled.take(pa.array(rows)))
                marks[rows] |= self._hashed.holds(digests[:, 0], digests[:, 1])
        return marks

    def _add_plain(self, values: pa.Array) -> None:
        self._plain.add(_row_hashes(values), _sha256(values)[:, 0])
        view = ByteView.of(values)
        rows = np.flatnonzero(view.rows_where(view.data == ord("@")))
        if not rows.size:
            return
        # An e-mail address is never sent, but its hash is.
        texts = (raw.decode("utf-8", "replace") for raw in values.take(pa.array(rows)).to_pylist())
        emails = [hash_email(text).encode() for text in texts if is_email(text)]
        hashes = pa.array(emails, pa.binary())
        self._plain.add(_row_hashes(hashes), _sha256(hashes)[:, 0])


def _values(batch: pa.RecordBatch, place: str, column: str | None) -> pa.Array:
    """The IDs of some rows, without the empty ones."""
    if column is None:
        if len(batch.schema.names) != 1:
            raise ConfigurationError(
                f"{place}: {len(batch.schema.names)} columns, "
                f"{', '.join(map(repr, batch.schema.names))}; name the one with the IDs"
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
