"""Metrics, by Airflow's own ``Stats``: StatsD, Datadog or OpenTelemetry, as ``[metrics]`` says.

Each is sent once: by the task that staged, sent, acknowledged, loaded or extracted something, not
by one that finds it done. One that dies before it has told is not made up for. Where Stats takes
tags, a metric has them; elsewhere they are parts of its name, as in
``audience_manager.rows_read.production.478.crm_daily``.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from airflow_am_provider.airflow_compat import conf, stats
from airflow_am_provider.deliveries.figures import match_rate
from airflow_am_provider.deliveries.target.names import target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_am_provider.audience_manager.file_kinds import FileKind
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.receipt_report import ReceiptReport
    from airflow_am_provider.deliveries.target.state import DeliveryEntry
    from airflow_am_provider.outbound.feed import HourReport
    from airflow_am_provider.outbound.load_report import LoadReport

_logger = logging.getLogger(__name__)
_NO_PART_OF_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
#: Tags of all metrics about deliveries, in the order in which they stand in names.
TAGS: Final = ("environment", "data_source", "dag_id")
#: Tags of metrics about what came back.
OUTBOUND_TAGS: Final = ("destination", "dag_id")
#: Tags of metrics about Customer Data Feeds.
FEED_TAGS: Final = ("dag_id",)


class Kind(StrEnum):
    """What Stats does with a value."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric.

    :param name: its name, without Airflow's own prefix.
    :param kind: what it is.
    :param tags: the names of its tags.
    """

    name: str
    kind: Kind = Kind.COUNTER
    tags: tuple[str, ...] = TAGS


def _of(name: str, kind: Kind = Kind.COUNTER, tags: tuple[str, ...] = TAGS) -> Metric:
    return Metric(name=f"audience_manager.{name}", kind=kind, tags=tags)


ROWS_READ: Final = _of("rows_read")
ROWS_WRITTEN: Final = _of("rows_written")
ROWS_SET_ASIDE: Final = _of("rows_set_aside")
LINES: Final = _of("lines")
RECEIVED: Final = _of("received")
STORED: Final = _of("stored")
MATCH_RATE: Final = _of("match_rate", Kind.GAUGE)
SECONDS: Final = _of("seconds_to_acknowledgement", Kind.TIMER)
ROWS_LOADED: Final = _of("outbound.rows_loaded", tags=OUTBOUND_TAGS)
LINES_SET_ASIDE: Final = _of("outbound.lines_set_aside", tags=OUTBOUND_TAGS)
EVENTS_WRITTEN: Final = _of("feed.events_written", tags=FEED_TAGS)
EVENTS_SET_ASIDE: Final = _of("feed.events_set_aside", tags=FEED_TAGS)

#: All of them, in the order of docs/monitoring.md.
METRICS: Final = (
    ROWS_READ,
    ROWS_WRITTEN,
    ROWS_SET_ASIDE,
    LINES,
    RECEIVED,
    STORED,
    MATCH_RATE,
    SECONDS,
    ROWS_LOADED,
    LINES_SET_ASIDE,
    EVENTS_WRITTEN,
    EVENTS_SET_ASIDE,
)


def staged(manifest: Manifest, file_kind: FileKind, dag_id: str) -> None:
    """Count the rows of a delivery that was staged now; nothing where it was staged before.

    :param manifest: what was staged, perhaps nothing.
    :param file_kind: what files it is made of.
    :param dag_id: the task's DAG.
    """
    if manifest.is_repeat:
        return
    tags = _tags(manifest.destination, target_of(file_kind), dag_id)
    _send(ROWS_READ, manifest.rows_read, tags)
    _send(ROWS_WRITTEN, manifest.rows_written, tags)
    _send(ROWS_SET_ASIDE, manifest.rows_set_aside, tags)


def sent(manifest: Manifest, entry: DeliveryEntry) -> None:
    """Count the lines of a delivery, when the last of it was sent.

    :param manifest: the delivery's.
    :param entry: the delivery, which knows the DAG that staged it.
    """
    target = target_of(manifest.file_name.kind)
    tags = _tags(manifest.destination, target, _dag_of(entry))
    _send(LINES, sum(manifest.lines_by_file.values()), tags)


def acknowledged(reports: Iterable[ReceiptReport]) -> None:
    """Tell what became of the deliveries among them that are newly acknowledged.

    Counts that are shared with other deliveries say nothing of one, so they are left out.

    :param reports: as they were written down.
    """
    for report in reports:
        entry, delivery = report.newly_acknowledged, report.status.delivery
        if entry is None:
            continue
        tags = _tags(delivery.destination_name, delivery.target, _dag_of(entry))
        counts = report.status.reconciliation.counts
        received, stored = counts.get("records_received"), counts.get("stored_records")
        if received is not None:
            _send(RECEIVED, received, tags)
        if stored is not None:
            _send(STORED, stored, tags)
        rate = match_rate(received, stored)
        if rate is not None:
            _send(MATCH_RATE, rate, tags)
        took = datetime.fromisoformat(report.concluded_at) - delivery.sent_at
        _send(SECONDS, max(took, timedelta(0)), tags)


def loaded(report: LoadReport, dag_id: str) -> None:
    """Count the rows of a batch that was loaded now.

    :param report: what was loaded.
    :param dag_id: the task's DAG.
    """
    document = report.to_json()
    tags = {"destination": str(document["destination"]), "dag_id": dag_id}
    _send(ROWS_LOADED, document["rows_loaded"], tags)
    _send(LINES_SET_ASIDE, document["lines_set_aside"], tags)


def extracted(report: HourReport, dag_id: str) -> None:
    """Count the events of an hour of a feed that was extracted now.

    :param report: what became of it.
    :param dag_id: the task's DAG.
    """
    counts, tags = report.counts, {"dag_id": dag_id}
    _send(EVENTS_WRITTEN, counts.lines_loaded, tags)
    _send(EVENTS_SET_ASIDE, counts.lines_set_aside, tags)


def _tags(destination: str, target: str, dag_id: str) -> dict[str, str]:
    """The tags of a delivery, by its destination, such as ``production/acme``."""
    environment = destination.partition("/")[0]
    return dict(zip(TAGS, (environment, target, dag_id), strict=True))


def _dag_of(entry: DeliveryEntry) -> str:
    origin = entry.figures.get("origin") or {}
    return str(origin.get("dag_id") or entry.series.partition("/")[0])


def _send(metric: Metric, value: float | timedelta, tags: Mapping[str, str]) -> None:
    """Send it. What goes wrong with metrics is no task's fault."""
    try:
        name, given = _named(metric, tags)
        kept = {"tags": given} if given else {}
        if metric.kind is Kind.COUNTER:
            stats().incr(name, value, **kept)
        elif metric.kind is Kind.GAUGE:
            stats().gauge(name, value, **kept)
        else:
            stats().timing(name, value, **kept)
    except Exception as error:  # noqa: BLE001  # whatever it is
        _logger.warning(
            "The metric %s was not sent, which changes nothing else: %s: %s",
            metric.name,
            type(error).__name__,
            error,
        )


def _named(metric: Metric, tags: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Its name and its tags; where there are no tags, all of them in its name."""
    if _takes_tags():
        return metric.name, dict(tags)
    parts = (tags[tag].replace(".", "__") for tag in metric.tags)
    return ".".join([metric.name, *(_NO_PART_OF_A_NAME.sub("_", part) for part in parts)]), {}


def _takes_tags() -> bool:
    """Whether what Stats sends has tags; asked in the order in which Airflow chooses."""
    if _is_on("statsd_datadog_enabled"):
        return _is_on("statsd_datadog_metrics_tags", unless_set=True)
    return _is_on("statsd_influxdb_enabled" if _is_on("statsd_on") else "otel_on")


def _is_on(option: str, *, unless_set: bool = False) -> bool:
    return bool(conf.getboolean("metrics", option, fallback=unless_set))
