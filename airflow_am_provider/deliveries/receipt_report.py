"""What became of deliveries: for the log, for staging and for the tasks that come after."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.reconciliation import Verdict
from airflow_am_provider.audience_manager.receipts.thresholds import (
    breaches,
    check_limits,
    unjudged,
)
from airflow_am_provider.deliveries.connection import MAKE_ANEW
from airflow_am_provider.deliveries.figures import COUNTS, TITLES, match_rate, share_in_words
from airflow_am_provider.deliveries.past_rates import doubts
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.signs import disagreements
from airflow_am_provider.deliveries.uploads.journal import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_am_provider.deliveries.acknowledgement import (
        AcknowledgementStatus,
        ReceiptWatch,
    )
    from airflow_am_provider.deliveries.connection import Connection
    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.deliveries.targets import Targets

_logger = logging.getLogger(__name__)
ASSUMED: Final = (
    "taken for processed, as the fixed wait is over; nothing shows that Audience Manager has read "
    "it"
)
_TITLES = (
    "delivery",
    "files",
    *(TITLES[name] for name in COUNTS),
    "no match",
    TITLES["match_rate"],
    "verdict",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptReport:
    """One delivery's status, judged by limits.

    :param status: what is known.
    :param problems: limits gone over, and records that are wanting or too many, in sentences.
    :param open_questions: limits that receipts say nothing about, in sentences.
    :param disagreements: where signs do not tell the same, in sentences.
    :param doubts: what is unlike the past of the target, in sentences.
    :param concluded_at: when it was judged, ISO 8601 in UTC.
    :param limits: those that it was judged by.
    :param timeout_s: how long it was waited for at most; None where nothing says.
    :param newly_acknowledged: the delivery, where writing this down was what acknowledged it.
    """

    status: AcknowledgementStatus
    problems: tuple[str, ...]
    open_questions: tuple[str, ...]
    disagreements: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    concluded_at: str
    limits: Mapping[str, int | float] = field(default_factory=dict)
    timeout_s: float | None = None
    newly_acknowledged: DeliveryEntry | None = None

    @classmethod
    def of(
        cls,
        status: AcknowledgementStatus,
        limits: Mapping[str, int | float],
        targets: Targets | None = None,
        timeout_s: float | None = None,
    ) -> ReceiptReport:
        """Judge a delivery's status.

        :param limits: see
            :func:`~airflow_am_provider.audience_manager.receipts.thresholds.check_limits`.
        :param targets: know the past; None where it does not count.
        :param timeout_s: how long it was waited for at most.
        """
        found = status.reconciliation
        problems = [str(breach) for breach in breaches(found, limits)]
        if found.verdict is Verdict.DISCREPANT:
            problems.insert(0, _discrepancy(status))
        silent = unjudged(found, limits) if found.receipt_digests else ()
        return cls(
            status=status,
            problems=tuple(problems),
            open_questions=silent,
            disagreements=tuple(disagreements(status.signs)),
            doubts=tuple(doubts(status, targets)) if targets is not None else (),
            concluded_at=timestamp(datetime.now(UTC)),
            limits=dict(limits),
            timeout_s=timeout_s,
        )

    @property
    def warnings(self) -> list[str]:
        """What deserves a look, though no limit is broken, in sentences."""
        return [*self.status.reconciliation.warnings, *self.doubts]

    @property
    def problem(self) -> str:
        """All problems in one sentence that names the delivery."""
        return f"delivery {self.status.delivery.delivery_id}: {'; '.join(self.problems)}"

    def to_json(self) -> dict[str, Any]:
        """The reconciliation as plain JSON, with the delivery and how it was judged."""
        delivery = self.status.delivery
        return {
            "delivery_id": delivery.delivery_id,
            "destination": delivery.destination,
            "sent_at": delivery.document["sent_at"],
            "sending": delivery.sending,
            "concluded_at": self.concluded_at,
            "window": delivery.document.get("window"),
            "acknowledged_by": str(self.status.acknowledged_by),
            "acknowledged": not self.status.outstanding,
            "assumed": self.status.is_assumed,
            "signs": [sign.to_json() for sign in self.status.signs],
            "disagreements": list(self.disagreements),
            "marked": list(self.status.marked),
            "problems": list(self.problems),
            "open_questions": list(self.open_questions),
            "limits": dict(self.limits),
            "timeout_s": self.timeout_s,
            **self.status.reconciliation.to_json(),
            "warnings": self.warnings,
        }


def judge_and_record(
    hook: Connection,
    statuses: Iterable[AcknowledgementStatus],
    limits: object,
    *,
    timeout_s: float | None = None,
) -> list[ReceiptReport]:
    """Judge deliveries by limits, log the judgements, and write them beside the manifests.

    :param hook: leads to the staging location.
    :param limits: as the user gave them; see :func:`read_limits`.
    :param timeout_s: how long was waited at most.
    """
    checked = read_limits(limits)
    targets = hook.targets()
    reports = [ReceiptReport.of(status, checked, targets, timeout_s) for status in statuses]
    log_reports(reports)
    return save_reports(hook, reports)


def note_what_came(watch: ReceiptWatch, statuses: Iterable[AcknowledgementStatus]) -> None:
    """Write down what signs say of deliveries that are still waited for, whenever that changes.

    :param watch: has looked; knows what was written down before, and where.
    :param statuses: what it has seen.
    """
    for status in statuses:
        delivery = status.delivery
        if not status.outstanding or not any(sign.reached for sign in status.signs):
            continue
        known = {
            "signs": [sign.to_json() for sign in status.signs],
            "receipt_digests": list(status.reconciliation.receipt_digests),
        }
        if watch.written.get(delivery.delivery_id) != known:
            record = delivery.record(watch.hook.targets())
            before = {} if record is None else record.reconciliation or {}
            if record is not None and {name: before.get(name) for name in known} != known:
                save_reports(watch.hook, [ReceiptReport.of(status, {})])
            watch.written[delivery.delivery_id] = known


def log_reports(reports: Sequence[ReceiptReport]) -> None:
    """Log a table, and below it what is known and what is not."""
    _logger.info("Receipts:\n%s", table(reports))
    for report in reports:
        delivery = report.status.delivery.delivery_id
        for sign in report.status.signs:
            _logger.info("%s: %s", delivery, sign.describe(report.status.delivery.files))
        for sentence in (*report.status.reconciliation.findings, *report.open_questions):
            _logger.info("%s: %s", delivery, sentence)
        for sentence in report.disagreements:
            # Markers are set twice a day, and often later than the mail comes.
            _logger.info("%s: signs disagree: %s", delivery, sentence)
        if report.status.is_assumed:
            _logger.warning("%s: %s", delivery, ASSUMED)
        for problem in (*report.warnings, *report.problems):
            _logger.warning("%s: %s", delivery, problem)


def save_reports(hook: Connection, reports: Iterable[ReceiptReport]) -> list[ReceiptReport]:
    """Write each ``reconciliation.json`` beside its manifest.

    :return: the reports, each with the delivery where it is newly acknowledged.
    :raises ConfigurationError: when the connection has another staging location.
    """
    targets = hook.targets()
    staging, records = targets.staging, DeliveryRecords(targets)
    saved = []
    for report in reports:
        delivery = report.status.delivery
        record = delivery.record(targets)
        if record is None or delivery.staging != staging.url:
            raise ConfigurationError(
                f"delivery {delivery.delivery_id} was staged at {delivery.staging}, but the "
                f"connection {hook.audience_manager_conn_id!r} has the staging location "
                f"{staging.url}. {MAKE_ANEW}"
            )
        newly = records.record_reconciliation(record, delivery.sending, report.to_json())
        saved.append(replace(report, newly_acknowledged=newly))
    return saved


def table(reports: Iterable[ReceiptReport]) -> str:
    """A line for each delivery; totals shared with others are marked by a ``≤``."""
    rows = [_TITLES]
    for report in reports:
        found = report.status.reconciliation
        rows.append(
            (
                report.status.delivery.delivery_id,
                f"{len(found.files) - len(report.status.unproven)}/{len(found.files)}",
                f"{report.status.delivery.rows_read:,}",
                f"{report.status.delivery.rows_written:,}",
                f"{report.status.delivery.rows_set_aside:,}",
                f"{found.lines_sent:,}",
                _count(report, "records_received"),
                _count(report, "stored_records"),
                _no_match(report),
                _match_rate(report),
                str(found.verdict),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def read_limits(given: object) -> dict[str, int | float]:
    """Read limits, numbers in text among them, as templates give them.

    :raises ConfigurationError: when a name is no count, or a limit no number.
    """
    if not isinstance(given, dict):
        raise ConfigurationError(
            f"limits: counts with their limits were expected, such as {{'format_errors': 0}}, not "
            f"{type(given).__name__}"
        )
    limits = {name: _number(limit) for name, limit in given.items() if limit not in (None, "")}
    check_limits(limits)
    return limits


def _number(limit: Any) -> Any:
    if not isinstance(limit, str):
        return limit
    for kind in (int, float):
        try:
            return kind(limit)
        except ValueError:
            continue
    return limit


def _count(report: ReceiptReport, name: str) -> str:
    found = report.status.reconciliation
    if name in found.counts:
        return f"{found.counts[name]:,}"
    shared = found.shared_counts.get(name)
    return "not known" if shared is None else f"≤ {shared:,}"


def _no_match(report: ReceiptReport) -> str:
    """Records without a matching AAM ID, and whether they are lost."""
    found = report.status.reconciliation
    if found.no_match is None:
        return "not known"
    return f"{'' if found.exact else '≤ '}{found.no_match}"


def _match_rate(report: ReceiptReport) -> str:
    found = report.status.reconciliation.counts
    return share_in_words(match_rate(found.get("records_received"), found.get("stored_records")))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *numbers, last = row
    aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=False)]
    return "  ".join([first.ljust(widths[0]), *aligned, last])


def _discrepancy(status: AcknowledgementStatus) -> str:
    found = status.reconciliation
    received = (found.counts or found.shared_counts).get("records_received")
    if received is None or received == found.lines_sent or (found.differences and not found.exact):
        return "; ".join(found.differences)
    shared = "" if found.exact else " together with files of other deliveries"
    return f"{found.lines_sent:,} lines were sent, and {received:,} records received{shared}"
