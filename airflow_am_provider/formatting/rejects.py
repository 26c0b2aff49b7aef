"""The rejects file: which rows were set aside and why, without what stood in them."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from airflow_am_provider.audience_manager.personal_data import is_personal_data, mask
from airflow_am_provider.audience_manager.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_am_provider.formatting.storage import Storage

HEADER = b"row_number,reason,id_masked,id_sha256\n"


class Rejects:
    """Writes ``rejects.csv`` when there is a first row for it.

    Columns: ``row_number`` counts the rows of the source from 1; ``reason`` is the rule's
    code; ``id_masked`` tells two characters and the length; ``id_sha256`` lets who has the
    source find the row. An ID that is personal data is neither masked nor hashed: a phone
    number is found from its hash in seconds.

    :param storage: where to.
    :param path: the file, relative to the storage.
    """

    def __init__(self, storage: Storage, path: str) -> None:
        self.counts: Counter[Rule] = Counter()
        self._storage = storage
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    @property
    def total(self) -> int:
        """How many rows were set aside."""
        return sum(self.counts.values())

    def add(self, rows: Iterable[tuple[int, Rule, bytes]]) -> None:
        """Set rows aside: number of the row, the rule it broke, its ID."""
        lines = []
        for number, rule, user_id in rows:
            self.counts[rule] += 1
            lines.append(f"{number},{rule},{_hidden(rule, user_id)}\n")
        if not lines:
            return
        if self._file is None:
            self._file = self._stack.enter_context(self._storage.open_write(self._path))
            self._file.write(HEADER)
        self._file.write("".join(lines).encode())

    def close(self) -> str | None:
        """Finish the file; its path, or None when no row was set aside."""
        self._stack.close()
        return self._path if self._file is not None else None

    def discard(self) -> None:
        """Leave nothing behind."""
        self._stack.__exit__(InterruptedError, InterruptedError("discarded"), None)


def _hidden(rule: Rule, user_id: bytes) -> str:
    text = user_id.decode("utf-8", "replace")
    # The rule may be another one that the ID breaks as well.
    if rule is Rule.PERSONAL_DATA or is_personal_data(text):
        return ","
    return f"{mask(text)},{hashlib.sha256(user_id).hexdigest()}"
