"""What every writer of lines gives back for a batch of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow, to_numpy
from airflow_am_provider.formatting.columns.byte_columns import ByteView, empty_to_null
from airflow_am_provider.formatting.columns.checks import CODE_OF, Codes, id_codes
from airflow_am_provider.formatting.remarks import Remark

if TYPE_CHECKING:
    from collections import Counter

    import pyarrow as pa

    from airflow_am_provider.audience_manager.file_kinds import FileKind
    from airflow_am_provider.audience_manager.identifiers import IdKind
    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows


@dataclass(frozen=True, slots=True)
class PersonalData:
    """How much of a column is personal data.

    :param values: how many values there are, empty ones left out.
    :param found: how many of them are personal data.
    """

    values: int
    found: int

    @classmethod
    def among(cls, values: pa.Array, codes: Codes) -> PersonalData:
        """Count.

        :param values: a ``binary`` array.
        :param codes: which rule each of them breaks.
        """
        return cls.among_said(empty_to_null(values), codes)

    @classmethod
    def among_said(cls, values: pa.Array, codes: Codes) -> PersonalData:
        """Count, where empty values are null already.

        :param values: a ``binary`` array, or a dictionary of such values.
        """
        if not codes.any():
            return cls(len(values) - values.null_count, 0)
        said = to_numpy(values.is_valid())
        return cls(
            int(np.count_nonzero(said | (codes != 0))),
            int(np.count_nonzero(codes == CODE_OF[Rule.PERSONAL_DATA])),
        )

    def __add__(self, more: PersonalData) -> PersonalData:
        return PersonalData(self.values + more.values, self.found + more.found)


@dataclass(frozen=True, slots=True)
class FormattedBatch:
    """The lines of a batch, and what became of each of its rows.

    :param lines: a ``binary`` array, each value a line with its newline.
    :param line_rows: for each line, the row of the batch that it starts from; below 0 for a
        line that was held back, and starts from a row of an earlier batch.
    :param codes: for each row, the rule it broke, or 0 when it is written.
    :param ids: for each row, its user ID as a ``binary`` array, for the rejects file.
    :param personal_data: for each column that is sent as it is, how much of it must not be.
    :param more_ids: where a row has several IDs, the others of each row.
    :param line_ids: the user ID at the start of each line, or None where that is not known.
    """

    lines: pa.Array
    line_rows: Rows
    codes: Codes
    ids: pa.Array
    personal_data: dict[str, PersonalData]
    line_ids: pa.Array | None = None
    more_ids: tuple[pa.Array, ...] = ()


class SuppressedIds(Protocol):
    """User IDs of whom nothing is sent."""

    def among(self, ids: pa.Array) -> Marks:
        """Which of these IDs are among them.

        :param ids: a ``binary`` array; null is on none.
        """
        ...

    @property
    def remarks(self) -> dict[str, int]:
        """What is worth a look about the list, in counts."""
        ...


class LineWriter(Protocol):
    """Turns batches of rows into lines.

    :param suppression: users of whom nothing is sent, or None.
    :param remarks: counts of what is worth a look and keeps no row out.
    """

    suppression: SuppressedIds | None
    remarks: Counter[str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the source that are needed; the first one is the user ID."""
        ...

    @property
    def contents(self) -> dict[str, Any] | None:
        """What the lines say, without their users; None when nobody wants to know."""
        ...

    @property
    def id_kinds(self) -> tuple[IdKind, ...]:
        """The kinds of ID that stand in its lines."""
        ...

    @property
    def max_lines_per_user(self) -> int | None:
        """How many lines of one user ID a delivery may have, or None where there is no limit."""
        ...

    @property
    def removes(self) -> bool:
        """Whether lines may take something away from users, so that their order counts."""
        ...

    @property
    def one_line_per_user(self) -> bool:
        """Whether all rows of a user are joined into one line, and so must follow each other."""
        ...

    @property
    def joins_lines(self) -> bool:
        """Whether all lines of a user become one, once the last row is known."""
        ...

    @property
    def file_kind(self) -> FileKind:
        """What the file is, but for its encoding."""
        ...

    def name_traits(self) -> None:
        """Have ``contents`` told when all is written, where lines name traits at all."""

    def format(self, batch: pa.RecordBatch) -> FormattedBatch:
        """Check and format the next batch."""
        ...

    def finish(self) -> FormattedBatch | None:
        """Lines that were held back until the last row was known."""
        ...


def checked_ids(
    ids: pa.Array, kind: IdKind, remarks: Counter[str], *, refuse_hyphens: bool
) -> Codes:
    """Which rule each ID breaks; hyphens that Adobe has not confirmed are one only where asked for.

    :param remarks: gets the count of IDs with such hyphens that are sent.
    """
    codes = id_codes(ids, kind, with_hyphens=True)
    if kind.takes_hyphens and not refuse_hyphens:
        hyphens = codes == CODE_OF[Rule.ID_HYPHEN]
        remarks[Remark.HYPHEN_IDS] += int(np.count_nonzero(hyphens))
        codes[hyphens] = 0
    return codes


def first_codes(*codes: Codes) -> Codes:
    """The first rule broken, of several checks of the same rows."""
    result = codes[0].copy()
    for more in codes[1:]:
        np.copyto(result, more, where=result == 0)
    return result


def without_long_lines(lines: pa.Array, rows: Rows, codes: Codes) -> tuple[pa.Array, Rows]:
    """Take out the lines that Adobe would discard for their length, and note it in the codes."""
    too_long = ByteView.of(lines).lengths > limits.MAX_LINE_BYTES + 1
    if not too_long.any():
        return lines, rows
    codes[rows[too_long]] = CODE_OF[Rule.LINE_TOO_LONG]
    return lines.filter(to_arrow(~too_long)), rows[~too_long]
