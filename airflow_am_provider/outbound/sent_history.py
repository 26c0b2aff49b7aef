"""What Audience Manager says that it sent, held against what lies in the inbox.

The outbound history of Adobe's REST API (api/rest-api-main/aam-api-getting-started.md) is an
independent word: a batch of which nothing has arrived is seen nowhere else.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.outbound.batches import day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date

    from airflow_am_provider.audience_manager.api.answers import OutboundTransfer
    from airflow_am_provider.outbound.batches import Batch, NameForm

Ask: TypeAlias = "Callable[[datetime, datetime], Sequence[OutboundTransfer]]"

#: Adobe keeps files for 8 days (faq/faq-privacy.md).
KEPT: Final = timedelta(days=8)
# Batches come up to a day late (reporting-file-transfer-timeframe.md).
_LATE: Final = timedelta(days=2)
#: How often it is asked, seconds.
ASK_EVERY_S: Final = 3600.0


class SentHistory:
    """The history of one destination; asked again after an hour at the earliest.

    :param ask: gives what was sent between two moments.
    :param form: how the account's files are named.
    :param day: only batches made on this day in UTC; None for all of the last eight days.
    """

    def __init__(self, ask: Ask, form: NameForm, day: date | None = None) -> None:
        self._ask = ask
        self._form = form
        self._day = day
        self._known: Sequence[OutboundTransfer] = ()
        self._asked_at: float | None = None
        self._problem = ""

    def notes(self, batches: Sequence[Batch], names: Collection[str]) -> list[str]:
        """What was sent and is not here, in sentences.

        :param batches: those that were seen, complete or not.
        :param names: the names of all files that lie in the inbox.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        """
        self._refresh()
        if self._problem:
            return [self._problem]
        here = {batch.batch_id for batch in batches} | set(names)
        here |= {file.path.rpartition("/")[2] for batch in batches for file in batch.files}
        return [
            _sentence(transfer)
            for transfer in self._known
            if self._is_meant(transfer) and not self._names_of(transfer) & here
        ]

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._asked_at is not None and now - self._asked_at < ASK_EVERY_S:
            return
        self._asked_at = now
        end = datetime.now(UTC)
        start = end - KEPT
        if self._day is not None:
            start = datetime(self._day.year, self._day.month, self._day.day, tzinfo=UTC)
            end = start + _LATE
        try:
            self._known, self._problem = self._ask(start, end), ""
        except TransientError as error:
            # What has arrived can be loaded all the same.
            self._problem = f"Audience Manager's outbound history is not known: {error}"

    def _names_of(self, transfer: OutboundTransfer) -> set[str]:
        """What a file that was sent, or its batch, can be known by."""
        name = _base_name(transfer)
        try:
            return {name, self._form.parse(name).root}
        except DataError:
            return {name, name.partition(".")[0]}

    def _is_meant(self, transfer: OutboundTransfer) -> bool:
        name = _base_name(transfer)
        if not name or self._day is None:
            return bool(name)
        try:
            made = day_of(self._form.parse(name))
        except DataError:
            return True
        return made in (None, self._day)


def _base_name(transfer: OutboundTransfer) -> str:
    return transfer.file_name.rpartition("/")[2]


def _sentence(transfer: OutboundTransfer) -> str:
    name = printable(_base_name(transfer))
    when = ""
    if transfer.ended_at or transfer.started_at:
        moment = datetime.fromtimestamp(transfer.ended_at or transfer.started_at or 0, UTC)
        when = f" at {moment:%Y-%m-%d %H:%M} UTC"
    if transfer.success is False:
        return f"{name}: Audience Manager's outbound history says that sending it failed{when}"
    return (
        f"{name}: Audience Manager's outbound history says that it was sent{when}, and it is not "
        f"here"
    )
