"""Reads one file with the contract's reader and sorts lost lines under the receipt's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.files import FileReader
from airflow_am_provider.audience_manager.identifiers import AAM_UUID
from airflow_am_provider.audience_manager.names import DataFileName, IdSyncFileName
from airflow_am_provider.audience_manager.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.audience_manager.lines import DataLine, IdSyncLine
    from airflow_am_provider.sandbox.totals import Totals


class CountingReader(FileReader):
    """A reader that counts each lost line once: as an invalid ID, or else as a format error.

    :param name: the parsed name of the file.
    :param totals: what is counted into.
    """

    def __init__(self, name: DataFileName | IdSyncFileName, totals: Totals) -> None:
        super().__init__(name)
        self._totals = totals
        self._raw = b""
        self._last_invalid = 0

    def records(self, raw_lines: Iterable[bytes]) -> Iterator[DataLine | IdSyncLine]:
        """Go through the file and yield the lines that Audience Manager would take.

        :param raw_lines: the lines with their newlines.
        """
        taken = 0
        for line in self.lines(self._watched(raw_lines)):
            taken += 1
            yield line
        invalid_ids = self._totals.invalid_aam_id + self._totals.invalid_device_id
        self._totals.records_received = self.line_count
        self._totals.format_errors = self.line_count - taken - invalid_ids

    def report(self, rule: Rule, *, line: int | None = None, detail: str = "") -> None:
        """Note a finding, and whether it is one of those that a receipt counts by themselves."""
        super().report(rule, line=line, detail=detail)
        if rule is not Rule.ID_FORM or line is None or line == self._last_invalid:
            return
        self._last_invalid = line
        if self._has_invalid_aam_uuid():
            self._totals.invalid_aam_id += 1
        else:
            self._totals.invalid_device_id += 1

    def _watched(self, raw_lines: Iterable[bytes]) -> Iterator[bytes]:
        for self._raw in raw_lines:
            yield self._raw

    def _has_invalid_aam_uuid(self) -> bool:
        # A data file is never of AAM UUIDs: 0 is no data source there (inbound-s3-filenames.md).
        if isinstance(self.name, DataFileName):
            return False
        ids = self._raw.decode().rstrip("\r\n").split("\t")
        return any(
            dpid == AAM_UUID.dpid and not AAM_UUID.is_valid(value)
            for dpid, value in zip(self.name.columns, ids, strict=False)
        )
