"""What became of a batch that was loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.counts import ReadCounts


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of a batch.

    :param batch_id: the batch.
    :param destination: whose it is; 0 where its name does not say.
    :param version: of its files; the same batch sent again has another.
    :param url: where its rows lie now.
    :param counts: lines read = lines loaded + lines set aside.
    """

    batch_id: str
    destination: int
    version: str
    url: str
    counts: ReadCounts

    @classmethod
    def of(cls, batch: Batch, url: str, counts: ReadCounts) -> LoadReport:
        """The report of a batch.

        :param batch: what was loaded.
        :param url: where its rows lie now.
        :param counts: its lines.
        """
        return cls(
            batch_id=batch.batch_id,
            destination=batch.destination,
            version=batch.version,
            url=url,
            counts=counts,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        counts = self.counts
        return {
            "batch": self.batch_id,
            "destination": self.destination,
            "version": self.version,
            "url": self.url,
            "lines_read": counts.lines_read,
            "rows_loaded": counts.lines_loaded,
            "lines_set_aside": counts.lines_set_aside,
            "set_aside": dict(counts.set_aside),
            "header_lines": counts.header_lines,
            "files_without_checksum": counts.unchecked,
        }
