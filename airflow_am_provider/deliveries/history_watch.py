"""Looks for files in the inbound history of Adobe's REST API.

Page: Adobe's API reference, ``datasources/DPID/history/inbound``: the Onboarding Status Report.

The history proves that a file was processed. Its fields stand in no public page, so its counts are
shown beside those of receipts, and never judged. It does not tell sendings of one file apart, so
it says nothing of what was sent again.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.names import DataFileName, parse_file_name
from airflow_am_provider.audience_manager.receipts.listed_names import SentNames
from airflow_am_provider.deliveries.signs import Rung, Sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_am_provider.audience_manager.api.inbound_history import InboundFile
    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.uploads.result import UploadResult


HISTORY: Final = "history entries"
_KEPT: Final = ("records_received", "stored_records")


class HistoryWatch:
    """Knows what the history says of deliveries.

    :param hook: leads to the API, where its connection names one.
    """

    def __init__(self, hook: Connection) -> None:
        self._hook = hook
        self._files: dict[int, Sequence[InboundFile]] = {}

    def look(self, deliveries: Iterable[UploadResult]) -> None:
        """Ask once for each data source.

        :raises ConfigurationError: when the API refuses.
        :raises TransientError: when it does not answer.
        """
        dpids = {dpid for delivery in deliveries for dpid in _data_sources(delivery)}
        self._files = {dpid: self._hook.inbound_history(dpid) or () for dpid in sorted(dpids)}

    def sign(self, delivery: UploadResult) -> Sign:
        """What it says of one delivery."""
        if delivery.sending > 1:
            return Sign(name=HISTORY, reached={})
        sent = SentNames.of(delivery.files)
        found: defaultdict[str, list[InboundFile]] = defaultdict(list)
        whole = set()
        for dpid in _data_sources(delivery):
            for file in self._files.get(dpid, ()):
                match = sent.match(file.file_name)
                if match is not None:
                    found[match.name].append(file)
                    if match.piece is None:
                        whole.add(match.name)
        return Sign(
            name=HISTORY,
            reached={
                name: _rung(files, delivery.files[name], is_whole=name in whole)
                for name, files in found.items()
            },
            figures=_figures(found) if found.keys() == delivery.files.keys() else {},
        )


def _rung(files: Sequence[InboundFile], lines: int, *, is_whole: bool) -> Rung:
    """Some pieces are not the file; nor is a file of which fewer records came than were sent."""
    received = [file.counts.get("records_received") for file in files]
    if None in received:
        return Rung.PROCESSED if is_whole else Rung.PICKED_UP
    return Rung.PROCESSED if sum(filter(None, received)) >= lines else Rung.PICKED_UP


def _figures(found: Mapping[str, Sequence[InboundFile]]) -> dict[str, int]:
    every = [file.counts for files in found.values() for file in files]
    return {
        name: sum(counts[name] for counts in every)
        for name in _KEPT
        if all(name in counts for counts in every)
    }


def _data_sources(delivery: UploadResult) -> set[int]:
    """Whose IDs are in its data files; the history has no ID syncs."""
    names = map(parse_file_name, delivery.files)
    return {name.dpid for name in names if isinstance(name, DataFileName)}
