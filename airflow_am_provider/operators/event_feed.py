"""Extracts Customer Data Feeds into Parquet, and the ID pairs in them for an ID sync."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_am_provider.airflow_compat import AirflowSkipException
from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.audience_manager.outbound.feeds import AUTHENTICATION
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.formatting.acceptance import limit
from airflow_am_provider.hooks import metrics
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.parameters import is_given, optional_whole_number, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_am_provider.outbound.feed import HourReport
    from airflow_am_provider.storage import Folder

__all__ = ["EventFeedExtractOperator"]

_SHOWN = 3


class EventFeedExtractOperator(BaseOperator):
    """Extract complete hours of a Customer Data Feed into Parquet, each event once.

    An hour is complete when its control file and every file that this lists are there, with their
    sizes. Others wait, and hold no hour up. Empty hours are normal, and late ones come in a later
    run: each run looks back, and reads what it has not read yet, or what Adobe made again since
    (features/cdf-files.md). A complete hour that cannot be read, or has another checksum, fails the
    task when the others are extracted, in each run that looks at it.

    Into ``into`` go ``events/DAY/HOUR.parquet`` by the day of the events, and ``id_pairs/``: for
    each declared ID of ``dpid`` the device's UUID, which is what
    :class:`~airflow_am_provider.operators.id_sync.IdSyncExtractOperator` reads.

    :param location: The feed's folder, above ``day=…``: ``s3://aam-cdf/acme``, or an absolute path.
        (templated)
    :param into: The folder that gets the Parquet files, one of its own for each feed. (templated)
    :param window_end: Folders of hours before this are looked at: ISO 8601, in UTC if it says
        nothing else. Such as ``{{ data_interval_end }}``. (templated)
    :param lookback_hours: How many hours before it. Adobe keeps feeds for 8 days. (templated)
    :param dpid: The data source whose declared IDs are paired with UUIDs; None for no pairs.
        (templated)
    :param integration_code: The data source's integration code, by which pages may declare its IDs.
        (templated)
    :param authentication: Pairs that were seen in this state only: 0 unknown, 1 logged in, 2 logged
        out. None for all. (templated)
    :param max_set_aside: How many events of an hour may break the layout. A whole number is a
        count, a fraction is a share of its events: ``1`` is one event, ``1.0`` is all. Over the
        limit nothing of the hour is written, and the task fails. (templated)
    :param source_conn_id: AWS connection for the feed; ``aws_default`` if None. (templated)
    :param into_aws_conn_id: AWS connection for ``into``; ``source_conn_id`` if None. (templated)
    :return: ``hours`` (what became of each that was read), ``waiting``, ``events_read``,
        ``events_written``, ``events_set_aside``, ``id_pairs`` and ``id_pairs_url``: the Parquet
        file with the columns ``aam_uuid`` and ``declared_id``, the latest pair first, each once.
    :raises AirflowSkipException: when no hour of the window is complete.
    :raises AirflowFailException: when a parameter is wrong, a file of an hour cannot be read, or
        too many of its events break the layout.
    :raises AirflowException: when a file is not what its control file says.

    Example::

        feed = EventFeedExtractOperator(
            task_id="feed",
            location="s3://aam-cdf/acme",
            into="s3://acme-events",
            window_end="{{ data_interval_end }}",
            dpid=478,
        )
    """

    template_fields: Sequence[str] = (
        "location",
        "into",
        "window_end",
        "lookback_hours",
        "dpid",
        "integration_code",
        "authentication",
        "max_set_aside",
        "source_conn_id",
        "into_aws_conn_id",
    )
    ui_color = "#e4f0ef"

    def __init__(
        self,
        *,
        location: str,
        into: str,
        window_end: datetime | str,
        lookback_hours: int | str = 48,
        dpid: int | str | None = None,
        integration_code: str | None = None,
        authentication: int | str | None = None,
        max_set_aside: float | str = 0.01,
        source_conn_id: str | None = None,
        into_aws_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.location = location
        self.into = into
        self.window_end = window_end
        self.lookback_hours = lookback_hours
        self.dpid = dpid
        self.integration_code = integration_code
        self.authentication = authentication
        self.max_set_aside = max_set_aside
        self.source_conn_id = source_conn_id
        self.into_aws_conn_id = into_aws_conn_id

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Extract the hours that are complete and were not extracted as they are now."""
        from airflow_am_provider.hooks.outbound_inbox import open_folder
        from airflow_am_provider.outbound.checksums import NotAsListed
        from airflow_am_provider.outbound.feed import extract, extracted, hours_of

        with airflow_errors():
            until = self._until()
            since = until - timedelta(hours=self._lookback())
            dpid = optional_whole_number("dpid", self.dpid)
            state = self._state()
            most = limit("max_set_aside", self.max_set_aside, "events")
            inbox = open_folder(
                self.location, self.source_conn_id, asked_by="source_conn_id", setting="location"
            )
            access = self.into_aws_conn_id or self.source_conn_id
            target = open_folder(self.into, access, asked_by="into_aws_conn_id")
            found = hours_of(inbox, since, until)
            waiting = {f"{hour:%Y-%m-%dT%H}": why for hour, why in found.waiting}
            hours, names = [], []
            failed: dict[str, TransientError | DataError] = {}
            for _, batch in found.complete:
                for remark in batch.remarks:
                    self.log.warning("Hour %s: %s", batch.batch_id, remark)
                if extracted(inbox, batch, target) is None:
                    try:
                        report = extract(inbox, batch, target, most)
                    except (NotAsListed, DataError) as error:
                        # It holds no other hour up.
                        self.log.warning("Hour %s is not extracted: %s", batch.batch_id, error)
                        failed[batch.batch_id] = error
                        continue
                    hours.append(report.to_json())
                    self._tell(report)
                    metrics.extracted(report, self.dag_id)
                names.append(batch.batch_id)
            for name in sorted(waiting):
                self.log.warning("Hour %s waits: %s", name, waiting[name])
            if not names and not failed:
                raise AirflowSkipException(
                    f"No complete hour from {since:%Y-%m-%dT%H} to {until:%Y-%m-%dT%H} in "
                    f"{self.location}; {len(waiting)} wait"
                    + (f", such as {min(waiting)}: {waiting[min(waiting)]}" if waiting else "")
                )
            pairs, url = 0, None
            if dpid is not None and names:
                pairs, url = self._write_pairs(target, names, dpid, state, until)
            if failed:
                raise self._failure(failed)
        return {
            "hours": hours,
            "waiting": [f"{name}: {waiting[name]}" for name in sorted(waiting)][:_SHOWN],
            **{
                key: sum(hour[key] for hour in hours)
                for key in ("events_read", "events_written", "events_set_aside")
            },
            "id_pairs": pairs,
            "id_pairs_url": url,
        }

    def _failure(self, failed: dict[str, TransientError | DataError]) -> Exception:
        """Says which hours are not extracted, the last thing of all."""
        # What may go better next time counts for more: Airflow tries again then.
        name = min(failed, key=lambda one: isinstance(failed[one], DataError))
        kind = DataError if isinstance(failed[name], DataError) else TransientError
        return kind(
            f"hour {name} of {self.location}: {failed[name]}. {counted(len(failed), 'hour')} could "
            f"not be extracted, what else is complete was. Adobe makes hours again for 8 days "
            f"(features/cdf-files.md); to go on without it, choose lookback_hours so that it is "
            f"before them"
        )

    def outcome(self, result: dict[str, Any]) -> str:
        """What was extracted, for the last line of the log."""
        return (
            f"{counted(len(result['hours']), 'hour')} extracted: "
            f"{counted(result['events_read'], 'event')} read = {result['events_written']:,} "
            f"written + {result['events_set_aside']:,} set aside; "
            f"{counted(result['id_pairs'], 'ID pair')}"
        )

    def get_openlineage_facets_on_complete(
        self, task_instance: Any
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's provider ``openlineage`` is told.

        :param task_instance: whatever it is; the task knows what it did.
        """
        from airflow_am_provider.hooks.lineage import of_feed

        return of_feed(self)

    def _tell(self, report: HourReport) -> None:
        counts = report.counts
        self.log.info(
            "Hour %s: %s events read = %s written + %s set aside; %s ID pairs",
            report.hour,
            f"{counts.lines_read:,}",
            f"{counts.lines_loaded:,}",
            f"{counts.lines_set_aside:,}",
            f"{report.pairs:,}",
        )
        for reason in counts.reasons():
            self.log.warning("%s", reason)
        if report.broken_ids:
            self.log.warning(
                "Hour %s: %s that pages declared are in no pair: decoded from their percent signs "
                "they are not UTF-8",
                report.hour,
                counted(report.broken_ids, "ID"),
            )

    def _write_pairs(
        self,
        target: Folder,
        hours: list[str],
        dpid: int,
        authentication: int | None,
        until: datetime,
    ) -> tuple[int, str]:
        """One file for this window, of all its hours: a task that is cleared writes the same."""
        import pyarrow.parquet as pq

        from airflow_am_provider.outbound.feed import pairs_of_hours

        table = self._of_source(pairs_of_hours(target, hours), dpid, authentication)
        path = f"id_pairs/{dpid}/{until:%Y-%m-%dT%H}.parquet"
        with target.open_write(path) as file:
            pq.write_table(table, file)
        return table.num_rows, f"{target.url}/{path}"

    def _of_source(self, pairs: pa.Table, dpid: int, authentication: int | None) -> pa.Table:
        import pyarrow.compute as pc

        wanted = pc.fill_null(pc.equal(pairs["dpid"], dpid), False)
        if is_given(self.integration_code):
            by_code = pc.equal(pairs["code"], str(self.integration_code))
            wanted = pc.or_(wanted, pc.fill_null(by_code, False))
        if authentication is not None:
            is_state = pc.equal(pairs["authentication"], authentication)
            wanted = pc.and_(wanted, pc.fill_null(is_state, False))
        found = pairs.filter(wanted)
        # The latest of each comes first, and stays there.
        keys = ["device", "dpuuid"]
        once = found.group_by(keys, use_threads=False).aggregate([])
        return once.select(keys).rename_columns(["aam_uuid", "declared_id"])

    def _state(self) -> int | None:
        state = optional_whole_number("authentication", self.authentication)
        if state is not None and state not in AUTHENTICATION:
            known = ", ".join(f"{number} {name}" for number, name in AUTHENTICATION.items())
            raise ConfigurationError(
                f"authentication: {state} is no state; there are {known} (features/declared-ids.md)"
            )
        return state

    def _lookback(self) -> int:
        hours = whole_number("lookback_hours", self.lookback_hours)
        if not 1 <= hours <= 8 * 24:
            raise ConfigurationError(
                f"lookback_hours: {hours} is not from 1 to 192; Adobe keeps feeds for 8 days "
                f"(features/cdf-files.md)"
            )
        return hours

    def _until(self) -> datetime:
        from airflow_am_provider.outbound.feed import hour_in_utc

        value = self.window_end
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            raise ConfigurationError(
                f"window_end: {value!r} is no time; one such as 2026-01-31T14:00:00+00:00 is "
                f"expected"
            ) from None
        return hour_in_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
