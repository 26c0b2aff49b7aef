"""Rules over all lines of a delivery: duplicates, and how often one user ID may stand in it.

Parts are written at once, and what must not stay is taken out afterwards, because nearly
always nothing must: a table of customers has each ID once.

1. While the parts are written, a hash of each line's user ID is kept in a temporary file.
2. At the end the hashes are compared, a bounded number of them at a time. None occurs twice:
   done.
3. Otherwise the parts are read again, and whole lines are hashed for the IDs that occur
   more than once. No line occurs twice, and no ID too often: done. Where such lines are few,
   this step is left out.
4. The lines still in doubt go into a file on the local disk, and are looked at exactly, those of
   an ID together. The last one of equal lines stays: whatever stands between them, such as
   the removal of the same trait, does not have the last word.
5. Lines to be taken out are handed back; their parts are written anew without them.

Where the lines of a user are joined, step 2 alone is taken here: an ID that occurs twice has to be
looked at (:mod:`~airflow_am_provider.formatting.user_lines`).

Where a sample shows early that lines come again, or that users have too many, all of them wait
on the local disk instead (:mod:`~airflow_am_provider.formatting.waiting_lines`), and are looked at
there.

Memory depends on the number of lines looked at in one go, never on the number of rows.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.columns.row_hash import Hashes, hash_rows
from airflow_am_provider.formatting.repeats.bits import RoughHashes
from airflow_am_provider.formatting.repeats.early_repeats import EarlyRepeats
from airflow_am_provider.formatting.repeats.exact_repeats import (
    Repeats,
    exact_repeats,
    id_hashes,
    whole_hashes,
)
from airflow_am_provider.formatting.repeats.hash_file import HASHES_AT_A_TIME, HashFile
from airflow_am_provider.formatting.repeats.line_file import LineFile, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from airflow_am_provider.formatting.columns.byte_columns import Rows

log = logging.getLogger(__name__)

_THREADS: Final = 2
# One line in so many: where those of users with several lines are no more, all of them are looked
# at, without reading all lines once more to see which need not be.
_FEW: Final = 16


class RepeatFinder:
    """Finds the lines that break a rule over all lines.

    :param max_lines_per_user: lines that one user ID may have, or None for any number.
    :param hashes_at_a_time: how many hashes are compared at a time; this bounds the memory.
    :param joins_lines: whether the lines of a user are joined, so that two of them are looked for.
    """

    def __init__(
        self,
        max_lines_per_user: int | None,
        hashes_at_a_time: int = HASHES_AT_A_TIME,
        *,
        joins_lines: bool = False,
    ) -> None:
        self._max_lines_per_user = max_lines_per_user
        self._hashes_at_a_time = hashes_at_a_time
        self._ids = HashFile(hashes_at_a_time)
        self._early = EarlyRepeats(max_lines_per_user, joins_lines=joins_lines)

    def __len__(self) -> int:
        """How many IDs were observed: one of each line."""
        return len(self._ids)

    @property
    def found_some(self) -> bool:
        """Whether lines must be taken out, as far as a sample of them tells."""
        return self._early.found > 0

    def observe(self, lines: pa.Array, ids: pa.Array | None = None) -> Hashes:
        """Remember the user IDs of lines.

        :param ids: those; looked for when not given.
        :return: their hashes.
        """
        hashes = id_hashes(lines) if ids is None else whole_hashes(ids)
        self._ids.add(hashes)
        self._early.look(lines, hashes)
        return hashes

    def observe_ids(self, hashes: Hashes) -> None:
        """Remember IDs of rows that have no line."""
        self._ids.add(hashes)

    def has_several(self) -> bool:
        """Whether an ID was observed twice."""
        return next(self._ids.repeated(), None) is not None

    def repeats(self, read: Callable[[], Iterable[pa.Array]]) -> Iterator[Repeats]:
        """The lines that must not stay.

        :param read: reads all lines of the delivery once more, in the same order.
        """
        doubt = _Doubt(self._max_lines_per_user)
        for hashes, counts in self._ids.repeated():
            doubt.add_ids(hashes, counts)
        if not doubt.several:
            return
        log.info("Some user IDs stand on several lines: looking for repeated lines")
        if self._max_lines_per_user == 1 or doubt.of_several < len(self) // _FEW:
            doubt.add_all()
        else:
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
        file = LineFile()
        try:
            number = 0
            for batch in read():
                hashes, rows = doubt.rows(batch)
                if rows.size:
                    file.add(batch.take(to_arrow(rows)), hashes[rows], rows + number)
                number += len(batch)
            yield from self.repeats_in(file)
        finally:
            file.close()

    def repeats_in(self, file: LineFile) -> Iterator[Repeats]:
        """The lines of a file that must not stay.

        :param file: all lines in doubt, those of a user with one hash.
        """
        shares = file.shares()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="compare") as pool:
            while some := list(islice(shares, _THREADS)):
                for found in pool.map(self._exactly, some):
                    yield from found

    def close(self) -> None:
        """Delete the temporary file."""
        self._ids.close()

    def _exactly(self, share: Iterator[Piece]) -> list[Repeats]:
        return list(exact_repeats(share, self._max_lines_per_user))


class _Doubt:
    """Which lines have to be looked at exactly.

    Those of users with more lines than allowed, and those that another line may be equal to. With 2
    lines allowed:

    ===============  ======  ======  ======  ======  ======
    line             ann 1   bob 1   ann 1   eve 1   eve 2
    ===============  ======  ======  ======  ======  ======
    lines of user    2       1       2       2       2
    several          yes     no      yes     yes     yes
    too many         no      no      no      no      no
    same line hash   yes             yes     no      no
    in doubt         yes     no      yes     no      no
    ===============  ======  ======  ======  ======  ======
    """

    def __init__(self, max_lines_per_user: int | None) -> None:
        self.count = 0
        self.several = RoughHashes()
        self.of_several = 0
        self._too_many = RoughHashes()
        self._same = RoughHashes()
        self._max_lines_per_user = max_lines_per_user

    def add_ids(self, hashes: Hashes, counts: Hashes) -> None:
        self.several.add(hashes)
        self.of_several += int(counts.sum())
        if self._max_lines_per_user is not None:
            over = counts > np.uint64(self._max_lines_per_user)
            self._too_many.add(hashes[over])
            self.count += int(counts[over].sum())

    def add_lines(self, hashes: Hashes, counts: Hashes) -> None:
        self._same.add(hashes)
        self.count += int(counts.sum())

    def add_all(self) -> None:
        """Look at all lines of users with several."""
        self._too_many, self.count = self.several, self.of_several

    def line_hashes(self, lines: pa.Array) -> Hashes:
        """Hashes of the whole lines of users with several, but not too many."""
        ids = id_hashes(lines)
        return _line_hashes(lines, np.flatnonzero(self._not_too_many(ids)))

    def rows(self, lines: pa.Array) -> tuple[Hashes, Rows]:
        """The hashes of all user IDs, and the lines in doubt."""
        ids = id_hashes(lines)
        doubtful = self._too_many.holds(ids)
        if self._same:
            rows = np.flatnonzero(self._not_too_many(ids))
            doubtful[rows[self._same.holds(_line_hashes(lines, rows))]] = True
        return ids, np.flatnonzero(doubtful)

    def _not_too_many(self, ids: Hashes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return self.several.holds(ids) & ~self._too_many.holds(ids)


def _line_hashes(lines: pa.Array, rows: Rows) -> Hashes:
    """Hash some lines as a whole."""
    view = ByteView.of(lines)
    return hash_rows(view.data, view.offsets[rows], view.lengths[rows])
