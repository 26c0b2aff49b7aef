"""What became of a batch that was loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.counts import ReadCounts

#: Of a report as it is kept: who has told Airflow of the batch; None when nobody has.
ANNOUNCED: Final = "announced"


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

    def to_kept_json(self) -> dict[str, Any]:
        """As it is kept with the rows: nobody has told of them yet."""
        return {**self.to_json(), ANNOUNCED: None}


def without_note(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A report that was kept, as :meth:`LoadReport.to_json` gives it."""
    return {name: value for name, value in kept.items() if name != ANNOUNCED}


def is_due(kept: Mapping[str, Any], teller: Mapping[str, Any]) -> bool:
    """Whether a task has to tell Airflow of a batch that it finds loaded.

    It has where the task that loaded it failed afterwards, and where an earlier try of this task
    told of it and failed then, so that Airflow has heard nothing.

    :param kept: the report as it is kept. One without a word of this is of a version that noted
        nothing: it counts as told.
    :param teller: the task, the same for all tries between which it was not cleared.
    """
    return ANNOUNCED in kept and kept[ANNOUNCED] in (None, teller)


def is_free(kept: Mapping[str, Any], teller: Mapping[str, Any]) -> bool:
    """Whether no other task has told of a batch; this one may have, before it was cleared."""
    if ANNOUNCED not in kept:
        return False
    note = kept[ANNOUNCED]
    return note is None or note.get("by") == teller["by"]
