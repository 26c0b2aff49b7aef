"""Rules over all lines of a delivery: duplicates, and how often one user ID may stand in it.

Parts are written at once, and what must not stay is taken out afterwards, because nearly
always nothing must: a table of customers has each ID once.

1. While the parts are written, a hash of each line's user ID is kept in a temporary file.
2. At the end the hashes are compared, a bounded number of them at a time. None occurs twice:
   done.
3. Otherwise the parts are read again, and whole lines are hashed for the IDs that occur
   more than once. No line occurs twice, and no ID too often: done.
4. The lines still in doubt go into small files, those of an ID into the same one, and are
   looked at exactly. Of equal lines the last one stays: whatever stands between them, such as
   the removal of the same trait, does not have the last word.
5. Lines to be taken out are handed back; their parts are written anew without them.

Memory depends on the number of lines looked at in one go, never on the number of rows.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.bits import RoughHashes
from airflow_am_provider.formatting.columns import ByteView
from airflow_am_provider.formatting.hash_file import HASHES_AT_A_TIME, HashFile, temporary_file
from airflow_am_provider.formatting.row_hash import Hashes, hash_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_am_provider.formatting.columns import Rows

log = logging.getLogger(__name__)

# A line that is looked at exactly takes some 200 bytes of memory.
_LINES_AT_A_TIME: Final = 200_000
_MOST_BUCKETS: Final = 256
# Equal digests of this length mean equal lines: no two others were ever found.
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Repeat:
    """A line that must not stay.

    :param line: its number in the delivery, from 0.
    :param rule: the rule that it breaks.
    :param other_line: another line of the same user ID.
    :param user_id: that user ID.
    """

    line: int
    rule: Rule
    other_line: int
    user_id: bytes


class RepeatFinder:
    """Finds the lines that break a rule over all lines.

    :param max_lines_per_user: lines that one user ID may have, or None for any number.
    :param hashes_at_a_time: how many hashes are compared at a time; this bounds the memory.
    """

    def __init__(
        self, max_lines_per_user: int | None, hashes_at_a_time: int = HASHES_AT_A_TIME
    ) -> None:
        self._max_lines_per_user = max_lines_per_user
        self._hashes_at_a_time = hashes_at_a_time
        self._ids = HashFile(hashes_at_a_time)

    def __len__(self) -> int:
        """How many lines were observed."""
        return len(self._ids)

    def observe(self, lines: pa.Array, ids: pa.Array | None = None) -> None:
        """Remember the user IDs of lines.

        :param ids: those; looked for when not given.
        """
        self._ids.add(_id_hashes(lines) if ids is None else _hashes(ids))

    def repeats(self, read: Callable[[], Iterable[pa.Array]]) -> Iterator[Repeat]:
        """The lines that must not stay.

        :param read: reads all lines of the delivery once more, in the same order.
        """
        doubt = _Doubt(self._max_lines_per_user)
        for hashes, counts in self._ids.repeated():
            doubt.add_ids(hashes, counts)
        if not doubt.several:
            return
        log.info("Some user IDs stand on several lines: looking for repeated lines")
        if self._max_lines_per_user != 1:
            lines = HashFile(self._hashes_at_a_time)
            try:
                for batch in read():
                    lines.add(doubt.line_hashes(batch))
                for hashes, counts in lines.repeated():
                    doubt.add_lines(hashes, counts)
            finally:
                lines.close()
        if not doubt.count:
            return
        log.info("Comparing up to %s lines", f"{doubt.count:,}")
        with _Buckets(doubt.count) as buckets:
            number = 0
            for batch in read():
                hashes, rows = doubt.rows(batch)
                if rows.size:
                    buckets.add(hashes[rows], rows + number, batch.take(to_arrow(rows)))
                number += len(batch)
            for bucket in buckets.each():
                yield from self._exactly(bucket)

    def close(self) -> None:
        """Delete the temporary file."""
        self._ids.close()

    def _exactly(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[Repeat]:
        lines_of: dict[bytes, dict[bytes, int]] = {}
        for number, text in lines:
            user_id = text[: text.index(b"\t")]
            seen = lines_of.setdefault(_digest(user_id), {})
            digest = _digest(text)
            if digest in seen:
                yield Repeat(seen[digest], Rule.DUPLICATE_LINE, number, user_id)
            elif self._max_lines_per_user is not None and len(seen) >= self._max_lines_per_user:
                other = next(iter(seen.values()))
                yield Repeat(number, Rule.TOO_MANY_LINES_PER_USER, other, user_id)
                continue
            seen[digest] = number


class _Doubt:
    """Which lines have to be looked at exactly.

    Those of users with more lines than allowed, and those that another line may be equal to.
    """

    def __init__(self, max_lines_per_user: int | None) -> None:
        self.count = 0
        self.several = RoughHashes()
        self._too_many = RoughHashes()
        self._same = RoughHashes()
        self._max_lines_per_user = max_lines_per_user

    def add_ids(self, hashes: Hashes, counts: Hashes) -> None:
        self.several.add(hashes)
        if self._max_lines_per_user is not None:
            over = counts > np.uint64(self._max_lines_per_user)
            self._too_many.add(hashes[over])
            self.count += int(counts[over].sum())

    def add_lines(self, hashes: Hashes, counts: Hashes) -> None:
        self._same.add(hashes)
        self.count += int(counts.sum())

    def line_hashes(self, lines: pa.Array) -> Hashes:
        """Hashes of the whole lines of users with several, but not too many."""
        ids = _id_hashes(lines)
        return _line_hashes(lines, np.flatnonzero(self._not_too_many(ids)))

    def rows(self, lines: pa.Array) -> tuple[Hashes, Rows]:
        """The hashes of all user IDs, and the lines in doubt."""
        ids = _id_hashes(lines)
        doubtful = self._too_many.holds(ids)
        if self._same:
            rows = np.flatnonzero(self._not_too_many(ids))
            doubtful[rows[self._same.holds(_line_hashes(lines, rows))]] = True
        return ids, np.flatnonzero(doubtful)

    def _not_too_many(self, ids: Hashes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return self.several.holds(ids) & ~self._too_many.holds(ids)


class _Buckets:
    """Lines in doubt on disk, those with the same hash together.

    :param count: about how many there will be.
    """

    def __init__(self, count: int) -> None:
        self._number = min(_MOST_BUCKETS, 1 + count // _LINES_AT_A_TIME)
        self._stack = ExitStack()
        self._files: list[BinaryIO] = []

    def __enter__(self) -> _Buckets:
        self._files = [self._stack.enter_context(temporary_file()) for _ in range(self._number)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, hashes: Hashes, numbers: Rows, lines: pa.Array) -> None:
        buckets = (hashes % np.uint64(self._number)).tolist()
        for bucket, number, text in zip(buckets, numbers.tolist(), lines.to_pylist(), strict=True):
            self._files[bucket].write(b"%d " % number + text)

    def each(self) -> Iterator[Iterator[tuple[int, bytes]]]:
        for file in self._files:
            file.seek(0)
            yield _entries(file)


def _entries(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for entry in file:
        number, _, text = entry.partition(b" ")
        yield int(number), text


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _id_hashes(lines: pa.Array) -> Hashes:
    """Hash what stands before the first tab of each line."""
    view = ByteView.of(lines)
    lengths = to_numpy(pc.find_substring(lines, b"\t")).astype(np.int64)
    return hash_rows(view.data, view.offsets[:-1], lengths)


def _hashes(texts: pa.Array) -> Hashes:
    """Hash whole texts."""
    view = ByteView.of(texts)
    return hash_rows(view.data, view.offsets[:-1], view.lengths)


def _line_hashes(lines: pa.Array, rows: Rows) -> Hashes:
    """Hash some lines as a whole."""
    view = ByteView.of(lines)
    return hash_rows(view.data, view.offsets[rows], view.lengths[rows])
