"""Waits for what acknowledges deliveries: one round at a time, for sensor and trigger alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.receipts.reconciliation import Reconciliation, reconcile
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.connection import MAKE_ANEW
from airflow_am_provider.deliveries.fixed_wait import ONE_DAY, FixedWait
from airflow_am_provider.deliveries.history_watch import HistoryWatch
from airflow_am_provider.deliveries.looking_note import Looking
from airflow_am_provider.deliveries.marker_watch import MarkerWatch, rung_of_markers
from airflow_am_provider.deliveries.receipt_intake import ReceiptIntake
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.signs import AcknowledgedBy, Rung, Sign, reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.uploads.result import UploadResult

_logger = logging.getLogger(__name__)


RECEIPTS: Final = "receipts"
MARKERS: Final = "markers"
_NAMED: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AcknowledgementStatus:
    """What is known of one delivery.

    :param delivery: the delivery.
    :param reconciliation: what receipts say of it.
    :param signs: what each sign says of its files.
    :param acknowledged_by: what counts.
    :param left: of a fixed wait, how long it still is; None without one.
    """

    delivery: UploadResult
    reconciliation: Reconciliation
    signs: tuple[Sign, ...]
    acknowledged_by: AcknowledgedBy
    left: timedelta | None = None

    @property
    def marked(self) -> tuple[str, ...]:
        """Its files that have a marker."""
        marked = {name for sign in self.signs if sign.name == MARKERS for name in sign.reached}
        return tuple(name for name in self.delivery.files if name in marked)

    @property
    def is_over(self) -> bool:
        """Whether a fixed wait is."""
        return self.left is not None and self.left <= timedelta(0)

    @property
    def unproven(self) -> tuple[str, ...]:
        """Files of which no sign says what counts."""
        best, wanted = reached(self.signs), self.acknowledged_by.rung
        return tuple(
            name for name in self.delivery.files if name not in best or best[name] < wanted
        )

    @property
    def outstanding(self) -> tuple[str, ...]:
        """Files that are not acknowledged yet."""
        return () if self.is_over else self.unproven

    @property
    def is_assumed(self) -> bool:
        """Whether it counts as processed for no other reason than that time has passed."""
        return self.is_over and bool(self.unproven)

    def __str__(self) -> str:
        said = [sign.describe(self.delivery.files) for sign in self.signs]
        missing = self.outstanding
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        if self.is_assumed:
            said.append("taken for processed, as the fixed wait is over and nothing says otherwise")
        elif missing:
            said += self._so_far()
            in_part = self.reconciliation.in_part
            names = [f"{one} (more pieces)" if one in in_part else one for one in missing[:3]]
            said.append(f"waiting for {', '.join(names)}{more}")
            if self.left is not None:
                said.append("or until the fixed wait is over")
        else:
            said.append("acknowledged")
        return f"delivery {self.delivery.delivery_id}: {'; '.join(said)}"

    def _so_far(self) -> Iterator[str]:
        """How much has come by receipts, and how much has not."""
        found = self.reconciliation
        received = (found.counts or found.shared_counts).get("records_received")
        if not found.receipts or received is None:
            return
        lines = f"{counted(found.lines_sent, 'line')} sent"
        if found.exact:
            left = max(found.lines_sent - received, 0)
            yield f"{counted(received, 'record')} of {lines} came back so far, {left:,} did not"
        else:
            yield (
                f"{counted(received, 'record')} came back so far, those of other deliveries among "
                f"them, of {lines}"
            )


class ReceiptWatch:
    """Looks for all signs of some deliveries, fetching each message once.

    Every sign that the connection leads to is looked at, whatever counts, so that those which
    disagree are seen side by side. One that is not needed and cannot be had is left out.
    ``hook`` is the connection, ``deliveries`` is what was sent, ``marked`` are the files whose
    markers were seen so far, ``written`` is what was written down of each delivery last, by
    :func:`~airflow_am_provider.deliveries.receipt_report.note_what_came`.

    Another sign is one more method that gives a :class:`~airflow_am_provider.deliveries.signs.Sign`
    of a delivery, named in ``_signs``.

    :param hook: leads to the mailbox, the folder of raw mails and the destination.
    :param deliveries: what was sent.
    :param acknowledged_by: what counts.
    :param since: older messages are not looked at.
    :param marked: files whose markers were seen before.
    :param wait: how long a fixed wait is.
    :raises ConfigurationError: when the connection leads to nothing that can show what counts, or
        the deliveries went to another destination than the connection's.
    """

    def __init__(
        self,
        hook: Connection,
        deliveries: Sequence[UploadResult],
        *,
        acknowledged_by: AcknowledgedBy,
        since: datetime,
        marked: Iterable[str] = (),
        wait: timedelta = ONE_DAY,
    ) -> None:
        self.hook = hook
        self.deliveries = deliveries
        self._acknowledged_by = acknowledged_by
        self._since = since
        self._sources = hook.receipt_sources()
        self._markers: MarkerWatch | None = MarkerWatch(hook, marked)
        self._history = HistoryWatch(hook) if hook.settings.api_conn_id else None
        is_fixed = acknowledged_by is AcknowledgedBy.WAIT
        self._wait = FixedWait(hook.targets(), wait) if is_fixed else None
        self._seen: set[str] = set()
        self._noted: set[str] = set()
        self.written: dict[str, object] = {}
        self.marked = frozenset(marked)
        self._intake = ReceiptIntake(hook.settings, deliveries)
        self._check()

    def look(self) -> list[AcknowledgementStatus]:
        """Look once, and tell what is known of each delivery by now.

        :raises ConfigurationError: when a source refuses.
        :raises TransientError: when a source fails; what was read before is kept.
        """
        for source in self._sources:
            for mail in source.mails(self._since, seen=self._seen):
                self._intake.take(mail)
                # Last, so that a message is read again if this round is ended by force.
                self._seen.add(mail.identity)
        self._look_for_markers()
        self._look_into_history()
        return [self._status(delivery) for delivery in self.deliveries]

    def known(self, statuses: Iterable[AcknowledgementStatus]) -> str:
        """What is known by now, in one line for the log and for the message when time is up."""
        refusals = self._intake.refusals
        return "; ".join([*map(str, statuses), *([refusals] if refusals else [])])

    def waited_for(self) -> Looking:
        """What is waited for, where it is looked for since when, and what to check meanwhile."""
        word = str(self._acknowledged_by).replace("_", " ")
        sent = ", ".join(
            f"delivery {one.delivery_id} ({counted(len(one.files), 'file')}, sent to "
            f"{one.destination} at {one.sent_at:%Y-%m-%d %H:%M} UTC)"
            for one in self.deliveries[:_NAMED]
        )
        more = len(self.deliveries) - _NAMED
        rest = f" and {counted(more, 'delivery', 'deliveries')} more" if more > 0 else ""
        places = [
            f"{source.place} since {self._since:%Y-%m-%d %H:%M} UTC" for source in self._sources
        ]
        if self._markers is not None:
            places.append(f"{self.hook.destination_url} for .processed markers")
        if self._history is not None:
            places.append("the inbound history of Adobe's REST API")
        what = (
            f"the fixed wait of {self._wait.wait} to end for {sent}{rest}, or a sign before it"
            if self._wait is not None
            else f"a sign that {sent}{rest} was {word}"
        )
        first = self.deliveries[0].delivery_id
        return Looking(
            what=what,
            places=tuple(places),
            since=self._since,
            check=(
                f"do Adobe's mails come in there, and what does airflow-am deliveries show {first} "
                f"--conn-id {self.hook.audience_manager_conn_id} say"
            ),
        )

    def _status(self, delivery: UploadResult) -> AcknowledgementStatus:
        others = [name for other in self.deliveries for name in other.files]
        found = reconcile(
            delivery.files,
            self._intake.receipts_of(delivery),
            rows_read=delivery.rows_read,
            rows_written=delivery.rows_written,
            rows_set_aside=delivery.rows_set_aside,
            other_files=[name for name in others if name not in delivery.files],
            cross_device=self.hook.settings.cross_device,
        )
        return AcknowledgementStatus(
            delivery=delivery,
            reconciliation=found,
            signs=tuple(self._signs(delivery, found)),
            acknowledged_by=self._acknowledged_by,
            left=None if self._wait is None else self._wait.left(delivery),
        )

    def _signs(self, delivery: UploadResult, found: Reconciliation) -> Iterator[Sign]:
        if self._sources:
            yield receipts_sign(found)
        if self._markers is not None:
            rung = self._markers.rung
            marked = {name: rung for name in delivery.files if name in self.marked}
            yield Sign(name=MARKERS, reached=marked)
        if self._history is not None:
            yield self._history.sign(delivery)

    def _look_into_history(self) -> None:
        if self._history is None:
            return
        try:
            self._history.look(self.deliveries)
        except (ConfigurationError, TransientError) as error:
            is_needed = self._needs_history
            if is_needed and not (self._sources or self._needs_markers):
                raise
            tell = _logger.warning if is_needed else _logger.info
            tell("Going without the inbound history: %s", error)
            if isinstance(error, ConfigurationError):
                self._history = None

    @property
    def _needs_history(self) -> bool:
        """Whether the history can show what counts."""
        is_enough = self._acknowledged_by.rung <= Rung.PROCESSED
        return self._wait is None and self._history is not None and is_enough

    def _look_for_markers(self) -> None:
        if self._markers is None:
            return
        is_needed = self._needs_markers
        try:
            self.marked = self._markers.look(self.deliveries)
        except (ConfigurationError, TransientError) as error:
            if is_needed and (isinstance(error, TransientError) or not self._sources):
                raise
            tell = _logger.warning if is_needed else _logger.info
            tell(
                "Going by receipts alone: %s" if self._sources else "Going by time alone: %s", error
            )
            self._markers = None
            return
        self._note_picked_up()

    @property
    def _needs_markers(self) -> bool:
        """Whether a marker can show what counts."""
        return (
            self._wait is None
            and self._markers is not None
            and self._markers.rung >= self._acknowledged_by.rung
        )

    def _note_picked_up(self) -> None:
        """Keep it in the record: markers go away, and receipts come later."""
        for delivery in self.deliveries:
            if delivery.delivery_id not in self._noted and self.marked.issuperset(delivery.files):
                targets = self.hook.targets()
                record = delivery.record(targets)
                if record is not None:
                    DeliveryRecords(targets).picked_up(record, delivery.sending)
                self._noted.add(delivery.delivery_id)

    def _check(self) -> None:
        conn_id = self.hook.audience_manager_conn_id
        if not (self._sources or self._needs_markers or self._needs_history or self._wait):
            raise ConfigurationError(
                f"connection {conn_id!r}: neither receipts_imap_conn_id nor receipts_location says "
                f"where receipts come in, and nothing else can show that files were "
                f"{self._acknowledged_by}; fill in one, or go by less: acknowledged_by="
                f"{self._lower()}"
            )
        for delivery in self.deliveries:
            if delivery.destination != self.hook.destination_url:
                raise ConfigurationError(
                    f"delivery {delivery.delivery_id} was sent to {delivery.destination}, but the "
                    f"connection {conn_id!r} leads to {self.hook.destination_url}. "
                    f"{MAKE_ANEW}"
                )

    def _lower(self) -> str:
        """What the connection can show without receipts, and what needs no sign."""
        shown = rung_of_markers(self.hook.settings.transport).word
        return f"{shown!r} or {str(AcknowledgedBy.WAIT)!r}"


def receipts_sign(found: Reconciliation) -> Sign:
    """What receipts say, as a sign."""
    in_part = dict.fromkeys(found.in_part, Rung.PICKED_UP)
    covered = {
        name: Rung.PROCESSED if name in found.uncounted else Rung.COUNTED for name in found.covered
    }
    kept = ("records_received", "stored_records")
    return Sign(
        name=RECEIPTS,
        reached={**in_part, **covered},
        figures={name: found.counts[name] for name in kept if name in found.counts},
    )
