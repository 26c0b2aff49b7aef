"""The rejects file: which rows were set aside and why, without what stood in them."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager.personal_data import is_personal_data, mask
from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.formatting.columns.arrow import text_scalar, texts_array, to_arrow
from airflow_am_provider.formatting.columns.byte_columns import ByteView, with_rows, without_nulls
from airflow_am_provider.formatting.columns.checks import CODE_OF, rule_of
from airflow_am_provider.formatting.columns.checks import RULES as BY_CODE
from airflow_am_provider.formatting.columns.lookups import joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.formatting.columns.byte_columns import Marks, Rows
    from airflow_am_provider.formatting.columns.checks import Codes
    from airflow_am_provider.storage.folder import Folder

HEADER = b"row_number,reason,id_masked,id_sha256\n"
#: Where nothing is lost with a row, as with a duplicate, the IDs of so many are told for each
#: reason. Masking and hashing one takes longer than all else that is done for a row.
MOST_IDS_OF_A_REASON: Final = 100_000
_NOTHING: Final = texts_array([b","])
_REASONS: Final = texts_array([rule.value.encode() for rule in BY_CODE])


class Rejects:
    """Writes ``rejects.csv`` when there is a first row for it.

    Columns: ``row_number`` counts the rows of the source from 1; ``reason`` is the rule's
    code; ``id_masked`` tells two characters and the length; ``id_sha256`` lets who has the
    source find the row. An ID that is personal data is neither masked nor hashed: a phone
    number is found from its hash in seconds.

    :param storage: where to.
    :param path: the file, relative to the storage.
    """

    def __init__(self, storage: Folder, path: str) -> None:
        self.counts: Counter[Rule] = Counter()
        self._storage = storage
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    @property
    def total(self) -> int:
        """How many rows were set aside."""
        return sum(self.counts.values())

    def add(self, numbers: Rows, codes: Codes, ids_of: Callable[[Marks], pa.Array]) -> None:
        """Set rows aside.

        :param numbers: of the rows, from 1.
        :param codes: the rule that each broke.
        :param ids_of: gives the IDs of those that are marked, a ``binary`` array.
        """
        if not len(numbers):
            return
        told = np.ones(len(codes), bool)
        for code in np.unique(codes).tolist():
            rule = rule_of(code)
            here = np.flatnonzero(codes == code)
            if RULES[rule].loses_nothing:
                told[here[max(0, MOST_IDS_OF_A_REASON - self.counts[rule]) :]] = False
            self.counts[rule] += len(here)
        if self._file is None:
            self._file = self._stack.enter_context(self._storage.open_write(self._path))
            self._file.write(HEADER)
        hidden = _NOTHING.take(to_arrow(np.zeros(len(codes), np.int64)))
        if told.any():
            hidden = with_rows(hidden, told, _hidden(codes[told], ids_of(told)))
        reasons = _REASONS.take(to_arrow(codes.astype(np.int64) - 1))
        comma = text_scalar(b",")
        rows = to_arrow(numbers).cast(pa.string()).cast(pa.binary())
        lines = joined(rows, comma, reasons, comma, hidden, text_scalar(b"\n"))
        self._file.write(ByteView.of(lines).data.data)

    def close(self) -> str | None:
        """Finish the file; its path, or None when no row was set aside."""
        self._stack.close()
        return self._path if self._file is not None else None

    def discard(self) -> None:
        """Delete what was written."""
        self._stack.__exit__(InterruptedError, InterruptedError("discarded"), None)


def _hidden(codes: Codes, ids: pa.Array) -> pa.Array:
    """``id_masked,id_sha256`` of each row; the same ID is worked on once."""
    encoded = without_nulls(ids).dictionary_encode()
    texts = texts_array([_masked_and_hashed(one) for one in encoded.dictionary.to_pylist()])
    hidden = texts.take(encoded.indices)
    # The rule may be another one that the ID breaks as well.
    personal = codes == CODE_OF[Rule.PERSONAL_DATA]
    if personal.any():
        nothing = _NOTHING.take(to_arrow(np.zeros(np.count_nonzero(personal), np.int64)))
        hidden = with_rows(hidden, personal, nothing)
    return hidden


def _masked_and_hashed(user_id: bytes) -> bytes:
    text = user_id.decode("utf-8", "replace")
    if is_personal_data(text):
        return b","
    return f"{mask(text)},{hashlib.sha256(user_id).hexdigest()}".encode()
