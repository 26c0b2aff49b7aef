"""Lines of ``c2c_id`` files: a CRM ID and the hashed e-mails of that person.

Page: people-based-destinations-workflow-combined.md. All hashed e-mails of a CRM ID stand
on its one line, so rows of one CRM ID that follow each other are joined.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.identifiers import kind_of_data_source
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.columns.byte_columns import (
    ByteView,
    as_bytes,
    column_of,
    is_list,
    without_nulls,
)
from airflow_am_provider.formatting.columns.checks import CODE_OF, Codes, id_codes
from airflow_am_provider.formatting.lines.id_sync_lines import (
    IdSyncWriter,
    hashed,
    hashed_email_codes,
    url_codes,
)
from airflow_am_provider.formatting.lines.line_writer import (
    FormattedBatch,
    PersonalData,
    first_codes,
)

if TYPE_CHECKING:
    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncSpec


@dataclass(slots=True)
class _Person:
    """A CRM ID whose rows are being collected, from its first row on."""

    crm_id: bytes
    row: int
    emails: dict[bytes, None] = field(default_factory=dict)

    @property
    def line(self) -> bytes:
        return b"\t".join((self.crm_id, *self.emails)) + b"\n"


class HashedEmailLineWriter(IdSyncWriter):
    """Turns batches of rows into lines of a ``c2c_id`` file.

    Rows of one CRM ID must follow each other in the source. The last person of a batch is
    held back, since the next batch may go on with the same one.

    :param spec: what to write, and from which columns.
    """

    one_line_per_user = True

    def __init__(self, spec: IdSyncSpec) -> None:
        super().__init__(spec)
        self._held_back: _Person | None = None
        self._rows_before = 0

    def format(self, batch: pa.RecordBatch) -> FormattedBatch:
        """Check a batch and format the persons that end in it."""
        id_column, *email_columns = self.spec.columns
        ids = as_bytes(column_of(batch, id_column), id_column, is_id=True)
        kind = kind_of_data_source(self.spec.master_dpid)
        codes = first_codes(id_codes(ids, kind), url_codes(ids))
        personal_data = {id_column: PersonalData.among(ids, codes)}
        suppressed = np.zeros(batch.num_rows, bool)
        if self.suppression is not None:
            suppressed |= self.suppression.among(ids)
        emails: list[list[bytes]] = [[] for _ in range(batch.num_rows)]
        for column in email_columns:
            values, rows = _flattened(column_of(batch, column), column)
            if column in self.spec.hash_columns:
                values, broken = hashed(values)
            else:
                broken = hashed_email_codes(values)
                personal_data[column] = PersonalData.among(values, broken)
            if self.suppression is not None:
                suppressed[rows[self.suppression.among(values)]] = True
            for row, value, code in zip(
                rows.tolist(), values.to_pylist(), broken.tolist(), strict=True
            ):
                if code and not codes[row]:
                    codes[row] = code
                emails[row].append(value)
        codes[suppressed] = CODE_OF[Rule.SUPPRESSED]
        return self._joined(ids, emails, codes, personal_data)

    def finish(self) -> FormattedBatch | None:
        """The last person."""
        if self._held_back is None:
            return None
        last, self._held_back = self._held_back, None
        return self._batch([last], np.empty(0, np.uint8), pa.array([], pa.binary()), {})

    def _joined(
        self,
        ids: pa.Array,
        emails: list[list[bytes]],
        codes: Codes,
        personal_data: dict[str, PersonalData],
    ) -> FormattedBatch:
        finished: list[_Person] = []
        for row, crm_id in enumerate(ids.to_pylist()):
            if codes[row]:
                continue
            before = self._held_back
            codes[row] = self._add(self._rows_before + row, crm_id, emails[row])
            if before is not None and before is not self._held_back:
                finished.append(before)
        return self._batch(finished, codes, ids, personal_data)

    def _batch(
        self,
        persons: list[_Person],
        codes: Codes,
        ids: pa.Array,
        personal_data: dict[str, PersonalData],
    ) -> FormattedBatch:
        lines = pa.array([person.line for person in persons], pa.binary())
        rows = np.array([person.row for person in persons], np.int64) - self._rows_before
        self._rows_before += len(codes)
        return FormattedBatch(lines, rows, codes, ids, personal_data)

    def _add(self, row: int, crm_id: bytes, emails: list[bytes]) -> int:
        """Add a row to its person; return the rule it breaks, or 0."""
        if not emails:
            return CODE_OF[Rule.EMPTY_ID]
        person = self._held_back
        if person is None or person.crm_id != crm_id:
            person = _Person(crm_id, row)
        together = {**person.emails, **dict.fromkeys(emails)}
        if len(together) == len(person.emails):
            return CODE_OF[Rule.DUPLICATE_LINE]
        if len(together) > limits.MAX_HASHED_EMAILS_PER_CRM_ID:
            return CODE_OF[Rule.TOO_MANY_HASHED_EMAILS]
        if len(crm_id) + sum(1 + len(email) for email in together) > limits.MAX_LINE_BYTES:
            return CODE_OF[Rule.LINE_TOO_LONG]
        person.emails = together
        self._held_back = person
        return 0


def _flattened(array: pa.Array, name: str) -> tuple[pa.Array, Rows]:
    """All values that are not null and not empty, and the row of each."""
    if is_list(array):
        lengths = np.asarray(pc.list_value_length(array).fill_null(0))
        rows = np.repeat(np.arange(len(array)), lengths)
        values = as_bytes(array.flatten(), name, is_id=True)
    else:
        rows = np.arange(len(array))
        values = as_bytes(array, name, is_id=True)
    filled = without_nulls(values)
    said = ByteView.of(filled).lengths > 0
    return filled.filter(to_arrow(said)), rows[said]
