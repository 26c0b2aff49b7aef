"""What became of deliveries: for the log, for staging and for the tasks that come after."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.reconciliation import Verdict
from airflow_am_provider.audience_manager.thresholds import breaches, check_limits, unjudged
from airflow_am_provider.hooks.connections import MAKE_ANEW
from airflow_am_provider.stores.deliveries import DeliveryRecords
from airflow_am_provider.stores.sent_book import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.hooks.receipts import Standing

_logger = logging.getLogger(__name__)
_TITLES = (
    "delivery",
    "files",
    "rows read",
    "written",
    "set aside",
    "lines sent",
    "received",
    "stored",
    "verdict",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One delivery's standing, judged by limits.

    :param standing: what is known.
    :param problems: limits gone over, and records that are wanting or too many, in sentences.
    :param open_questions: limits that receipts say nothing about, in sentences.
    """

    standing: Standing
    problems: tuple[str, ...]
    open_questions: tuple[str, ...]

    @classmethod
    def of(cls, standing: Standing, limits: Mapping[str, int | float]) -> Report:
        """Judge a standing.

        :param limits: see :func:`~airflow_am_provider.audience_manager.thresholds.check_limits`.
        """
        found = standing.reconciliation
        problems = [str(breach) for breach in breaches(found, limits)]
        if found.verdict is Verdict.DISCREPANT:
            problems.insert(0, _discrepancy(standing))
        silent = unjudged(found, limits) if found.receipt_digests else ()
        return cls(standing=standing, problems=tuple(problems), open_questions=silent)

    @property
    def problem(self) -> str:
        """All problems in one sentence that names the delivery."""
        return f"delivery {self.standing.delivery.delivery_id}: {'; '.join(self.problems)}"

    def to_json(self) -> dict[str, Any]:
        """The reconciliation as plain JSON, with the delivery and how it was judged."""
        delivery = self.standing.delivery
        return {
            "delivery_id": delivery.delivery_id,
            "destination": delivery.destination,
            "sent_at": delivery.document["sent_at"],
            "sending": delivery.sending,
            "concluded_at": timestamp(datetime.now(UTC)),
            "window": delivery.document.get("window"),
            "acknowledged_by": str(self.standing.acknowledged_by),
            "acknowledged": not self.standing.outstanding,
            "marked": list(self.standing.marked),
            "problems": list(self.problems),
            "open_questions": list(self.open_questions),
            **self.standing.reconciliation.to_json(),
        }


def conclude(
    hook: AudienceManagerHook, standings: Iterable[Standing], limits: object
) -> list[Report]:
    """Judge standings, log them, and write them beside the manifests.

    :param hook: leads to the staging location.
    :param limits: as the user gave them; see :func:`read_limits`.
    """
    checked = read_limits(limits)
    reports = [Report.of(standing, checked) for standing in standings]
    log_reports(reports)
    save_reports(hook, reports)
    return reports


def log_reports(reports: Sequence[Report]) -> None:
    """Log a table, and below it what is known and what is not."""
    _logger.info("Receipts:\n%s", table(reports))
    for report in reports:
        delivery = report.standing.delivery.delivery_id
        for sentence in (*report.standing.reconciliation.findings, *report.open_questions):
            _logger.info("%s: %s", delivery, sentence)
        for problem in (*report.standing.reconciliation.warnings, *report.problems):
            _logger.warning("%s: %s", delivery, problem)


def save_reports(hook: AudienceManagerHook, reports: Iterable[Report]) -> None:
    """Write each ``reconciliation.json`` beside its manifest.

    :raises ConfigurationError: when the connection has another staging location.
    """
    targets = hook.targets()
    staging, records = targets.staging, DeliveryRecords(targets)
    for report in reports:
        delivery = report.standing.delivery
        record = delivery.record(targets)
        if record is None or delivery.staging != staging.url:
            raise ConfigurationError(
                f"delivery {delivery.delivery_id} was staged at {delivery.staging}, but the "
                f"connection {hook.audience_manager_conn_id!r} has the staging location "
                f"{staging.url}. {MAKE_ANEW}"
            )
        records.conclude(record, delivery.sending, report.to_json())


def table(reports: Iterable[Report]) -> str:
    """A line for each delivery; totals shared with others are marked by a ``≤``."""
    rows = [_TITLES]
    for report in reports:
        found = report.standing.reconciliation
        rows.append(
            (
                report.standing.delivery.delivery_id,
                f"{len(found.files) - len(report.standing.outstanding)}/{len(found.files)}",
                f"{report.standing.delivery.rows_read:,}",
                f"{report.standing.delivery.rows_written:,}",
                f"{report.standing.delivery.rows_set_aside:,}",
                f"{found.lines_sent:,}",
                _count(report, "records_received"),
                _count(report, "stored_records"),
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


def _count(report: Report, name: str) -> str:
    found = report.standing.reconciliation
    if name in found.counts:
        return f"{found.counts[name]:,}"
    shared = found.shared_counts.get(name)
    return "not known" if shared is None else f"≤ {shared:,}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *numbers, last = row
    aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=False)]
    return "  ".join([first.ljust(widths[0]), *aligned, last])


def _discrepancy(standing: Standing) -> str:
    found = standing.reconciliation
    received = (found.counts or found.shared_counts).get("records_received", 0)
    shared = "" if found.exact else " together with files of other deliveries"
    return f"{found.lines_sent:,} lines were sent, and {received:,} records received{shared}"
